"""Measuring again: the same comes out as reproduced, a changed number as drifted, other weights as not reproducible."""

from collections.abc import Iterator

import pytest
from conftest import make_subject
from pydantic import Field
from vesalius.agent.report.schema import MeasurementRecord, Report
from vesalius.agent.report.verify import differences, exit_status, verify
from vesalius.tools import Progress, ToolArgs, ToolError, ToolResult, _base, digest, silent, tool
from vesalius.tools._subject import Subject


@pytest.fixture
def load(gpt2):
    return lambda name: gpt2


def with_result(report: Report, index: int, change) -> Report:
    """The report with one stored result changed, its digest too, as a careful forger would."""
    records = list(report.measurements)
    result = change(records[index].measurement.result)
    measurement = records[index].measurement.model_copy(update={"result": result, "digest": digest(result)})
    records[index] = records[index].model_copy(update={"measurement": measurement})
    return report.model_copy(update={"measurements": tuple(records)})


def test_an_honest_report_is_reproduced_to_the_bit(report, load):
    seen: list[tuple[int, int, str]] = []
    found = verify(report, load, lambda *step: seen.append(step))
    assert found.reproduced == tuple(r.measurement.id for r in report.measurements)
    assert (found.drifted, found.not_reproducible, found.bit_identical) == ((), (), 4)
    assert exit_status(found) == 0
    assert seen[-1] == (4, 4, "compared")


def test_each_subject_is_loaded_once(report, gpt2):
    asked: list[str] = []
    verify(report, lambda name: asked.append(name) or gpt2)
    assert asked == ["random-gpt2"]


def test_a_forged_number_drifts_even_with_a_forged_digest(report, load):
    forged = with_result(report, 0, lambda r: r | {"gap": r["gap"] * 1.01})
    found = verify(forged, load)
    honest, wrong = report.measurements[0].measurement, forged.measurements[0].measurement
    assert [(d.id, d.path, d.was, d.now) for d in found.drifted] == [
        (honest.id, "gap", wrong.result["gap"], honest.result["gap"])
    ]
    assert honest.id not in found.reproduced
    assert exit_status(found) == 1


def test_a_forged_truth_value_drifts(report, load):
    found = verify(with_result(report, 1, lambda r: r | {"clean_correct": [True] * 6}), load)
    assert {d.path for d in found.drifted} == {f"clean_correct.{i}" for i in range(6)}


def test_a_change_within_the_tolerance_is_found_by_the_digest(report, load):
    records = list(report.measurements)
    result = records[0].measurement.result
    changed = records[0].measurement.model_copy(update={"result": result | {"gap": result["gap"] * (1 + 1e-6)}})
    records[0] = MeasurementRecord(measurement=changed, phase="explore", why="")
    found = verify(report.model_copy(update={"measurements": tuple(records)}), load)
    assert [d.path for d in found.drifted] == ["digest of the stored result"]
    assert found.bit_identical == 4


def test_forged_arguments_are_found_by_the_id(report, load):
    records = list(report.measurements)
    args = records[3].measurement.args | {"top_k": 5}
    records[3] = records[3].model_copy(update={"measurement": records[3].measurement.model_copy(update={"args": args})})
    found = verify(report.model_copy(update={"measurements": tuple(records)}), load)
    assert "id of the stored request" in {d.path for d in found.drifted}


def test_other_weights_are_not_reproducible(report):
    found = verify(report, lambda name: make_subject("gpt2", seed=1))
    assert len(found.not_reproducible) == 4
    assert "other weights than were measured" in found.not_reproducible[0].reason
    assert found.reproduced == ()
    assert exit_status(found) == 4


def test_a_model_that_cannot_be_loaded_is_not_reproducible(report):
    def load(name: str) -> Subject:
        raise ToolError("The model is gone.", mend="Fetch it.")

    found = verify(report, load)
    assert {n.reason for n in found.not_reproducible} == {"The model is gone. Fetch it."}


class WobbleArgs(ToolArgs):
    scale: float = Field(1.0, description="Factor.")


class WobbleResult(ToolResult):
    value: float = Field(description="A number.")
    count: int = Field(description="A whole number.")


WOBBLE = {"offset": 0.0, "count": 3}


@pytest.fixture
def wobbly(make_report, gpt2) -> Iterator[Report]:
    """A report that ends with a measurement of a tool whose results the test can move."""

    @tool
    def wobble(subject: Subject, args: WobbleArgs, progress: Progress = silent) -> WobbleResult:
        """Return what the test set."""
        return WobbleResult(value=1.0 + WOBBLE["offset"], count=int(WOBBLE["count"]))

    WOBBLE.update(offset=0.0, count=3)
    yield make_report(gpt2, more=(wobble.measure(gpt2, WobbleArgs()),))
    _base._TOOLS.pop("wobble", None)


@pytest.mark.parametrize(("offset", "drifts"), [(0.0, False), (9e-4, False), (-9e-4, False), (1.1e-3, True)])
def test_floats_may_differ_by_a_thousandth(wobbly, load, offset, drifts):
    WOBBLE["offset"] = offset
    found = verify(wobbly, load)
    assert [d.path for d in found.drifted] == (["value"] if drifts else [])
    assert found.bit_identical == (5 if offset == 0 else 4)


def test_whole_numbers_may_not_differ(wobbly, load):
    WOBBLE["count"] = 4
    assert [(d.path, d.was, d.now) for d in verify(wobbly, load).drifted] == [("count", 3, 4)]


def test_a_tool_that_is_gone_is_not_reproducible(wobbly, load):
    del _base._TOOLS["wobble"]
    found = verify(wobbly, load)
    assert "There is no tool `wobble`" in found.not_reproducible[0].reason
    assert len(found.reproduced) == 4
    assert exit_status(found) == 4


def test_verdicts_are_judged_again(report, load, make_judgement):
    same = verify(report, load, rejudge=lambda again: {"c1": make_judgement()})
    assert same.drifted == ()
    # Measurements came out the same to the last bit, so what is said of them has to be the same too.
    reworded = verify(report, load, rejudge=lambda again: {"c1": make_judgement(reason="Said otherwise.")})
    assert [drift.path for drift in reworded.drifted] == ["judgement.reason"]
    assert "c1" in same.reproduced
    other = verify(report, load, rejudge=lambda again: {"c1": make_judgement(verdict="inconclusive", effect=0.5)})
    assert {(d.id, d.path) for d in other.drifted} == {("c1", "judgement.verdict"), ("c1", "judgement.effect")}


def test_a_claim_that_is_judged_no_more_drifts(report, load):
    assert [(d.id, d.path) for d in verify(report, load, rejudge=lambda again: {}).drifted] == [("c1", "judgement")]


def test_no_claim_is_judged_on_part_of_the_measurements(wobbly, load):
    del _base._TOOLS["wobble"]
    found = verify(wobbly, load, rejudge=lambda again: pytest.fail("judged on part of the evidence"))
    assert [n.id for n in found.not_reproducible][-1] == "c1"


@pytest.mark.parametrize(
    ("was", "now", "paths"),
    [
        ({"a": 1}, {"a": 1, "new": 2}, []),
        ({"a": 1}, {}, ["a"]),
        ([1, 2], [1], ["len"]),
        ({"a": [0.0]}, {"a": [9e-6]}, []),
        ({"a": [0.0]}, {"a": [2e-5]}, ["a.0"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": None}, {"a": 0.0}, ["a"]),
        ({"a": "x"}, {"a": "y"}, ["a"]),
        ({"a": {"b": 1}}, {"a": 1}, ["a"]),
    ],
)
def test_differences_are_named_by_their_path(was, now, paths):
    assert [path for path, _, _ in differences(was, now)] == paths
