"""Calls are found however a reply makes them, and no reply takes long to look through."""

import json
import time

import pytest
from vesalius.agent.planners.llm_calls import MOST_FOUND, calls_of
from vesalius.agent.planners.llm_turns import Call, Turn

FINISH = {"reason": "enough"}


def found(content: str) -> list[tuple[str, str]]:
    turn = Turn(number=1, mode="text", model="tiny", content=content)
    return [(call.name, call.arguments) for call in calls_of(turn)]


@pytest.mark.parametrize(
    "said",
    [
        json.dumps({"call": "finish", "arguments": FINISH}),
        f"Sure! ```json\n{json.dumps({'name': 'finish', 'parameters': FINISH})}\n``` Done {{really}}.",
        json.dumps([{"tool": "finish", "args": FINISH}]),
        json.dumps({"function": {"name": "finish", "arguments": json.dumps(FINISH)}}),
        json.dumps({"type": "function", "function": "finish", "arguments": FINISH}),
    ],
)
def test_a_call_is_read_from_the_forms_that_models_write_it_in(said: str):
    assert found(said) == [("finish", json.dumps(FINISH))]


@pytest.mark.parametrize(
    "said", ["", "I am sorry.", "{}", "[]", "{'call': 'finish'}", '{"call": 7}', '{"call": {"x": 1}}']
)
def test_words_that_call_nothing_are_no_call(said: str):
    assert found(said) == []


def test_calls_of_the_endpoint_go_before_what_the_words_say():
    mine = Call(id="a", name="patch", arguments="{}")
    turn = Turn(number=1, mode="native", model="tiny", content='{"call": "finish"}', calls=(mine,))
    assert calls_of(turn) == (mine,)


def test_half_a_character_in_a_name_can_still_be_written_down():
    ((name, arguments),) = found('{"call": "fin\\ud800ish", "arguments": "\\ud800"}')
    assert (name, arguments) == ("fin?ish", "?")


@pytest.mark.parametrize(
    "said",
    ["[0," * 300 + "1," * 30_000, '{"a":' * 20_000, "[" * 90_000, '{"function":' * 900 + '{"name":"x"}' + "}" * 900],
)
def test_a_reply_made_to_be_slow_is_soon_looked_through(said: str):
    started = time.process_time()
    assert found(said) == []
    assert time.process_time() - started < 5


def test_of_very_many_calls_a_few_are_read():
    assert len(found('{"call": "finish"}' * 500)) == MOST_FOUND
