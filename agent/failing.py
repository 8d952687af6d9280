"""How a command ends: its exit statuses, and one sentence with the mend in place of a traceback."""

import json
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

EXIT_NOT_MET = 1  # a target missed, a number drifted, something lacking
EXIT_ERROR = 2
EXIT_PREMISE = 3
EXIT_NOT_REPRODUCIBLE = 4  # as `report/verify.py` has it, which needs torch
EXIT_WAITS = 5  # for a person's approval
EXIT_STOPPED = 130

# A paragraph each, which `\b` keeps click from filling.
ASK_STATUSES = f"""\b
Exit status:
  0    answered; an answer may be that nothing could be shown
  {EXIT_ERROR}    an error: the message says what was wrong and what to do
  {EXIT_PREMISE}    the premise does not hold: the model does not do what the question says
  {EXIT_WAITS}    waits for a person's approval, which was asked for with --approve
  {EXIT_STOPPED}  stopped by the keyboard"""
VERIFY_STATUSES = f"""\b
Exit status:
  0    every number reproduced
  {EXIT_NOT_MET}    a number drifted
  {EXIT_ERROR}    an error, such as a run that does not exist
  {EXIT_NOT_REPRODUCIBLE}    nothing drifted, but something could not be measured again
  {EXIT_STOPPED}  stopped by the keyboard"""


class Stopped(KeyboardInterrupt):
    """Stopped by the keyboard with something left to go on with; the message says how."""


@contextmanager
def stopped_by_term() -> Iterator[None]:
    """Take SIGTERM for the keyboard's stop, so that what was begun is ended and what was made for it is removed."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


class WaitsForApproval(Exception):
    """A run cannot go on before a person has spoken; the message says how."""


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn errors that a person can mend into a message; anything else is our mistake and keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"\nStopped. {stop}".rstrip() + "\n")
        raise typer.Exit(EXIT_STOPPED) from None
    except WaitsForApproval as waits:
        sys.stderr.write(f"{waits}\n")
        raise typer.Exit(EXIT_WAITS) from None
    except BrokenPipeError:
        # The reader of a pipe went away; there is nobody left to tell.
        sys.stderr.close()
        raise typer.Exit(EXIT_ERROR) from None
    except _what_a_person_can_mend() as error:
        if as_json:
            mend = getattr(error, "mend", "")
            sys.stdout.write(json.dumps({"error": str(error), "mend": mend}) + "\n")
        sys.stderr.write(f"error: {_harmless(str(error))}\n")
        raise typer.Exit(EXIT_ERROR) from None


def _harmless(message: str) -> str:
    """A message may quote the model, whose text a terminal must not obey."""
    from .report._text import visible

    return visible(message, keep_lines=True)


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
