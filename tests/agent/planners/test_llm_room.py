"""All that is sent counts: functions beside the messages, and replies that are told again."""

import json
from typing import Any

import pytest
from vesalius.agent.planners._counter_prompts import Fact, Material
from vesalius.agent.planners.llm_conversing import CHARACTERS_PER_TOKEN, MOST_WRITTEN, tools_of
from vesalius.agent.planners.llm_functions import functions
from vesalius.agent.planners.llm_refuting import Tried, consultation as refuting
from vesalius.agent.planners.llm_room import brief, longest_reply, sent_length, with_refused
from vesalius.agent.planners.llm_turns import Call, Consultation, Mode, Terms, Turn
from vesalius.agent.planners.llm_wording import consultation as wording

ROOM = 24_000  # characters: the least that the settings allow, for a model that reads 8,000 tokens
MODES: tuple[Mode, ...] = ("native", "json", "text")


def terms(mode: Mode) -> Terms:
    return Terms(mode=mode, proven=True, left_out=(), shortened=0)


def useless(number: int, length: int, **more: Any) -> Turn:
    return Turn(number=number, mode="native", model="tiny", content="so " * (length // 3), **more)


def sent(asked: Consultation) -> int:
    """Characters of a request."""
    beside = json.dumps(tools_of(asked.functions)) if asked.mode == "native" else ""
    return len(beside) + sum(len(json.dumps(message)) for message in asked.messages)


def test_functions_count_where_they_are_sent_beside_the_messages():
    offered = functions(["patch"])
    assert sent_length([], offered, "native") == len(json.dumps(tools_of(offered))) > 5_000
    assert sent_length([], offered, "json") == sent_length([], offered, "text") == 0


def test_a_reply_is_asked_for_that_fits_beside_the_conversation():
    assert longest_reply(90_000) == MOST_WRITTEN
    assert longest_reply(ROOM) + ROOM // CHARACTERS_PER_TOKEN <= 8_000


def test_a_function_without_the_words_about_its_parameters_keeps_them_all():
    (full,) = functions(["score_names"])[-1:]
    short = brief(full)
    assert len(json.dumps(short)) < 0.6 * len(json.dumps(full))
    assert short["description"] == full["description"]
    assert short["parameters"]["properties"].keys() == full["parameters"]["properties"].keys()
    named = {"name": "x", "parameters": {"properties": {"title": {"type": "string", "title": "Title"}}}}
    assert brief(named)["parameters"] == {"properties": {"title": {"type": "string"}}}


@pytest.mark.parametrize("mode", MODES)
def test_a_writer_whose_replies_were_long_is_told_them_as_far_as_they_fit(mode: Mode):
    findings = {"question": "q", "measurements": [{"id": f"m-{i}", "found": "x" * 900} for i in range(40)]}
    refused = [(useless(i, 99_000), f"its end is a figure {i} " + "w" * 50_000) for i in (1, 2)]
    asked = wording(findings, refused, 3, 0, terms(mode), ROOM)
    assert sent(asked) <= ROOM
    assert "figure 2" in asked.messages[-1]["content"]
    assert "left out" in asked.messages[-1]["content"]
    assert "m-0" in json.dumps(asked.messages)
    roomy = wording(findings, [], 1, 0, terms(mode), 90_000)
    assert "m-39" in json.dumps(roomy.messages)


@pytest.mark.parametrize("mode", MODES)
def test_a_refuter_with_much_to_know_gets_the_newest_of_it_and_how_much_is_left_out(mode: Mode):
    words = [f"word{i}" for i in range(5_000)]
    before = [Tried(prompts=f"try {i} " + "p" * 2_000, came_out="The effect stays") for i in range(20)]
    other = ["o" * 2_000] * 20
    mine = [useless(1, 99_000, role="refuter")]
    facts = (Fact(word="a", answer="b"),)
    material = Material(wordings=("the {word} is",), unused=(), facts=facts, ends_in_word=False)
    asked = refuting("a claim", material, words, before, other, mine, 2, 0, terms(mode), ROOM)
    assert sent(asked) <= ROOM
    told = json.dumps(asked.messages)
    assert "try 19 " in told
    assert "left_out_for_want_of_room" in told
    assert "does not call" in told


def test_calls_that_could_not_be_used_are_told_again_too():
    turn = Turn(number=1, mode="native", model="tiny", calls=(Call(id="", name="answer", arguments='{"x": 1}'),))
    begun = [{"role": "user", "content": "begin"}]
    told = with_refused(begun, (), "native", [(turn, "no"), (turn.model_copy(update={"mode_refused": True}), "")], ROOM)
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert json.loads(told[1]["content"]) == ['{"x": 1}']
    assert "no" in told[2]["content"]


@pytest.mark.parametrize("mode", MODES)
def test_who_takes_plain_words_alone_gets_no_message_of_a_system(mode: Mode):
    asked = wording({"measurements": []}, [], 1, 0, terms(mode), ROOM)
    assert [message["role"] for message in asked.messages] == (["user"] if mode == "text" else ["system", "user"])
