"""How an endpoint has to be asked is read from all that was said in a run, whoever said it."""

import pytest
from vesalius.agent.planners.llm_turns import MOST_SHORTENED, Terms, Turn, terms_of


def turn(number: int = 1, **more: object) -> Turn:
    return Turn.model_validate({"number": number, "mode": "native", "model": "tiny", **more})


def refused(mode: str, role: str = "planner") -> Turn:
    return turn(mode=mode, role=role, mode_refused=True, problem="no")


def test_a_run_begins_with_tool_calls_of_which_nothing_is_known():
    assert terms_of([]) == Terms(mode="native", proven=False, left_out=(), shortened=0)


@pytest.mark.parametrize(("first", "then"), [("planner", "refuter"), ("refuter", "writer"), ("writer", "planner")])
def test_a_mode_that_one_role_was_refused_is_tried_by_no_other(first: str, then: str):
    said = [refused("native", first), turn(mode="json", role=first)]
    assert terms_of(said).mode == "json"
    assert terms_of([*said, refused("json", then)]).mode == "text"
    assert terms_of([refused("json")]).mode == "text", "what is plainer than a refused mode comes next"


def test_a_mode_is_proven_by_the_last_request_that_the_endpoint_answered():
    taken, not_taken = turn(), turn(refused=True, problem="no")
    assert terms_of([taken]).proven
    assert terms_of([turn(problem="it breaks off")]).proven, "a bad reply is a reply"
    assert not terms_of([taken, not_taken]).proven, "the next refusal is of the mode"
    assert terms_of([taken, not_taken, taken]).proven
    assert terms_of([taken, turn(unanswered=True, problem="no answer"), turn(too_long=True, problem="x")]).proven
    assert not terms_of([taken, refused("native")]).proven, "nothing is known of the next one"


def test_what_is_left_out_and_how_short_it_has_to_be_is_learnt_from_every_role():
    said = [turn(left_out=("temperature",)), turn(role="writer", left_out=("max_tokens",)), turn(too_long=True)]
    terms = terms_of(said)
    assert terms.left_out == ("max_tokens", "temperature")
    assert 0 < terms.room(10_000) < terms_of(said[:2]).room(10_000) == 10_000
    assert terms.may_shorten
    assert not terms_of([turn(too_long=True)] * MOST_SHORTENED).may_shorten


def test_finding_out_how_to_ask_is_no_try():
    assert [one.is_try for one in (turn(), refused("json"), turn(too_long=True), turn(refused=True))] == [
        True,
        False,
        False,
        True,
    ]
