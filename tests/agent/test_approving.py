"""A person approves before sealing, from this process or another, and never after."""

import json
from pathlib import Path

import pytest
from finished_runs import DALLAS
from scripted_endpoint import TWO_GUESSES, serving
from typer.testing import CliRunner
from vesalius.agent.approving import Decision, Place, Waiting, decide
from vesalius.agent.asking import Where, ask, desk_for, start_run
from vesalius.agent.cli import app
from vesalius.agent.commands.approving import FILE, keep_waiting, read_decision
from vesalius.agent.ledger import Ledger, read_ledger
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import Planned
from vesalius.tools import ToolError


def begin(home: Path, atlas, approve="plan"):
    return start_run(
        Where(home, use_memory=False), atlas, DALLAS, 0, "cpu", planned=Planned(by="tiny", approve=approve)
    )


def go_on(home: Path, atlas, folder, url: str, see=lambda event: None):
    consultant = Consultant(lambda: Endpoint(base_url=url, model="tiny"), "tiny")
    with desk_for(Where(home, use_memory=False), atlas, folder, None, consultant) as desk:
        return ask(desk, see)


def waits(home: Path, atlas, approve="plan"):
    folder = begin(home, atlas, approve)
    with serving(*TWO_GUESSES) as played:
        waiting = go_on(home, atlas, folder, played.url)
    assert waiting is not None
    return folder, waiting


@pytest.fixture(scope="module")
def approved_run(tmp_path_factory, atlas):
    """A run in which one prediction was moved and one dropped, taken up by another desk with no endpoint there."""
    home = tmp_path_factory.mktemp("approved")
    folder, waiting = waits(home, atlas)
    with Ledger(folder.ledger) as ledger:
        decide(ledger, waiting, Decision(drop=("p1",), changes={"p2": Place(site="resid_post.0")}))
    assert go_on(home, atlas, folder, "http://127.0.0.1:9/v1") is None
    return folder, waiting


def test_nothing_is_sealed_before_a_person_has_spoken(tmp_path, atlas):
    folder, waiting = waits(tmp_path, atlas)
    assert [one["prediction"] for one in waiting.proposals] == ["p1", "p2"]
    assert not [entry for entry in read_ledger(folder.ledger) if entry.kind == "sealed"]
    # Taken up again without a word, it waits again, and asks nobody anything.
    assert go_on(tmp_path, atlas, folder, "http://127.0.0.1:9/v1") == waiting


def test_what_was_dropped_is_not_sealed_and_what_was_moved_is_sealed_where_it_was_put(approved_run):
    folder, _ = approved_run
    (sealed,) = [entry.body["proposal"] for entry in read_ledger(folder.ledger) if entry.kind == "sealed"]
    assert sealed["prediction"]["id"] == "p2"
    assert {tuple(arm["args"]["sites"]) for arm in sealed["prediction"]["arms"]} == {("resid_post.0",)}
    assert "`resid_post.0`" in sealed["hypothesis"]["statement"]
    assert "resid_post.1" not in sealed["hypothesis"]["statement"]


def test_the_report_says_what_a_person_left_out(approved_run):
    report = read_report(approved_run[0].path / "report.json")
    assert any("as the person who approves wanted" in sentence.text for sentence in report.not_found)
    assert [claim.judgement.verdict for claim in report.claims] == ["supported"]


def test_a_word_cannot_be_changed_after_it_was_given(approved_run):
    folder, waiting = approved_run
    with Ledger(folder.ledger) as ledger, pytest.raises(ValueError, match="says something else"):
        decide(ledger, waiting, Decision())


def test_the_word_can_come_from_the_command_line(tmp_path, atlas):
    folder, waiting = waits(tmp_path, atlas)
    keep_waiting(folder, waiting)
    runner = CliRunner()
    home = ["--home", str(tmp_path)]
    shown = runner.invoke(app, ["approve", "last", "show", *home])
    assert "p2" in shown.output
    assert "resid_post.1" in shown.output
    refused = runner.invoke(app, ["approve", "last", "drop", "p9", *home])
    assert refused.exit_code == 2
    assert "There are: p1, p2" in refused.output
    done = runner.invoke(app, ["approve", "last", "drop", "all", "--json", *home])
    assert json.loads(done.output) == {"run": folder.name, "approved": "plan"}
    assert not (folder.path / FILE).exists()
    assert go_on(tmp_path, atlas, folder, "http://127.0.0.1:9/v1") is None
    assert read_report(folder.path / "report.json").claims == ()
    again = runner.invoke(app, ["approve", "last", *home])
    assert again.exit_code == 2
    assert "waits for nothing" in again.output


def test_each_experiment_can_be_left_out_and_exploration_ended(tmp_path, atlas):
    folder = begin(tmp_path, atlas, "each")
    with serving(*TWO_GUESSES) as played:
        first = go_on(tmp_path, atlas, folder, played.url)
        assert (first.key, first.experiment["tool"]) == ("premise", "next_token")
        said = {"premise": Decision(), "held-out": Decision(), "turn 1.1": Decision(skip=True)}
        for key, decision in said.items():
            waiting = go_on(tmp_path, atlas, folder, played.url)
            assert waiting.key == key
            with Ledger(folder.ledger) as ledger:
                decide(ledger, waiting, decision)
        plan = go_on(tmp_path, atlas, folder, played.url)
    assert plan.key == "plan"
    failed = [entry.body for entry in read_ledger(folder.ledger) if "failed" in entry.body]
    assert [(body["key"], body["failed"]) for body in failed] == [("turn 1.1", "the person who approves left it out")]


PLAN = Waiting(key="plan", proposals=({"prediction": "p1", "site": ""}, {"prediction": "p2", "site": "mlp_out.1"}))


@pytest.mark.parametrize(
    ("words", "decision"),
    [
        ("", Decision()),
        ("drop p1", Decision(drop=("p1",))),
        ("drop p1,p2", Decision(drop=("p1", "p2"))),
        (
            "p2=resid_post.1 drop p1",
            Decision(drop=("p1",), changes={"p2": Place(site="resid_post.1")}),
        ),
    ],
)
def test_a_decision_is_read_as_it_is_written(words, decision):
    assert read_decision(words.split(), PLAN) == decision


@pytest.mark.parametrize("words", ["yes please", "drop", "p2=", "p2"])
def test_what_cannot_be_read_says_how_to_write_it(words):
    with pytest.raises(ToolError, match="Enter: seal them"):
        read_decision(words.split(), PLAN)


@pytest.mark.parametrize(
    ("decision", "mend"),
    [
        (Decision(drop=("p7",)), "There are: p1, p2"),
        (Decision(changes={"p1": Place(site="mlp_out.0")}), "Seal it as it stands"),
    ],
)
def test_a_decision_about_what_is_not_there_is_not_written_down(decision, mend, tmp_path):
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        with pytest.raises(ToolError, match=mend):
            decide(ledger, PLAN, decision)
        assert ledger.entries() == ()
