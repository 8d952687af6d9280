"""A refusal is read for what it refuses, and the request goes on without it where it can."""

import json
from typing import Any

import pytest
from scripted_endpoint import calls, says, serving
from vesalius.agent.planners.llm_conversing import ModeUnknown, NotTaken, TooLong, converse
from vesalius.agent.planners.llm_endpoint import Chat, Endpoint, EndpointError, Refused
from vesalius.agent.planners.llm_refusals import (
    OTHERWISE,
    asked_otherwise,
    is_too_long,
    refused_parameter,
    without,
)
from vesalius.agent.planners.llm_turns import Consultation, Mode

PLAIN = {"messages", "model", "max_tokens", "temperature", "seed", "stream", "stream_options"}


def openai(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


MAX_TOKENS = openai(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "max_tokens",
    "unsupported_parameter",
)
TEMPERATURE = openai(
    "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value is supported.",
    "temperature",
    "unsupported_value",
)
CONTEXT = openai(
    "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (904 in the messages, 4096 "
    "in the completion). Please reduce the length of the messages or completion.",
    "messages",
    "context_length_exceeded",
)
VLLM = openai("'max_tokens' is too large: 4096. This model's maximum context length is 2048 tokens and your request…")
LLAMA = {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "invalid"}}
FORBIDDEN = {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}
MISTRAL = {"object": "error", "message": FORBIDDEN, "code": 1234}
TOOLS = openai("Unrecognized request argument supplied: tools. Allowed: messages, temperature, max_tokens.", "tools")
ROLES = {"detail": [{"loc": ["body", "messages", 3, "role"], "msg": "not one of", "input": {"temperature": 0.3}}]}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (MAX_TOKENS, "max_tokens"),
        (TEMPERATURE, "temperature"),
        (openai("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'."), "max_tokens"),
        ("unexpected keyword argument 'stream_options'", "stream_options"),
        (FORBIDDEN, "seed"),
        (MISTRAL, "seed"),
        (TOOLS, ""),
        (ROLES, ""),
        (CONTEXT, ""),
        (VLLM, ""),
        (LLAMA, ""),
        (openai("Unsupported parameter: 'top_k'.", "top_k"), ""),
        (openai("'max_completion_tokens' is not supported"), ""),  # that was not sent
        ("no tools", ""),
        (None, ""),
        ([[[[[[[[[["temperature"]]]]]]]]]], ""),
        (7, ""),
    ],
)
def test_the_parameter_that_is_refused_is_the_one_that_is_named_and_was_sent(body: Any, name: str):
    assert refused_parameter(body, PLAIN) == name


@pytest.mark.parametrize(
    "body",
    [
        CONTEXT,
        VLLM,
        LLAMA,
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"},
        openai("prompt is too long: 210000 tokens > 200000 maximum"),
        openai("The input token count (5000) exceeds the maximum number of tokens allowed (4096)."),
        openai("Your messages are too large for this model."),
    ],
)
def test_a_conversation_that_is_too_long_is_told_whatever_the_server_calls_it(body: Any):
    assert is_too_long(400, body)


@pytest.mark.parametrize("body", [MAX_TOKENS, TEMPERATURE, FORBIDDEN, TOOLS, ROLES, "no tools", None, 7])
def test_another_refusal_is_not_of_the_length(body: Any):
    assert not is_too_long(400, body)
    assert is_too_long(413, body)


def test_what_is_left_out_is_replaced_by_what_takes_its_value():
    request = {"max_tokens": 9, "temperature": 0.3, "seed": 1}
    assert without(request, {"max_tokens"}) == {"max_completion_tokens": 9, "temperature": 0.3, "seed": 1}
    assert without(request, {"max_completion_tokens", "max_tokens", "seed"}) == {"temperature": 0.3}
    assert asked_otherwise({"temperature", "max_tokens"}) == (
        "max_completion_tokens instead of max_tokens and no temperature"
    )
    assert asked_otherwise({"max_completion_tokens", "max_tokens"}) == "no max_tokens"
    assert not asked_otherwise(())


def choosy(*refuses: str) -> Any:
    """An endpoint that refuses some parameters, one at a time, as OpenAI's does."""

    def answer(asked: dict[str, Any]) -> tuple[int, str]:
        for name in refuses:
            if name in asked:
                return 400, json.dumps(openai(f"Unsupported parameter: '{name}'.", name, "unsupported_parameter"))
        return calls(("finish", {"reason": "enough"}), content="so")

    return answer


def consultation(mode: Mode = "native", **more: Any) -> Consultation:
    function = {"name": "finish", "description": "End.", "parameters": {"type": "object", "properties": {}}}
    return Consultation(
        number=1, mode=mode, messages=({"role": "user", "content": "plan"},), functions=(function,), seed=3, **more
    )


def test_a_request_goes_on_without_what_is_refused_and_the_next_one_begins_there():
    with serving(choosy("max_tokens", "temperature")) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny")
        with Chat(endpoint) as chat:
            assert converse(chat, consultation(), 0.3).calls
            assert chat.left_out == {"max_tokens", "temperature"}
        with Chat(endpoint) as another:
            assert converse(another, consultation(), 0.3).calls
            assert another.ask("rules", "about", temperature=0.3, seed=1).temperature is None
    assert len(played.asked) == 5, "two refusals, and none of the chats after them"
    assert played.asked[2]["max_completion_tokens"] == played.asked[0]["max_tokens"] == 4096
    assert not any({"max_tokens", "temperature"} & asked.keys() for asked in played.asked[2:])
    assert "tools" in played.asked[2]


def test_what_a_run_knows_to_be_refused_is_not_asked_for_again():
    with serving(choosy("temperature")) as played:
        with Chat(Endpoint(base_url=played.url, model="tiny"), ("temperature",)) as chat:
            converse(chat, consultation(), 0.3)
        assert len(played.asked) == 1


def test_an_endpoint_that_names_every_parameter_and_takes_nothing_is_given_up_and_nothing_is_learnt():
    with serving(choosy(*OTHERWISE, "messages")) as played, Chat(Endpoint(base_url=played.url, model="tiny")) as chat:
        with pytest.raises(Refused, match="status 400"):
            chat.post({"messages": [], **dict.fromkeys(OTHERWISE, 1)})
        assert len(played.asked) == len(OTHERWISE) + 1
        assert not chat.left_out


def test_a_temperature_that_is_taken_is_told():
    with serving(says("hello")) as played, Chat(Endpoint(base_url=played.url, model="tiny")) as chat:
        assert chat.ask("rules", "about", temperature=0.3, seed=1).temperature == 0.3


@pytest.mark.parametrize("mode", ["native", "json", "text"])
def test_a_refusal_after_others_were_taken_is_of_the_request_and_not_of_the_mode(mode: Mode):
    with serving((400, "no")) as played, Chat(Endpoint(base_url=played.url, model="tiny")) as chat:
        with pytest.raises(NotTaken, match="took others of its kind"):
            converse(chat, consultation(mode, proven=True), 0.3)
        with pytest.raises(EndpointError if mode == "text" else ModeUnknown):
            converse(chat, consultation(mode), 0.3)


@pytest.mark.parametrize("proven", [True, False])
def test_a_conversation_that_is_too_long_is_of_no_mode_and_can_be_shortened_so_often(proven: bool):
    refused = (400, json.dumps(CONTEXT))
    with serving(refused) as played, Chat(Endpoint(base_url=played.url, model="tiny")) as chat:
        with pytest.raises(TooLong):
            converse(chat, consultation(proven=proven, may_shorten=True), 0.3)
        with pytest.raises(NotTaken, match="too long for it"):
            converse(chat, consultation(proven=proven), 0.3)


def test_nothing_of_a_refusal_is_passed_on():
    secret = json.dumps(openai("Unknown: sk-very-secret, in “the conversation”"))
    with serving((400, secret)) as played, Chat(Endpoint(base_url=played.url, model="tiny")) as chat:
        with pytest.raises(ModeUnknown) as native:
            converse(chat, consultation(), 0.3)
        with pytest.raises(EndpointError) as text:
            converse(chat, consultation("text"), 0.3)
    assert "secret" not in f"{native.value} {text.value}"
