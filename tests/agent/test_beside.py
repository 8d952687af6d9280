"""One language model plans a question twice, names hidden and then shown, and the report sets both side by side."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from planned_runs import ENOUGH, QUESTION, begun, copying, look, predict, true_head
from scripted_endpoint import Answer, Played, calls, says, serving
from typer.testing import CliRunner
from vesalius.agent.asking import Where, ask, desk_for
from vesalius.agent.beside import BESIDE, ENDING, halves
from vesalius.agent.cli import app
from vesalius.agent.commands.asking import planned_of
from vesalius.agent.failing import EXIT_ERROR, EXIT_PREMISE, SettingError
from vesalius.agent.intake import recall
from vesalius.agent.ledger import read_ledger
from vesalius.agent.planners.llm_blinding import NAMES_RULE, Blinding
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.rebuilding import record_drifts
from vesalius.agent.report.schema import Report, read_report
from vesalius.agent.runs import RunFolder
from vesalius.agent.settings import read_settings
from vesalius.evals.organisms._compile_files import write_organism
from vesalius.memory import ClaimRecord
from vesalius.tools import load_subject, one_thread

HIDDEN = Blinding("names", 0, 4, 4)
HEADS = [f"head.{layer}.{head}" for layer in range(4) for head in range(4)]


class Interrupted(Exception):
    """Stands for a kill."""


class Asked(NamedTuple):
    """What came of `vesalius ask`."""

    status: int
    out: str
    err: str
    played: Played
    home: Path

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def runs(self) -> list[RunFolder]:
        return [RunFolder(path) for path in sorted((self.home / "runs").iterdir())]

    @property
    def reports(self) -> list[Report]:
        return [read_report(run.path / "report.json") for run in self.runs]


@pytest.fixture(scope="module", autouse=True)
def a_single_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The model that copies, with its pairs, as a person has them."""
    folder = tmp_path_factory.mktemp("model") / "copying"
    one, pairs = copying()
    write_organism(one.organism, folder, one)
    (folder.parent / "pairs.json").write_text(json.dumps([pair.model_dump(mode="json") for pair in pairs]))
    return folder


def command(model: Path, pairs: str = "pairs.json") -> list[str]:
    asks = ["ask", QUESTION, "--model", str(model), "--pairs", str(model.parent / pairs), "--device", "cpu", "--json"]
    return [*asks, "--planner", "llm", "--blind", "compare", "--no-memory"]


def environment(home: Path, url: str) -> dict[str, str]:
    return {"VESALIUS_HOME": str(home), "VESALIUS_PLANNER_URL": url, "VESALIUS_PLANNER_MODEL": "tiny"}


def asked(home: Path, arguments: list[str], *script: Answer) -> Asked:
    with serving(*script) as played:
        done = CliRunner().invoke(app, arguments, env=environment(home, played.url))
    return Asked(done.exit_code, done.stdout, done.stderr, played, home)


def recites(request: dict[str, Any]) -> tuple[int, str]:
    """Patches the head that it has read of and no other, and predicts it whatever came of that."""
    return calls(ENOUGH) if turns(request) else calls(look(true_head()), predict(true_head()))


def looks(request: dict[str, Any]) -> tuple[int, str]:
    """Patches every head, and predicts that the one which moved most is part of the path."""
    if turns(request) == 0:
        return calls(look(*HEADS))
    if turns(request) == 1:
        cells = json.loads(request["messages"][-1]["content"])["result"]["cells"]
        return calls(
            predict(max((cell for cell in cells if "effect" in cell), key=lambda cell: cell["effect"])["site"])
        )
    return calls(ENOUGH)


def turns(request: dict[str, Any]) -> int:
    return sum(message["role"] == "assistant" for message in request["messages"])


def is_hidden(request: dict[str, Any]) -> bool:
    return NAMES_RULE.strip() in json.dumps(request["messages"], ensure_ascii=False).replace("\\n", "\n")


@pytest.fixture(scope="module")
def reciting(tmp_path_factory, model) -> Asked:
    done = asked(tmp_path_factory.mktemp("reciting"), command(model), recites)
    assert done.status == 0, done.err
    return done


@pytest.fixture(scope="module")
def looking(tmp_path_factory, model) -> Asked:
    done = asked(tmp_path_factory.mktemp("looking"), command(model), looks)
    assert done.status == 0, done.err
    return done


def test_names_are_hidden_in_the_first_run_alone(reciting):
    assert [is_hidden(request) for request in reciting.played.asked] == [True, True, False, False]
    first, second = reciting.runs
    assert second.name == f"{first.name}{ENDING}"
    assert (first.info.planned.blind, second.info.planned.blind) == ("names", "off")
    assert second.info.beside == first.name
    assert "unblinded" in [entry.key for entry in read_ledger(first.ledger)]


def test_what_is_recited_is_supported_only_where_names_are_shown_and_the_report_says_so(reciting):
    first, second = reciting.reports
    assert HIDDEN.true_site(true_head()) != true_head()
    assert [claim.judgement.verdict for claim in second.claims] == ["supported"]
    assert [claim.prediction.arms[0].args["sites"] for claim in first.claims] == [[HIDDEN.true_site(true_head())]]
    assert "supported" not in [claim.judgement.verdict for claim in first.claims]
    beside = reciting.told["beside"]
    assert beside["run"] == first.run
    assert beside["text"].startswith("Hiding names changed what was found. Supported only with names shown: ")
    assert f"`{true_head()} at last` moves the answer (claim `c1`, effect" in beside["text"]
    assert "with names hidden not claimed" in beside["text"]
    assert "may have been predicted from what is known of such models" in beside["text"]
    (found,) = (one for one in beside["places"] if one["place"] == f"{true_head()} at last")
    (guess,) = (one for one in beside["places"] if one is not found)
    assert (found["hidden"], found["shown"]["verdict"]) == (None, "supported")
    assert guess["shown"] is None


def test_every_figure_of_the_table_is_one_of_its_run(reciting):
    first, second = reciting.reports
    for report, half in ((first, "hidden"), (second, "shown")):
        told = {one[half]["id"]: one[half] for one in reciting.told["beside"]["places"] if one[half]}
        assert told.keys() == {claim.id for claim in report.claims}
        for claim in report.claims:
            judged = claim.judgement.model_dump(include={"verdict", "tier", "effect", "low", "high"})
            assert {name: told[claim.id][name] for name in judged} == judged


def test_every_page_has_both_and_the_name_of_the_other_run(reciting):
    first, second = reciting.runs
    for kind in ("md", "html"):
        text = (second.path / f"report.{kind}").read_text()
        assert "With names hidden" in text
        assert f"vesalius verify {first.name}" in text
        assert "not claimed" in text
        assert "With names hidden" not in (first.path / f"report.{kind}").read_text()
    shown = CliRunner().invoke(
        app, ["ask", "--resume", "last"], env=environment(reciting.home, "http://127.0.0.1:9/v1")
    )
    assert shown.exit_code == 0
    said = " ".join(shown.stdout.split())
    assert "The same question with names hidden" in said
    assert "Hiding names changed what was found." in said
    assert f"vesalius verify {first.name}" in said


def test_progress_says_which_run_it_is_and_that_each_has_the_budget(reciting):
    said = " ".join(reciting.err.split())
    assert said.index("First of two runs") < said.index("Second of two runs")
    assert said.count("The budget is for each run by itself.") == 2


def test_neither_run_hears_of_earlier_findings_and_another_run_does(tmp_path):
    one, pairs = copying()
    subject, where = one.organism.subject, Where(tmp_path)
    opener = where.opener()
    assert opener is not None
    with opener() as memory:
        about = {"text": QUESTION, "run": "earlier", "verdict": "supported", "tier": "controlled"}
        memory.remember((ClaimRecord(subject=subject.key, **about),))
    heard = []
    alone = begun(tmp_path, subject, pairs, blind="names")
    for run in (alone, *halves(begun(tmp_path, subject, pairs, blind="names", compare=True))):
        with desk_for(where, subject, run) as desk:
            recall(desk, lambda event: None)
            heard.append([hit.run for hit in desk.recalled])
    assert heard == [["earlier"], [], []]


def test_both_runs_can_be_measured_again(reciting):
    for run in reciting.runs:
        done = CliRunner().invoke(app, ["verify", run.name, "--json"], env=environment(reciting.home, ""))
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["record_checked"]


def drifts(home: Path, model: Path) -> list[tuple[str, str]]:
    folder = RunFolder.open(home, "last")
    report, subject = read_report(folder.path / "report.json"), load_subject(str(model), "cpu")
    return [(d.id, d.path) for d in record_drifts(report, Where(home, use_memory=False), subject, folder)]


def test_the_report_is_built_again_without_the_first_run(reciting, model, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(reciting.home, home)
    shutil.rmtree(home / "runs" / reciting.runs[0].name)
    assert drifts(home, model) == []


def test_a_first_run_that_says_otherwise_by_now_is_a_drift(reciting, model, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(reciting.home, home)
    path = home / "runs" / reciting.runs[0].name / "report.json"
    told = json.loads(path.read_text())
    told["claims"][0]["judgement"]["effect"] += 0.5
    path.write_text(json.dumps(told))
    assert drifts(home, model) == [(BESIDE, "hidden.claims.0.effect")]


def test_a_planner_that_looks_finds_the_same_in_both(looking):
    first, second = looking.reports
    for report in (first, second):
        assert [claim.prediction.arms[0].args["sites"] for claim in report.claims] == [[true_head()]]
        assert [claim.judgement.verdict for claim in report.claims] == ["supported"]
    # It was the same head under another name.
    said = [json.dumps(request["messages"]) for request in looking.played.asked]
    assert HIDDEN.named(true_head()) in said[2]
    beside = looking.told["beside"]
    assert beside["text"].startswith("Hiding names did not change what was found: both runs support the same.")
    assert "Supported only" not in beside["text"]
    assert [one["place"] for one in beside["places"]] == [f"{true_head()} at last"]
    # One measurement confirms it in both, since code takes the same prompts: nothing but the planning differs.
    assert first.claims[0].measurements == second.claims[0].measurements


def test_runs_that_are_stopped_anywhere_go_on_with_the_right_one_and_ask_nothing_twice(looking, model, tmp_path):
    subject, where = load_subject(str(model), "cpu"), Where(tmp_path, use_memory=False)
    first = begun(tmp_path, subject, copying()[1], blind="names", compare=True)
    (tmp_path / "runs" / f"{first.name}{ENDING}").mkdir()  # as a kill leaves it before run.json is there
    stops = [
        (False, "said"),
        (False, "judged"),
        (False, "reporting"),
        (True, "begun"),
        (True, "said"),
        (True, "sealed"),
    ]

    def go_on(url: str, stop: tuple[bool, str] | None) -> None:
        """With the newest run, and with the one that is to follow it, until something stops them."""
        consultant = Consultant(lambda: Endpoint(base_url=url, model="tiny"), "tiny")
        for half in halves(RunFolder.open(tmp_path, "last")):

            def see(event: dict[str, Any], is_second: bool = bool(half.info.beside)) -> None:
                if (is_second, event["event"]) == stop:
                    raise Interrupted

            see({"event": "begun"})
            with desk_for(where, subject, half, None, consultant) as desk:
                ask(desk, see)

    with serving(looks) as played:
        for stop in stops:
            with pytest.raises(Interrupted):
                go_on(played.url, stop)
        go_on(played.url, None)
    assert [request["messages"] for request in played.asked] == [r["messages"] for r in looking.played.asked]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    for mine, whole in zip(sorted((tmp_path / "runs").iterdir()), looking.runs, strict=True):
        assert bodies(mine) == bodies(whole.path)


def bodies(run: Path) -> list[dict[str, Any]]:
    return [entry.body for entry in read_ledger(run / "ledger.jsonl")]


@pytest.mark.slow
def test_a_command_that_was_killed_in_the_first_run_ends_with_the_second_by_resume_last(model, tmp_path):
    processes: list[subprocess.Popen[bytes]] = []

    def kills(request: dict[str, Any]) -> tuple[int, str]:
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        return recites(request)

    with serving(recites, kills, recites) as played:
        env = {**os.environ, **environment(tmp_path, played.url)}
        asks = [sys.executable, "-m", "vesalius.agent", *command(model)]
        processes.append(subprocess.Popen(asks, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        assert processes[0].wait() == -signal.SIGKILL
        resumed = ["ask", "--resume", "last", "--json", "--no-memory"]
        done = CliRunner().invoke(app, resumed, env=environment(tmp_path, played.url))
        assert done.exit_code == 0, done.stderr
        assert [is_hidden(request) for request in played.asked] == [True, True, True, False, False]
        assert played.asked[1] == played.asked[2], "the one that was killed got no answer"
    assert json.loads(done.stdout)["beside"]["text"].startswith("Hiding names changed what was found.")


@pytest.mark.slow
def test_a_planner_that_gives_up_in_one_run_is_said_to_have(model, tmp_path):
    def gives_up(request: dict[str, Any]) -> tuple[int, str]:
        return says("I cannot help with that.") if is_hidden(request) else recites(request)

    done = asked(tmp_path, command(model), gives_up)
    assert done.status == 0, done.err
    assert done.told["beside"]["text"].startswith(
        "With names hidden too many turns of the language model led to nothing, and the deterministic planner finished"
    )
    assert "With names shown too many" not in done.told["beside"]["text"]


def test_an_exploration_that_is_cut_short_in_one_run_is_said_to_be(model, tmp_path):
    done = asked(tmp_path, [*command(model), "--budget", "calls=1"], recites)
    assert done.status == 0, done.err
    assert "With names hidden the exploration was cut short" in done.told["beside"]["text"]
    assert "With names shown the exploration was cut short" in done.told["beside"]["text"]
    assert len(done.played.asked) == 2, "the budget is for each run"


def test_where_the_premise_does_not_hold_the_report_says_that_nothing_was_planned(model, tmp_path):
    rows = json.loads((model.parent / "pairs.json").read_text())
    wrong = [row | {"answer": row["foil"], "foil": row["answer"]} for row in rows]
    (model.parent / "wrong.json").write_text(json.dumps(wrong))
    done = asked(tmp_path, command(model, "wrong.json"), recites)
    assert done.status == EXIT_PREMISE, done.err
    assert done.played.asked == []
    assert len(done.runs) == 2
    assert done.told["beside"]["places"] == []
    assert done.told["beside"]["text"] == (
        "No language model was asked to plan in either run, so hiding names could change nothing. The premise does not "
        "hold."
    )


def test_a_feature_is_asked_about_once_and_the_report_says_why(tmp_path):
    asks = [
        "ask",
        "What does feature 0/7 stand for?",
        "--planner",
        "llm",
        "--blind",
        "compare",
        "--no-memory",
        "--json",
    ]
    done = asked(tmp_path, [*asks, "--device", "cpu"], recites)
    assert done.status == 0, done.err
    (report,) = done.reports
    assert done.told["beside"] is None
    assert any("So it was asked once, and no names were hidden." in one.text for one in report.not_found)
    assert "no second run follows" in " ".join(done.err.split())


def test_it_is_refused_where_no_language_model_plans_and_where_one_run_is_all_there_is(model, tmp_path):
    done = asked(tmp_path, [*command(model), "--planner", "protocol"], recites)
    assert done.status == EXIT_ERROR
    assert "nobody can be blinded" in done.err
    settings = read_settings(planner="llm", planner_url="http://127.0.0.1:9/v1", planner_model="x", blind="compare")
    with pytest.raises(SettingError, match="`vesalius ask` alone makes two"):
        planned_of(settings)
