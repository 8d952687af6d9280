"""An investigation as an Inspect log, read back by Inspect itself."""

import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from finished_runs import DALLAS, Finished, finish
from vesalius.agent.asking import Where
from vesalius.agent.ledger import LedgerError, read_ledger
from vesalius.agent.report.schema import read_report
from vesalius.tools import Subject

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install 'vesalius[inspect]'")
from inspect_ai.log import read_eval_log
from vesalius.agent.commands.exporting import inspect_command
from vesalius.agent.inspect_log import _marked, inspect_log
from vesalius.agent.settings import read_settings


@pytest.fixture(scope="module")
def exported(dallas: Finished, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The log as Inspect reads it, written where nothing can be fetched."""
    out = tmp_path_factory.mktemp("inspect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
        inspect_command(read_settings(home=home), dallas.folder.name, out / "dallas.eval", as_json=False)
    assert [path.name for path in out.iterdir()] == ["dallas.eval"]
    return read_eval_log(str(out / "dallas.eval"))


def test_the_task_is_the_question_and_the_samples_are_the_answer_and_the_claims(exported, dallas: Finished):
    assert (exported.status, exported.eval.task) == ("success", DALLAS)
    assert exported.eval.model == "atlas"
    assert exported.eval.metadata["ledger_digest"] == dallas.report.ledger_digest
    claims = [sample.metadata["claim"] for sample in exported.samples[1:]]
    assert exported.samples[0].id == "answer"
    assert claims == [claim.id for claim in dallas.report.claims]


def test_every_claim_has_its_verdict_tier_interval_and_measurements(exported, dallas: Finished):
    for sample, claim in zip(exported.samples[1:], dallas.report.claims, strict=True):
        judged = claim.judgement
        assert sample.scores["verdict"].value == judged.verdict
        assert sample.scores["verdict"].metadata["measurements"] == list(claim.measurements)
        assert sample.scores["tier"].value == judged.tier
        assert sample.metadata["effect"] == judged.effect
        assert sample.metadata["interval"] == [judged.low, judged.high]
        tools = [event.id for event in sample.events if event.event == "tool"]
        assert sorted(tools) == sorted(claim.measurements)


def test_verdicts_are_counted(exported, dallas: Finished):
    (scored,) = exported.results.scores
    verdicts = [claim.judgement.verdict for claim in dallas.report.claims]
    assert {name: metric.value for name, metric in scored.metrics.items()} == {
        name: verdicts.count(name) for name in ("supported", "refuted", "inconclusive")
    }


def test_the_course_is_the_ledger_in_its_order_each_experiment_with_its_arguments(exported, dallas: Finished):
    records = {record.measurement.id: record.measurement for record in dallas.report.measurements}
    due = [e.body["measurement"] for e in read_ledger(dallas.folder.ledger) if "measurement" in e.body]
    ran = [event for event in exported.samples[0].events if event.event == "tool" and not event.failed]
    assert [event.id for event in ran] == due
    for event in ran:
        assert event.function == records[event.id].tool
        assert event.arguments == records[event.id].args
        assert event.metadata["digest"] == records[event.id].digest


def test_stages_follow_each_other_and_a_prediction_is_sealed_before_it_is_confirmed(exported):
    stages = [event.name for event in exported.samples[0].events if event.event == "span_begin"]
    assert stages[:4] == ["intake", "explore", "seal", "confirm"]
    assert stages[-1] == "judge"


def test_times_are_of_the_run_and_never_run_back(exported, dallas: Finished):
    started = datetime.fromisoformat(dallas.report.created)
    times = [event.timestamp for event in exported.samples[0].events]
    assert times == sorted(times)
    assert started <= times[0]
    assert times[-1] <= started + timedelta(seconds=dallas.report.seconds)


def test_the_same_run_gives_the_same_log(dallas: Finished):
    entries = read_ledger(dallas.folder.ledger)
    one, other = (inspect_log(dallas.report, entries).model_dump() for _ in range(2))
    assert one == other


def test_a_ledger_that_was_cut_short_is_refused(dallas: Finished):
    with pytest.raises(LedgerError, match="Restore both"):
        inspect_log(dallas.report, read_ledger(dallas.folder.ledger)[:-1])


def test_a_run_without_a_claim_still_tells_what_happened(atlas: Subject, tmp_path):
    found = finish(Where(tmp_path, use_memory=False), atlas, DALLAS.replace("Austin", "Boston"))
    inspect_command(read_settings(home=tmp_path), "last", tmp_path, as_json=False)
    (sample,) = read_eval_log(str(tmp_path / f"{found.folder.name}.eval")).samples
    assert sample.scores["premise"].value == "does not hold"
    assert any(event.event == "tool" for event in sample.events)


def test_text_is_no_markup_where_it_is_not_code():
    assert _marked("`resid_post.0` of ![x](http://a.b)").startswith("`resid_post.0` of !\\[x\\](")
    assert "://a" not in _marked("![x](http://a.b)")


def test_reading_the_report_again_gives_the_log_that_was_written(exported, dallas: Finished):
    again = inspect_log(read_report(dallas.folder.path / "report.json"), read_ledger(dallas.folder.ledger))
    assert [s.scores for s in again.samples] == [s.scores for s in exported.samples]
