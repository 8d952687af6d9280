"""What exploration saw is held out no more, in whatever argument it stood; what the model was asked is not seen."""

from typing import Any

import pytest
from vesalius.agent._evidence import Arm, Hypothesis, Prediction
from vesalius.agent.holdout import as_far_as_true, prompts_of
from vesalius.agent.planners.interface import Proposal
from vesalius.tools import Measurement, SubjectKey, digest, measurement_id

SUBJECT = SubjectKey(model="atlas", fingerprint="f")
KEPT = "the capital of Ohio is"


def pair(base: str, corrupted: str, **more: str) -> dict[str, str]:
    return {"base": base, "corrupted": corrupted, "answer": "a", "foil": "b", **more}


MINE = pair(KEPT, "the capital of Iowa is", source="Iowa is ruled from", base_entity="Ohio", source_entity="Iowa")
SEEN = pair("the capital of Utah is", "the capital of Maine is", base_entity="Utah", source_entity="Maine")


def held_out(tool: str, args: dict[str, Any], mine: dict[str, str] = MINE) -> tuple[bool, bool]:
    """Whether entities and template of one pair still count as held out after an exploration."""
    hypothesis = Hypothesis(id="h", statement="s", kind="mediation", alternatives=(), refuted_if="no")
    prediction = Prediction(
        id="p",
        hypothesis="h",
        direction="positive",
        arms=(Arm(label="a", counterfactual_family="a", tool="patch", args={"pairs": [mine]}),),
        chance=0.0,
        holds_out_entities=True,
        holds_out_template=True,
    )
    found = as_far_as_true(
        Proposal(hypothesis=hypothesis, prediction=prediction),
        [explored(tool, {"pairs": [SEEN]}), explored(tool, args)],
    )
    return found.prediction.holds_out_entities, found.prediction.holds_out_template


def explored(tool: str, args: dict[str, Any]) -> Measurement:
    asked = measurement_id(tool, args, SUBJECT)
    return Measurement(id=asked, tool=tool, subject=SUBJECT, args=args, result={}, digest=digest({}), seconds=0.0)


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("patch", {"pairs": [pair(f" {KEPT} ", "x")]}),
        ("patch", {"pairs": [pair("x", "y", source="Iowa  is ruled from")]}),
        ("circuit_search", {"families": [{"name": "f", "pairs": [pair("x", "y")]}, {"name": "g", "pairs": [MINE]}]}),
        ("subspace_patch", {"pairs": [SEEN], "discovery": [MINE]}),
        ("patch", {"pairs": [SEEN], "reference": [{"prompt": KEPT, "entity": "Ohio", "label": "l"}]}),
        ("logit_lens", {"prompts": ["something", KEPT]}),
        ("attribution_graph", {"prompt": KEPT}),
        ("feature_signatures", {"features": ["0/1"], "probes": [{"text": KEPT, "concept": "Ohio"}]}),
        ("steer", {"positive": [KEPT], "prompts": ["x"]}),
        ("steering_card", {"contexts": [{"name": "n", "prompts": [KEPT]}]}),
        ("observable", {"read_on": [{"prompt": KEPT}]}),
        ("feature_transfer", {"prompt": "x", "swapped": [{"prompt": KEPT, "target": "Columbus"}]}),
        ("a tool that nobody wrote yet", {"whatever": {"it": [{"calls": [KEPT]}]}}),
    ],
)
def test_a_prompt_that_was_looked_into_is_not_held_out_wherever_it_stood(tool: str, args: dict[str, Any]):
    assert held_out(tool, args) == (False, False)


@pytest.mark.parametrize(
    ("tool", "args"),
    [
        ("circuit_search", {"families": [{"name": "f", "pairs": [pair("x", "y", base_entity="Ohio")]}]}),
        ("circuit_search", {"families": [{"name": "f", "pairs": [pair("all of Ohio", "all of Peru")]}]}),
        ("logit_lens", {"prompts": ["people in Ohio say"]}),
        ("patch", {"pairs": [SEEN], "reference": [{"prompt": "Ohio lies in", "entity": "", "label": "l"}]}),
    ],
)
def test_an_entity_that_was_looked_into_is_not_held_out_and_the_wording_still_is(tool: str, args: dict[str, Any]):
    assert held_out(tool, args) == (False, True)


@pytest.mark.parametrize("tool", ["next_token", "substitutions"])
def test_what_the_model_was_only_asked_is_still_held_out(tool: str):
    assert held_out(tool, {"prompts": [KEPT], "prompt": KEPT, "answers": ["a"]}) == (True, True)
    assert held_out("patch", {"pairs": [SEEN]}) == (True, True)


@pytest.mark.parametrize(
    "args",
    [
        {"prompts": ["x"], "track": ["Ohio"], "answer": "Ohio", "foil": "Iowa"},
        {"families": [{"name": "Ohio and others", "pairs": [SEEN]}], "supernode": "Say Ohio", "cluster": "in Ohio"},
        {"pairs": [{**SEEN, "cluster": KEPT, "answer": "Ohio"}], "sites": ["Ohio"], "positions": ["last"]},
        {"prompts": ["Ohioans say", "the Iowan way"]},
    ],
)
def test_answers_names_and_longer_words_are_no_entities_that_were_seen(args: dict[str, Any]):
    assert held_out("logit_lens", args) == (True, True)


def test_a_prompt_of_one_word_is_told_from_an_answer_by_its_argument():
    monday = pair("Monday", "Friday")
    assert held_out("logit_lens", {"prompts": ["Monday"]}, monday) == (False, False)
    assert held_out("logit_lens", {"prompts": ["Sunday"], "track": ["Monday"]}, monday) == (True, True)
    assert held_out("patch", {"pairs": [pair("Sunday", "Tuesday") | {"answer": "Monday"}]}, monday) == (True, True)
    last = pair("first", "last")
    assert held_out("patch", {"pairs": [SEEN], "positions": ["last"], "value": "source"}, last) == (True, True)


def test_all_prompts_of_a_measurement_are_told():
    args = {"prompt": "one two", "families": [{"name": "n m", "pairs": [pair("a b", "c d", source="e")]}]}
    assert prompts_of(explored("circuit_search", args)) == {"one two", "a b", "c d", "e"}
    assert prompts_of(explored("next_token", {"prompts": ["one two"]})) == set()
