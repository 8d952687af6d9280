import pytest
from finished_runs import a_run
from vesalius.agent.bench import Bench
from vesalius.agent.chat.reuse import Earlier, shared_confirmations
from vesalius.agent.ledger import Ledger
from vesalius.agent.planners.interface import Experiment
from vesalius.tools import digest, get_tool

ARGS = {"prompts": ["the capital of Texas is"], "answers": ["Austin"]}


def silent(*_: object) -> None:
    pass


@pytest.fixture
def asked(atlas):
    tool = get_tool("next_token")
    return tool.measure(atlas, tool.parse(ARGS))


def bench_with(atlas, tmp_path, ledger, before, *sealed):
    """The bench of a new run, with an earlier run at hand."""
    bench = Bench(atlas, a_run(tmp_path, second=5))
    bench.earlier = Earlier(bench, ledger, lambda: sealed, [before]).find
    return bench


def test_what_was_explored_before_is_taken_from_the_earlier_run_and_the_ledger_says_so(atlas, asked, tmp_path):
    before = a_run(tmp_path, asked)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        bench = bench_with(atlas, tmp_path, ledger, before)
        found, known = bench.measure("next_token", ARGS, None, silent)
        (entry,) = ledger.entries("note")
    assert (found, known) == (asked, True)  # the very seconds of the first time: it did not run again
    assert bench.folder.kept(asked.id) == asked
    assert entry.body == {"reused": asked.id, "from": before.name}


def test_what_confirms_a_sealed_prediction_is_measured_anew_and_comes_out_the_same(atlas, asked, tmp_path):
    sealed = Experiment(key="p1", tool="next_token", args=ARGS, why="", phase="confirm", prediction="p1")
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        bench = bench_with(atlas, tmp_path, ledger, a_run(tmp_path, asked), sealed)
        found, known = bench.measure("next_token", ARGS, None, silent)
        assert not [*ledger.entries("note")]
    assert not known
    assert found.seconds != asked.seconds
    assert found.digest == asked.digest


@pytest.mark.parametrize(
    "other",
    [
        {"args": {**ARGS, "top_k": 9}},
        {"tool": "logit_lens"},
        {"subject": {"model": "atlas", "fingerprint": "0" * 64, "reinit_seed": None}},
        {"subject": {"model": "atlas", "reinit_seed": 1}},
    ],
)
def test_a_measurement_of_another_request_under_the_same_id_is_not_taken(atlas, asked, tmp_path, other):
    plain = asked.model_dump(mode="json")
    if "subject" in other:
        other = {"subject": {**plain["subject"], **other["subject"]}}
    impostor = type(asked).model_validate({**plain, **other})
    folder = a_run(tmp_path)
    bench = Bench(atlas, folder, earlier=lambda wanted: impostor)
    found, known = bench.measure("next_token", ARGS, None, silent)
    assert not known
    assert found.args == asked.args


def test_features_of_a_dictionary_that_has_changed_since_are_measured_anew(atlas, tmp_path):
    args = {"prompts": ["the capital of Texas is"], "dictionary": "neurons"}
    first = Bench(atlas, a_run(tmp_path)).measure("feature_activations", args, None, silent)[0]
    result = {**first.result, "dictionary_digest": "0" * 64}
    changed = first.model_copy(update={"result": result, "digest": digest(result)})
    again = Bench(atlas, a_run(tmp_path, second=1), earlier=lambda wanted: changed)
    assert again.measure("feature_activations", args, None, silent) == (
        first.model_copy(update={"seconds": again.folder.measurement(first.id).seconds}),
        False,
    )


def test_a_file_that_was_changed_is_as_good_as_not_there(atlas, asked, tmp_path):
    before = a_run(tmp_path, asked)
    path = next((before.path / "measurements").iterdir())
    path.write_text(path.read_text().replace("Austin", "Boston"))
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        bench = bench_with(atlas, tmp_path, ledger, before)
        assert bench.earlier(asked.id) is None


def test_runs_of_another_device_are_not_looked_at(atlas, asked, tmp_path):
    before = a_run(tmp_path, asked)
    (before.path / "run.json").write_text(before.info.model_copy(update={"device": "cuda"}).model_dump_json())
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert bench_with(atlas, tmp_path, ledger, before).earlier(asked.id) is None


def test_two_runs_confirmed_by_the_same_requests_are_said_to_be_one_piece_of_evidence(dallas):
    report = dallas.report
    confirming = [r.measurement.id for r in report.measurements if r.phase == "confirm"]
    again = report.model_copy(update={"run": "again"})
    assert shared_confirmations(again, [report, again]) == {report.run: confirming}
    key = report.subject.key.model_copy(update={"fingerprint": "0" * 64})
    elsewhere = report.model_copy(update={"subject": report.subject.model_copy(update={"key": key})})
    assert shared_confirmations(again, [elsewhere]) == {}
