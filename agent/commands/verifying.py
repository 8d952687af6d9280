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
    from ..rejudging import rejudged
    from ..report.verify import exit_status, verify

    report = _report(settings, run)

    def load(name: str) -> "Subject":
        return load_subject(name, device=settings.device, download=download)

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring again", total=len(report.measurements))

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        found = verify(report, load, progress, lambda again: rejudged(report, again))
    if as_json:
        print_json({"run": report.run, "status": exit_status(found), **found.model_dump(mode="json")})
    else:
        _print(report, found)
    return exit_status(found)


def _report(settings: Settings, run: str) -> Report:
    path = Path(run)
    if path.is_file():
        return read_report(path)
    return read_report(RunFolder.open(settings.home, run).path / "report.json")


def _print(report: Report, found: "Verification") -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(f"[bold]{report.run}[/]: {found.measurements} measurements, {len(report.claims)} claims")
    drifted = {drift.id for drift in found.drifted}
    console.print(
        f"  reproduced        {len(found.reproduced)} ({found.bit_identical} measurements to the last bit; "
        f"tolerance {found.relative_tolerance:g} of a value, {found.absolute_tolerance:g} near nothing)"
    )
    console.print(f"  drifted           {len(drifted)}", style="red" if drifted else "")
    for drift in found.drifted[:SHOWN]:
        console.print(Text(f"    {drift.id} {drift.path}: was {drift.was}, is {drift.now}"))
    failures = found.not_reproducible
    console.print(f"  not reproducible  {len(failures)}", style="yellow" if failures else "")
    for failure in failures[:SHOWN]:
        console.print(Text(f"    {failure.id}: {failure.reason}"))
