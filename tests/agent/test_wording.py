"""What the protocol planner says of what it did, also where that is little."""

import pytest
from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.planners._pairs import pool_from_task
from vesalius.agent.planners._wording import Wording
from vesalius.agent.planners.interface import SubjectCard, Task, View
from vesalius.agent.report.figures import Lookup, render_plain
from vesalius.tools import Measurement

GENERIC = "Why does the model answer 'Austin' after 'people know that the capital of Texas is'?"


def said(report, sentences) -> str:
    return " ".join(render_plain(sentence, Lookup.of(report)) for sentence in sentences)


@pytest.mark.slow
def test_prompts_that_were_chosen_because_they_were_answered_are_said_to_be(atlas, tmp_path):
    report = finish(Where(tmp_path, use_memory=False), atlas, GENERIC).report
    alone = said(report, report.black_box)
    chosen = next(
        r.measurement for r in report.measurements if r.why == "which pairs does the model answer as they say?"
    )
    assert f"of those tried, the model answered {chosen.result['accuracy']:.0%} [{chosen.id}] as expected" in alone
    assert "says nothing of how often it is right" in alone


def test_prompts_of_task_data_were_not_chosen_by_their_answers(dallas):
    assert "chosen" not in said(dallas.report, dallas.report.black_box)


@pytest.mark.parametrize("feature", ["0/7", "2/17"])
def test_a_feature_without_a_name_is_said_to_have_none_with_what_was_measured(atlas, tmp_path, feature):
    report = finish(Where(tmp_path, use_memory=False), atlas, f"What does feature {feature} stand for?").report
    answer = said(report, report.answer)
    assert f"Feature `{feature}` stays unnamed: no token is the peak of more than half of its" in answer
    assert "So nothing was tested." in answer
    assert "No claim about the mechanism" not in answer
    read = report.measurements[0].measurement.result
    assert f"tokens of {read['n_texts']} texts, of which it is active at {read['frequency']:.0%}" in answer


@pytest.mark.parametrize(("shares", "due"), [((0.0, 0.45, 0.1), "at most 45%"), ((0.0, 0.0, 0.0), "at most 0%")])
def test_of_a_mediator_that_nothing_is_claimed_of_it_is_said_how_much_its_exchange_moved(atlas, shares, due):
    cells = [{"site": f"resid_post.{i}", "position": "entity", "moved": moved} for i, moved in enumerate(shares)]
    swept = Measurement(
        id="m-0000", tool="patch", subject=atlas.key, args={}, result={"cells": cells}, digest="", seconds=0.0
    )
    sizes = {"n_layers": 4, "n_heads": 4, "n_vocab": 9, "parallel": False, "n_texts": 0}
    card = SubjectCard.model_validate({"key": atlas.key, "dictionary": "neurons", "tasks": atlas.tasks, **sizes})
    view = View(task=Task(kind="why", question="Why?"), card=card, results={"variable": swept})
    family = atlas.tasks[0]
    words = Wording(view, (), pool_from_task(atlas.tasks, family, family.templates[0], 0), True)
    told = [render_plain(one, Lookup({"m-0000": swept.result}, {})) for one in words._not_found()]
    assert len([one for one in told if due in one and "state at the city's token" in one]) == 1
