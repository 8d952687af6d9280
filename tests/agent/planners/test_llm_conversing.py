"""Whatever a server sends is a reply or a reason, in any of the forms that servers have; nothing of it is trusted."""

import json
from typing import Any

import pytest
from scripted_endpoint import calls, says, serving, streamed
from vesalius.agent.planners.llm_conversing import (
    LONGEST_SAID,
    LONGEST_STREAM,
    MOST_CALLS,
    ModeUnknown,
    Spoken,
    converse,
)
from vesalius.agent.planners.llm_endpoint import BadReply, Chat, Endpoint, EndpointError
from vesalius.agent.planners.llm_turns import Consultation, Mode

FUNCTION = {"name": "finish", "description": "End.", "parameters": {"type": "object", "properties": {}}}
REASON = ("finish", {"reason": "enough"})


def spoken(*answers: Any, mode: Mode = "native", retries: int = 0, timeout: float = 5.0) -> tuple[Spoken, list[Any]]:
    asked = Consultation(
        number=1, mode=mode, messages=({"role": "user", "content": "plan " * 2_000},), functions=(FUNCTION,), seed=3
    )
    with serving(*answers) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny", retries=retries, timeout_s=timeout)
        with Chat(endpoint) as chat:
            return converse(chat, asked, 0.3), played.asked


def body(message: Any, **more: Any) -> tuple[int, str]:
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return 200, json.dumps({"model": "tiny-2025", "choices": [choice], **more}, ensure_ascii=False)


def events(*deltas: Any, end: bool = True) -> tuple[int, str]:
    pieces: list[Any] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    pieces += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}] if end else []
    return 200, "".join(f"data: {json.dumps(piece, ensure_ascii=False)}\r\n\r\n" for piece in pieces)


def test_a_stream_and_a_reply_in_one_piece_say_the_same():
    whole, asked = spoken(calls(REASON, REASON))
    in_pieces, _ = spoken(streamed(calls(REASON, REASON)))
    assert whole == in_pieces
    assert [call.name for call in whole.calls] == ["finish", "finish"]
    assert (whole.tokens_in, whole.tokens_out, whole.estimated) == (1000, 50, False)
    assert asked[0]["tools"][0]["function"] == FUNCTION
    assert asked[0]["stream"] is True


def test_the_modes_ask_for_calls_each_in_its_own_way():
    assert "tools" not in spoken(says("{}"), mode="json")[1][0]
    assert spoken(says("{}"), mode="json")[1][0]["response_format"] == {"type": "json_object"}
    assert {"tools", "response_format"}.isdisjoint(spoken(says("{}"), mode="text")[1][0])


def test_a_stream_that_breaks_off_is_no_reply():
    with pytest.raises(BadReply, match="breaks off"):
        spoken(streamed(calls(REASON), breaks_off=True))
    with pytest.raises(BadReply, match="breaks off"):
        spoken(events({"content": "I think"}, end=False))


def test_calls_without_numbers_are_told_apart_by_their_ids():
    parts = [{"id": f"c{i}", "function": {"name": "finish", "arguments": "{}"}} for i in range(2)]
    found, _ = spoken(events({"tool_calls": [{"index": 0, **parts[0]}]}, {"tool_calls": [{"index": 0, **parts[1]}]}))
    assert [(call.name, call.arguments) for call in found.calls] == [("finish", "{}")] * 2
    found, _ = spoken(events({"tool_calls": [parts[0]]}, {"tool_calls": [{"function": {"arguments": " "}}]}))
    assert [(call.name, call.arguments) for call in found.calls] == [("finish", "{} ")]


def test_arguments_sent_as_an_object_and_words_sent_as_parts_are_read():
    part = {"function": {"name": "finish", "arguments": {"reason": "enough"}}}
    found, _ = spoken(body({"content": [{"type": "text", "text": "so"}, {"type": "image"}], "tool_calls": [part]}))
    assert (found.content, found.calls[0].arguments) == ("so", '{"reason": "enough"}')


def test_line_breaks_of_unicode_in_a_stream_are_part_of_its_words():
    assert spoken(events({"content": "a\u2028b\x85c\x0cd"}))[0].content == "a\u2028b\x85c\x0cd"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 2},
        {"prompt_tokens": None},
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {"prompt_tokens": 10, "completion_tokens": 10**9},
        {"prompt_tokens": "many"},
        {"prompt_tokens": True},
        7,
        None,
    ],
)
def test_tokens_that_cannot_be_are_not_believed(usage: Any):
    found, _ = spoken(body({"content": "hello world"}, usage=usage))
    assert found.estimated
    assert 2_000 < found.tokens_in < 4_000
    assert found.tokens_out == 2


def test_a_name_that_is_none_is_not_taken_over():
    whole = json.loads(body({"content": "x"})[1])
    assert spoken((200, json.dumps({**whole, "model": "a\x1b[2Jb"})))[0].model == "tiny"
    assert spoken((200, json.dumps({**whole, "model": "x" * 999})))[0].model == "tiny"
    assert spoken((200, json.dumps(whole)))[0].model == "tiny-2025"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, "[" * 100_000), "no chat completion"),
        ((200, '{"choices": [{"message": {"content": "\\ud800"}}]}'), "no chat completion"),
        ((200, "hello"), "no chat completion"),
        ((200, "{}"), "breaks off"),
        (says("x" * (LONGEST_SAID + 1)), f"at most {LONGEST_SAID}"),
        (says("x" * (LONGEST_STREAM + 1)), f"at most {LONGEST_STREAM}"),
        (calls(*[REASON] * 200), f"200 functions, and at most {MOST_CALLS}"),
    ],
)
def test_what_is_no_reply_or_too_long_is_refused_with_the_reason(answer: Any, why: str):
    with pytest.raises(BadReply, match=why):
        spoken(answer)


@pytest.mark.parametrize("status", [400, 404, 422, 501])
def test_a_mode_that_is_refused_is_told_from_an_endpoint_that_fails(status: int):
    for mode in ("native", "json"):
        with pytest.raises(ModeUnknown, match="Ask in the next mode"):
            spoken((status, "no such thing"), mode=mode)
    with pytest.raises(EndpointError, match=f"status {status}"):
        spoken((status, "no such thing"), mode="text")


def test_an_overloaded_endpoint_is_asked_again_and_one_that_is_silent_is_given_up():
    found, asked = spoken((429, "{}"), (500, "{}"), calls(REASON), retries=2)
    assert (len(asked), found.calls[0].name) == (3, "finish")
    with pytest.raises(EndpointError, match=r"within 0\.2 s"):
        spoken(20.0, timeout=0.2)
