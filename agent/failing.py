"""How a command fails: one sentence with the mend, a non-zero status, and no traceback for what a person can mend."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

EXIT_ERROR = 2
EXIT_PREMISE = 3
EXIT_STOPPED = 130


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn errors that a person can mend into a message; anything else is our mistake and keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nStopped. Nothing measured is lost: `vesalius ask --resume last` continues the newest run.\n"
        )
        raise typer.Exit(EXIT_STOPPED) from None
    except BrokenPipeError:
        # The reader of a pipe went away; there is nobody left to tell.
        sys.stderr.close()
        raise typer.Exit(EXIT_ERROR) from None
    except _what_a_person_can_mend() as error:
        if as_json:
            mend = getattr(error, "mend", "")
            sys.stdout.write(json.dumps({"error": str(error), "mend": mend}, ensure_ascii=False) + "\n")
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(EXIT_ERROR) from None


def _what_a_person_can_mend() -> tuple[type[Exception], ...]:
    # A function, so that these modules are imported when something fails and not before.
    from ..memory import RememberError
    from ..tools import ToolError
    from .ledger import LedgerError
    from .report.schema import UnreadableReport
    from .runs import UnknownRun, UnreadableFile

    mendable = (ToolError, RememberError, LedgerError, UnknownRun, UnreadableFile, UnreadableReport, SettingError)
    return (*mendable, OSError, sqlite3.Error)


class SettingError(ValueError):
    """A setting has a value that is not allowed."""
