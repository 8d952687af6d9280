"""`vesalius export inspect`: an investigation as a log of Inspect."""

import importlib.util
import sys
from pathlib import Path

from ...tools import ToolError
from ..ledger import read_ledger
from ..report._text import visible
from ..report.schema import read_report
from ..runs import RunFolder
from ..settings import Settings
from .output import print_json

SUFFIX = ".eval"


def inspect_command(settings: Settings, run: str, out: Path | None, as_json: bool) -> None:
    """Write the log and say where it is.

    Raises:
        ToolError: Inspect is not installed, another ending than `.eval`, or a run without a report.
        UnknownRun: no such run.
    """
    if importlib.util.find_spec("inspect_ai") is None:
        raise ToolError(
            "The package `inspect_ai` is not installed.", mend="Install it: pip install 'vesalius[inspect]'."
        )
    folder = RunFolder.open(settings.home, run)
    path = Path(f"{folder.name}{SUFFIX}") if out is None else out / f"{folder.name}{SUFFIX}" if out.is_dir() else out
    if path.suffix != SUFFIX:
        raise ToolError(f"{path} does not end in {SUFFIX}.", mend=f"Name it {path.with_suffix(SUFFIX)}.")
    report = read_report(folder.finished_report("Go on with it: vesalius ask --resume."))
    entries = read_ledger(folder.ledger)
    from ..inspect_log import inspect_log, write_inspect_log

    log = inspect_log(report, entries)
    write_inspect_log(log, path)
    if as_json:
        print_json({"file": str(path), "run": report.run, "claims": len(report.claims)})
    else:
        sys.stdout.write(f"{visible(str(path))}: {len(report.claims)} claims of {visible(report.run)}\n")
        sys.stdout.write("Look at it with: inspect view, in its folder\n")
