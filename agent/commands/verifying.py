"""`vesalius verify`: every number of a report, measured again."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..report.schema import Report, read_report
from ..runs import RunFolder
from ..settings import Settings
from .output import print_json

if TYPE_CHECKING:
    from ...tools import Subject
    from ..report.verify import Verification

SHOWN = 10  # drifts or failures


def verify_command(settings: Settings, run: str, download: bool, as_json: bool) -> int:
    """Measure again, print what came of it; returns the exit status."""
    from ...tools import load_subject
    from ..asking import Where
    from ..rebuilding import record_drifts
    from ..rejudging import rejudged
    from ..report.verify import exit_status, verify

    report, folder = _report(settings, run)

    def load(name: str) -> "Subject":
        return load_subject(name, device=settings.device, download=download)

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring again", total=len(report.measurements))

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        found = verify(report, load, progress, lambda again: rejudged(report, again))
    if folder is not None and not found.not_reproducible:
        where = Where(settings.home, use_memory=False)
        record = record_drifts(report, where, load(report.subject.key.model), folder)
        found = found.model_copy(update={"drifted": (*found.drifted, *record)})
    if as_json:
        checked = {"record_checked": folder is not None}
        print_json({"run": report.run, "status": exit_status(found), **checked, **found.model_dump(mode="json")})
    else:
        _print(report, found, folder is not None)
    return exit_status(found)


def _report(settings: Settings, run: str) -> tuple[Report, RunFolder | None]:
    """The report, and the folder of its run; none for a report alone."""
    path = Path(run)
    if path.is_file():
        return read_report(path), None
    folder = RunFolder.open(settings.home, run)
    return read_report(folder.path / "report.json"), folder


def _print(report: Report, found: "Verification", record_checked: bool) -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(f"[bold]{report.run}[/]: measurements: {found.measurements}, claims: {len(report.claims)}")
    drifted = {drift.id for drift in found.drifted}
    console.print(
        f"  reproduced        {len(found.reproduced)} (measurements to the last bit: {found.bit_identical}; "
        f"tolerance {found.relative_tolerance:g} of a value, {found.absolute_tolerance:g} near nothing)"
    )
    console.print(f"  drifted           {len(drifted)}", style="red" if drifted else "")
    for drift in found.drifted[:SHOWN]:
        console.print(Text(f"    {drift.id} {drift.path}: was {drift.was}, is {drift.now}"))
    failures = found.not_reproducible
    console.print(f"  not reproducible  {len(failures)}", style="yellow" if failures else "")
    for failure in failures[:SHOWN]:
        console.print(Text(f"    {failure.id}: {failure.reason}"))
    if record_checked:
        console.print("  the report was also built again from ledger and measurements, and compared")
    else:
        console.print("  a report alone: ledger, wording and pages were not checked; give the run to check them")
