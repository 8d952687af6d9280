"""What is to be compared is found and checked before a model is loaded."""

import json
import shutil
from pathlib import Path

import pytest
from vesalius.agent.comparing.inputs import find, side_a, side_b
from vesalius.agent.ledger import LedgerError
from vesalius.agent.report.schema import Report, UnreadableReport
from vesalius.agent.runs import UnknownRun
from vesalius.tools import ToolError


def never(name):
    raise AssertionError(f"{name} was loaded")


@pytest.fixture
def kept(dallas, tmp_path):
    """A home with a copy of the finished run, to be spoilt."""
    folder = tmp_path / "runs" / dallas.folder.name
    shutil.copytree(dallas.folder.path, folder)
    return tmp_path


@pytest.fixture
def run(kept, dallas):
    return kept / "runs" / dallas.folder.name


def rewritten(path: Path, change):
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


@pytest.mark.parametrize("named", ["last", "name", "folder", "file"])
def test_a_run_is_found_by_any_of_its_names(kept, run, dallas, named):
    source = {"last": "last", "name": run.name, "folder": str(run), "file": str(run / "report.json")}[named]
    assert side_a(kept, [source], never).reports == (dallas.report,)


def test_a_model_is_no_run(kept):
    assert find(kept, "atlas") == "atlas"
    assert find(kept, "somebody/model") == "somebody/model"


def test_what_is_neither_says_both(kept):
    with pytest.raises(UnknownRun, match=r"There is no run 'nope'.*Or give a model: atlas"):
        find(kept, "nope")


def test_the_model_of_a_run_is_b(kept, dallas):
    found = side_b(kept, "last")
    assert (found.model, found.report) == ("atlas", dallas.report)


def test_a_models_claims_are_those_of_all_runs_about_its_weights(kept, dallas, atlas):
    found = side_a(kept, ["atlas"], lambda name: atlas)
    assert found.reports == (dallas.report,)
    assert found.passed_over == ()


def test_the_newer_of_two_runs_that_ask_the_same_is_taken_and_the_other_named(kept, run, atlas):
    newer = run.parent / f"29990101-{run.name[9:]}"
    shutil.copytree(run, newer)
    found = side_a(kept, ["atlas"], lambda name: atlas)
    assert len(found.reports) == 1
    assert f"{run.name}: " in found.passed_over[0]
    assert "asks the same, and is newer" in found.passed_over[0]


def test_a_run_about_other_weights_is_not_the_models(kept, subject_of):
    with pytest.raises(ToolError, match=r"claims anything about .*other.*Ask first: vesalius ask 'QUESTION' --model "):
        side_a(kept, [str(_model_folder(kept))], lambda name: subject_of("llama"))


def _model_folder(home: Path) -> Path:
    folder = home / "other"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def test_a_home_without_runs_says_how_to_ask_and_loads_nothing(tmp_path):
    with pytest.raises(ToolError, match="Ask first: vesalius ask"):
        side_a(tmp_path, ["atlas"], never)


def test_a_run_that_claims_nothing_says_why_and_how_to_ask(kept, run):
    def nothing(raw):
        raw["claims"], raw["answer"] = [], []
        raw["premise"] = {"holds": False, "sentence": {"text": "It does not answer that."}}

    rewritten(run / "report.json", nothing)
    with pytest.raises(ToolError, match=r"It does not answer that\..*nothing to test again. Ask first"):
        side_a(kept, [str(run / "report.json")], never)


def test_a_ledger_that_was_changed_is_refused(kept, run):
    lines = (run / "ledger.jsonl").read_text().splitlines()
    lines[3] = lines[3].replace("a", "b", 1)
    (run / "ledger.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError):
        side_a(kept, ["last"], never)


def test_a_ledger_that_was_cut_short_is_not_that_of_its_report(kept, run):
    lines = (run / "ledger.jsonl").read_text().splitlines(keepends=True)
    (run / "ledger.jsonl").write_text("".join(lines[:-3]))
    with pytest.raises(LedgerError, match="not the one that its report was made from"):
        side_a(kept, ["last"], never)


def test_a_measurement_that_was_changed_is_refused(kept, run):
    def spoil(raw):
        patched = next(r for r in raw["measurements"] if r["measurement"]["tool"] == "patch")
        patched["measurement"]["result"]["cells"][0]["effects"][0] += 0.5

    rewritten(run / "report.json", spoil)
    with pytest.raises(ToolError, match="was changed after it was made"):
        side_a(kept, ["last"], never)


def test_a_run_that_has_not_ended_says_how_to_go_on(kept, run):
    (run / "report.json").unlink()
    with pytest.raises(ToolError, match="ask --resume"):
        side_a(kept, ["last"], never)


def test_a_file_that_is_no_report_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(UnreadableReport, match="schema version"):
        find(tmp_path, str(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("judgement", "effect"), 0.5, "judgement of c1 .* does not follow from what it measured .judgement.effect"),
        (("judgement", "verdict"), "refuted", "judgement of c1 .* does not follow"),
        (("prediction", "smallest_effect"), 0.999, "judgement of c1 .* does not follow"),
        (("prediction", "twin_arms"), [], "judgement of c1 .* does not follow"),
        (("hypothesis", "statement"), "It moves 17 answers.", "Claim c1 .* states what no claim does"),
    ],
)
def test_a_claim_that_does_not_follow_from_what_was_measured_is_refused(path, value, told, kept, run):
    other = kept / "other.json"
    shutil.copy(run / "report.json", other)
    assert isinstance(find(kept, str(other)), Report)
    rewritten(other, lambda raw: raw["claims"][0][path[0]].update({path[1]: value}))
    with pytest.raises(ToolError, match=told):
        find(kept, str(other))


def test_a_prediction_that_is_not_as_it_was_sealed_is_refused_where_the_ledger_is_there(kept, run):
    rewritten(run / "report.json", lambda raw: raw["claims"][0]["prediction"]["arms"][0].update({"label": "as told"}))
    with pytest.raises(LedgerError, match="not the one that its report was made from"):
        find(kept, "last")
    with pytest.raises(LedgerError, match="not the one that its report was made from"):
        find(kept, str(run / "report.json"))


def test_reports_about_other_weights_are_not_mixed(kept, dallas, monkeypatch):
    key = dallas.report.subject.key.model_copy(update={"fingerprint": "0" * 64})
    subject = dallas.report.subject.model_copy(update={"key": key})
    both = iter((dallas.report, dallas.report.model_copy(update={"run": "other", "subject": subject})))
    monkeypatch.setattr("vesalius.agent.comparing.inputs.find", lambda home, source: next(both))
    with pytest.raises(ToolError, match="Compare them one by one"):
        side_a(kept, ["one", "other"], never)
