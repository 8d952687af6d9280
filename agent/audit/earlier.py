"""Reports whose claims an audit tests again: a run, a report.json, or all runs about a model."""

from pathlib import Path

from ...tools import ToolError
from .._retest_desk import COMPARISON
from ..comparing.inputs import find, report_of
from ..ledger import LedgerError
from ..report.schema import Report, UnreadableReport
from ..runs import UnknownRun, UnreadableFile, runs_of


def earlier(home: Path, source: str, folder: Path, audit: str) -> tuple[tuple[Path, Report], ...]:
    """The reports that are meant, each with its file; those without claims have nothing to be tested again.

    By the name of a model neither comparisons are meant nor runs of this audit, or it would be asked of itself.

    Args:
        source: name of a run, file of a report (from the spec's own folder), or name of a model as its reports have it.
        folder: the spec's own.
        audit: its name.

    Raises:
        UnreadableFile: none is there, one cannot be read, or none claims anything.
    """
    beside = folder / source
    try:
        found = find(home, str(beside) if beside.is_file() else source)
    except UnknownRun:
        found = source
    except (UnreadableReport, LedgerError, ToolError) as error:
        raise UnreadableFile(f"the report of {source!r} cannot be used: {error}") from error
    if isinstance(found, Report):
        path = beside if beside.is_file() else home / "runs" / found.run / "report.json"
        mine = [(path.resolve(), found)]
    else:
        mine = [*_about(home, {source, str(beside.resolve())}, f"{audit}.")]
    if not any(report.claims for _, report in mine):
        raise UnreadableFile(f"there is no run, report or model {source!r} in {home} of which something is claimed.")
    return tuple((path, report) for path, report in mine if report.claims)


def _about(home: Path, names: set[str], own: str) -> list[tuple[Path, Report]]:
    """The newest run of each question about a model, but those whose names begin so.

    Raises:
        UnreadableFile: one of them was changed: whether its claims hold nobody could say.
    """
    found: dict[str, tuple[Path, Report]] = {}
    for run in runs_of(home):
        path = run.path / "report.json"
        if not path.is_file() or run.name.startswith(own) or (run.path / COMPARISON).is_file():
            continue
        if run.info.model not in names:
            continue
        try:
            report = report_of(run)
        except (UnreadableReport, LedgerError, ToolError) as error:
            raise UnreadableFile(f"run {run.name} cannot be used: {error}") from error
        if report.claims:
            found.setdefault(f"{report.question} {run.info.pairs}", (path.resolve(), report))
    return list(found.values())
