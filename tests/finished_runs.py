"""Investigations run to their end, for tests to look at."""

from pathlib import Path
from typing import Any, NamedTuple

from vesalius.agent.asking import Where, ask, desk_for, start_run
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.report.schema import Report, read_report
from vesalius.agent.runs import RunFolder, RunInfo
from vesalius.tools import Measurement, Subject

DALLAS = "Why does the model answer 'Austin' after 'the capital of the state containing Dallas is'?"


class Finished(NamedTuple):
    """A run that ended, with the events it emitted."""

    folder: RunFolder
    report: Report
    events: list[dict[str, Any]]


def finish(where: Where, subject: Subject, question: str, pairs: tuple[ContrastPair, ...] = ()) -> Finished:
    """Ask and wait for the report."""
    folder = start_run(where, subject, question, seed=0, device="cpu", pairs=pairs)
    events: list[dict[str, Any]] = []
    with desk_for(where, subject, folder) as desk:
        ask(desk, events.append)
    return Finished(folder, read_report(folder.path / "report.json"), events)


def a_run(home: Path, *measurements: Measurement, second: int = 0) -> RunFolder:
    """A run of which nothing is kept but these measurements, begun in this second."""
    created = f"2026-01-01T00:00:0{second}+00:00"
    folder = RunFolder.create(home, RunInfo(question="Why?", model="atlas", device="cpu", seed=0, created=created))
    for measurement in measurements:
        folder.keep(measurement)
    return folder
