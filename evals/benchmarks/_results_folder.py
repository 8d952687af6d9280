"""Where a benchmark that writes a table is told to write it, and how it says how far it is."""

import argparse
import sys
from pathlib import Path


def results_folder(command: str, doc: str | None, argv: list[str] | None) -> Path:
    """The folder that the command line names, made where it does not stand; the command ends where it cannot be.

    Args:
        command: How the benchmark is called, the word for the folder last.
    """
    prog, _, named = command.rpartition(" ")
    parser = argparse.ArgumentParser(prog=prog, description=(doc or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar=named, help="made where it does not stand")
    folder: Path = parser.parse_args(argv).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{folder} cannot be a folder: {error.strerror}. Name another one.")
    return folder


def told(done: int, total: int, what: str) -> None:
    """A line on standard error."""
    print(f"{done}/{total} {what}", file=sys.stderr)
