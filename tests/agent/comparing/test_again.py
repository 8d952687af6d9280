"""Answers and circuits of two models side by side, from hand-made results."""

import math

import pytest
from vesalius.agent.comparing.again import behaviour, circuit, with_falls
from vesalius.agent.report.schema import MeasurementRecord, Report
from vesalius.tools import Measurement

REPORT = Report.model_construct(run="run", question="Why?")


def answers(*rows):
    """A measurement of prompts: rank and probability of the expected answer, and what is said."""
    said = [{"rank": rank, "probability": p, "top": [[word, 0.9]]} for rank, p, word in rows]
    asked = {"prompts": [f"prompt {i}" for i in range(len(rows))], "answers": ["Austin"] * len(rows)}
    return Measurement.model_construct(id="m-1234", args=asked, result={"answers": said})


def record(made):
    return MeasurementRecord.model_construct(measurement=made, why="does it answer?")


RIGHT, WRONG, UNSURE = (1, 0.9, " Austin"), (3, 0.01, " Salem"), (1, 0.05, " Austin")


def test_what_is_lost_and_gained_is_told_prompt_by_prompt():
    before, after = answers(RIGHT, RIGHT, WRONG), answers(RIGHT, WRONG, RIGHT)
    found = behaviour(REPORT, record(before), after, "", is_premise=False)
    assert (found.n, found.right_a, found.right_b, found.n_gained) == (3, 2, 2, 1)
    (lost,) = found.lost
    assert (lost.prompt, lost.answer, lost.now, lost.before, lost.after) == ("prompt 1", "Austin", " Salem", 0.9, 0.01)
    assert found.probability_a == pytest.approx((0.9 + 0.9 + 0.01) / 3)
    assert not found.gone


@pytest.mark.parametrize(
    ("before", "after", "is_premise", "gone"),
    [
        ((RIGHT,), (WRONG,), True, True),
        ((RIGHT,), (UNSURE,), True, True),
        ((RIGHT,), (WRONG,), False, False),
        ((WRONG,), (WRONG,), True, False),
        ((RIGHT, RIGHT), (RIGHT, WRONG), True, False),
        ((RIGHT, RIGHT, RIGHT), (RIGHT, WRONG, WRONG), True, True),
    ],
)
def test_a_premise_is_gone_where_it_held_and_most_of_its_answers_are_lost(before, after, is_premise, gone):
    assert behaviour(REPORT, record(answers(*before)), answers(*after), "", is_premise).gone is gone


def test_fewer_answers_are_told_where_they_are_not_chance_and_enough_to_matter():
    many = behaviour(
        REPORT, record(answers(*[RIGHT] * 40)), answers(*[RIGHT] * 20, *[WRONG] * 20), "", is_premise=False
    )
    few = behaviour(REPORT, record(answers(*[RIGHT] * 40)), answers(*[RIGHT] * 36, *[WRONG] * 4), "", is_premise=False)
    same = behaviour(REPORT, record(answers(*[RIGHT] * 40)), answers(*[RIGHT] * 40), "", is_premise=False)
    unasked = behaviour(REPORT, record(answers(RIGHT)), None, "no such word", is_premise=False)
    assert (many.p, few.p, same.p) == (pytest.approx(2**-20), pytest.approx(1 / 16), 1.0)
    assert [one.fell for one in with_falls([many, few, same, unasked])] == [True, False, False, False]
    mixed = answers(*[RIGHT] * 10, *[WRONG] * 10), answers(*[WRONG] * 10, *[RIGHT] * 10)
    turned = behaviour(REPORT, record(mixed[0]), mixed[1], "", is_premise=False)
    assert turned.p == pytest.approx(sum(math.comb(20, k) for k in range(10, 21)) / 2**20)
    # Alone it would be surely fewer (1 of 64), among many that are not it is none.
    six = behaviour(REPORT, record(answers(*[RIGHT] * 12)), answers(*[RIGHT] * 6, *[WRONG] * 6), "", is_premise=False)
    assert with_falls([six])[0].fell
    assert not with_falls([six, *[same] * 9])[0].fell


def test_prompts_that_cannot_be_asked_say_why():
    found = behaviour(REPORT, record(answers(RIGHT)), None, "no such word", is_premise=True)
    assert (found.measurement_b, found.problem, found.gone) == ("", "no such word", False)


def searched(*links):
    listed = [
        {"source": source, "slot": slot, "score": score, "hidden": False, "in_circuit": inside}
        for source, slot, score, inside in links
    ]
    return Measurement.model_construct(id="m-5678", result={"links": listed, "faithfulness": [0.9]})


def test_links_are_in_both_circuits_or_in_one():
    a = searched(("embed", "v.0.0", 0.8, True), ("embed", "logits", 0.3, True), ("embed", "mlp_in.0", 0.01, False))
    b = searched(("embed", "v.0.0", 0.7, True), ("embed", "logits", 0.02, False), ("head.0.0", "logits", -0.9, True))
    found = circuit(REPORT, a, b, "")
    assert [(one.source, one.slot, one.a, one.b) for one in found.links] == [
        ("head.0.0", "logits", None, -0.9),
        ("embed", "v.0.0", 0.8, 0.7),
        ("embed", "logits", 0.3, None),
    ]
    assert [len(found.of(side)) for side in ("both", "a", "b")] == [1, 1, 1]


def test_a_search_that_could_not_run_says_why():
    assert circuit(REPORT, searched(), None, "no gap").problem == "no gap"
