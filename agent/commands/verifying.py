"""`vesalius verify`: every number of a report, measured again."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..console import hang
from ..report._text import visible
from ..report.schema import Report, read_report
from ..runs import RunFolder
from ..settings import Settings
from .output import print_json
from .progress import shown

if TYPE_CHECKING:
    from ...tools import Subject
    from ..report.verify import Verification

SHOWN = 10  # drifts or failures


def verify_command(settings: Settings, run: str, download: bool, as_json: bool) -> int:
    """Measure again, print what came of it; returns the exit status."""
    report, folder = _report(settings, run)
    from ...tools import load_subject
    from ..report.verify import exit_status

    def load(name: str) -> "Subject":
        return load_subject(name, settings.device, download=download)

    with shown("measuring again") as progress:
        found = verified(settings, report, folder, load, progress)
    if as_json:
        checked = {"record_checked": folder is not None}
        print_json({"run": report.run, "status": exit_status(found), **checked, **found.model_dump(mode="json")})
    else:
        console = Console(soft_wrap=not sys.stdout.isatty())
        for line in told(report, found, folder is not None):
            hang(console, line, 0, 6)
    return exit_status(found)


def verified(
    settings: Settings,
    report: Report,
    folder: RunFolder | None,
    load: "Callable[[str], Subject]",
    progress: Callable[[int, int, str], None],
) -> "Verification":
    """What comes of measuring a report again, and of building it again from its run's folder.

    Args:
        folder: of the run; none for a report alone, which is then not held against its record.
        load: a subject by name.
    """
    from ...tools import usable_device
    from ..asking import Where
    from ..rebuilding import record_drifts
    from ..rejudging import rejudged
    from ..report.verify import verify

    usable_device(settings.device)  # otherwise every measurement would fail in the words of its device
    found = verify(report, load, progress, lambda again: rejudged(report, again))
    if folder is None or found.not_reproducible:
        return found
    where = Where(settings.home, use_memory=False)
    record = record_drifts(report, where, load(report.subject.key.model), folder)
    return found.model_copy(update={"drifted": (*found.drifted, *record)})


def _report(settings: Settings, run: str) -> tuple[Report, RunFolder | None]:
    """The report, and the folder of its run; none for a report alone."""
    path = Path(run)
    if path.is_file():
        return read_report(path), None
    folder = RunFolder.open(settings.home, run)
    return read_report(folder.path / "report.json"), folder


def told(report: Report, found: "Verification", record_checked: bool) -> list[Text]:
    """How many numbers came out as they were, and what did not."""
    drifted, failures = {drift.id for drift in found.drifted}, found.not_reproducible
    return [
        Text(f"{visible(report.run)}: measurements: {found.measurements}, claims: {len(report.claims)}", style="bold"),
        Text(
            f"  reproduced        {len(found.reproduced)} (measurements to the last bit: {found.bit_identical}; "
            f"tolerance {found.relative_tolerance:g} of a value, {found.absolute_tolerance:g} near nothing)"
        ),
        Text(f"  drifted           {len(drifted)}", style="red" if drifted else ""),
        *(Text(f"    {visible(f'{d.id} {d.path}: was {d.was}, is {d.now}')}") for d in found.drifted[:SHOWN]),
        Text(f"  not reproducible  {len(failures)}", style="yellow" if failures else ""),
        *(Text(f"    {visible(f'{failure.id}: {failure.reason}')}") for failure in failures[:SHOWN]),
        Text(
            "  the report was also built again from ledger and measurements, and compared"
            if record_checked
            else "  a report alone: ledger, wording and pages were not checked; give the run to check them"
        ),
    ]
