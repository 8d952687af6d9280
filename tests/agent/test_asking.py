"""Who plans a run: a language model where it has something to choose, and code where it has not."""

import json

import pytest
from scripted_endpoint import says, serving
from vesalius.agent.asking import Where, ask, desk_for, planning_model, start_run
from vesalius.agent.planners.llm import LLMPlanner
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import Planned

FEATURE = "What does feature 0/7 stand for?"
PLANNED = Planned(by="tiny", blind="names")


@pytest.fixture(scope="module")
def feature(atlas, tmp_path_factory):
    """A question about a feature that a language model was to plan, and to write probes for."""
    where = Where(tmp_path_factory.mktemp("feature"), use_memory=False)
    with serving(says("I plan.")) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny", retries=0)
        folder = start_run(where, atlas, FEATURE, 0, "cpu", probes_by="tiny", planned=PLANNED)
        with desk_for(where, atlas, folder, consultant=Consultant(lambda: endpoint, "tiny")) as desk:
            ask(desk, lambda event: None)
    return folder, played.asked


def test_the_course_of_a_feature_is_attributed_to_code_and_nobody_is_asked(feature):
    folder, asked = feature
    report = read_report(folder.path / "report.json")
    assert (report.planner, report.planning, asked) == ("protocol", None, [])
    bodies = [json.loads(line)["body"] for line in folder.ledger.read_text().splitlines()]
    assert bodies[0]["planner"] == "protocol"
    assert not any("unblinded" in body for body in bodies)
    assert folder.info.planned.by == "tiny"


def test_its_report_says_that_the_language_model_was_not_asked_and_why(feature):
    folder, _ = feature
    for kind in ("md", "html"):
        text = (folder.path / f"report.{kind}").read_text()
        assert "was not asked to plan: a question about a feature has one course" in text
        assert "language model tiny" not in text


def test_other_questions_are_planned_by_the_language_model(atlas, tmp_path):
    where = Where(tmp_path, use_memory=False)
    question = "Why does the model answer 'Austin' after 'the capital of Texas is'?"
    folder = start_run(where, atlas, question, 0, "cpu", planned=PLANNED)
    assert planning_model(folder.info) == "tiny"
    with desk_for(where, atlas, folder) as desk:
        assert isinstance(desk.planner, LLMPlanner)
        assert desk.planner.blind == "names"
