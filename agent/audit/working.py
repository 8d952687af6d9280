"""A worker of an audit: a process that holds one model and asks it one cell after the other."""

import json
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...tools import Subject, ToolError, digest, load_subject
from .._retest_desk import digest_of
from ..asking import Where, ask, desk_for, start_run
from ..bench import trained_dictionary
from ..commands.asking import consultant_of, planned_of, writer_of
from ..endpoint import endpoint_of
from ..ledger import LedgerError, read_ledger
from ..planners.llm_endpoint import EndpointError
from ..planners.llm_turns import Turn
from ..processes import end_with_parent
from ..report.schema import Report, read_report
from ..runs import RunFolder
from ..settings import Settings
from .cells import Cell
from .outcome import Outcome, blank, compared_outcome, outcome_of

RUN_DIGITS = 12  # of a cell's key in the name of its run

Told = Callable[[str], None]


def process(connection: Connection, settings: Settings, audit: str, download: bool, model: str) -> None:
    """The worker as a process of its own: it ends with whoever gives it cells, and no keyboard reaches it.

    Args:
        connection: gives cells, and is told what comes of them.
        settings: of the audit's process.
        audit: its name.
        download: whether a hub id may be fetched.
        model: that is held.
    """
    end_with_parent()
    work(connection, settings, audit, download, model)


def work(connection: Connection, settings: Settings, audit: str, download: bool, model: str) -> None:
    """Load the model, say so, and answer cells until none is given any more; arguments as of `process`."""
    try:
        subject = load_subject(model, settings.device, download=download)
    except (ToolError, OSError) as error:
        connection.send({"unloadable": getattr(error, "message", str(error)), "mend": getattr(error, "mend", "")})
        return
    import_module("..investigation", __package__)  # takes a second, which is not the first cell's doing
    try:
        connection.send({"loaded": identity_of(subject)})
        while True:
            cell = Cell.model_validate(connection.recv())
            connection.send(_answer(cell, subject, settings, audit, lambda step: connection.send({"step": step})))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # whoever gives cells has ended


@lru_cache(maxsize=1)
def identity_of(subject: Subject) -> str:
    """Stands for all of a model that an answer can hang on: its weights, and the data and dictionary beside them."""
    dictionary = trained_dictionary(subject)
    beside = [family.model_dump(mode="json") for family in subject.tasks], list(subject.texts)
    return digest([subject.key.fingerprint, *beside, dictionary.digest if dictionary else ""])


def _answer(cell: Cell, subject: Subject, settings: Settings, audit: str, told: Told) -> dict[str, Any]:
    began = time.monotonic()
    fingerprint, trouble = identity_of(subject), ""
    try:
        found = _found(cell, subject, settings, audit, told)
    except (EndpointError, LedgerError, OSError, sqlite3.Error) as error:
        # Not the cell's doing: a full disk or an endpoint that went away would fail every cell after it too.
        return {"halt": f"{type(error).__name__}: {error}"}
    except ToolError as error:
        found = blank(cell, fingerprint).model_copy(update={"unanswerable": str(error)})
    except Exception as error:  # our own mistake ends this cell, and is told, and no other
        trouble = traceback.format_exc()  # also sent: on another node nobody reads what is printed
        sys.stderr.write(trouble)
        found = blank(cell, fingerprint).model_copy(update={"failed": f"{type(error).__name__}: {error}"})
    tokens = _tokens(settings.home / "runs" / name_of(cell, fingerprint, audit)) if cell.by else 0
    took = time.monotonic() - began
    return {"done": found.model_dump(mode="json"), "seconds": took, "tokens": tokens, "trouble": trouble}


def _found(cell: Cell, subject: Subject, settings: Settings, audit: str, told: Told) -> Outcome:
    fingerprint = identity_of(subject)
    if not cell.report:
        return outcome_of(cell, fingerprint, investigated(cell, subject, settings, audit, told))
    from ..comparing.inputs import SideA, SideB
    from ..comparing.whole import compared

    report = read_report(Path(cell.report))
    if digest_of(report) != cell.report_digest:
        raise ToolError(f"{cell.report} has changed since the audit began.", mend="Restore it, or run the audit again.")

    def load(name: str) -> Subject:
        return subject if name == cell.model else load_subject(name, settings.device)

    path = settings.home / "runs" / name_of(cell, fingerprint, audit)
    sides = SideA((report,), ()), SideB(cell.model, None)
    whole, _ = compared(settings.home, *sides, load, cell.seed, path, lambda done, total, what: told(what))
    return compared_outcome(cell, fingerprint, read_report(path / "report.json"), whole)


def _tokens(run: Path) -> int:
    """Tokens that language models were sent and wrote for a run (count)."""
    ledger = run / "ledger.jsonl"
    entries = read_ledger(ledger) if ledger.is_file() else ()
    turns = (Turn.model_validate(entry.body["turn"]) for entry in entries if "turn" in entry.body)
    return sum(turn.tokens for turn in turns)


def investigated(cell: Cell, subject: Subject, settings: Settings, audit: str, told: Told) -> Report:
    """The report of a cell; a run that was begun before is gone on with, and one that has ended is read.

    Raises:
        ToolError: the question cannot be put to this model.
    """
    # What other cells found is no hint to this one: which were done before would depend on who was faster.
    where = Where(settings.home, use_memory=False)
    given = {"planner": cell.planner, "budget": cell.budget, "seed": cell.seed, "approve": "none"}
    own = settings.model_copy(update={**given, **json.loads(cell.how)})
    run = _run_of(cell, subject, own, where, audit)
    if not (run.path / "report.json").is_file():
        with desk_for(where, subject, run, writer_of(own, run), consultant_of(own, run)) as desk:
            ask(desk, lambda event: told(event["tool"]) if event["event"] == "started" else None)
    return read_report(run.path / "report.json")


def name_of(cell: Cell, fingerprint: str, audit: str) -> str:
    """The run of a cell."""
    return f"{audit}.{cell.item}.{cell.subject}.{cell.seed}"[:80] + "." + cell.key(fingerprint)[:RUN_DIGITS]


def _run_of(cell: Cell, subject: Subject, settings: Settings, where: Where, audit: str) -> RunFolder:
    name = name_of(cell, identity_of(subject), audit)
    if (where.home / "runs" / name / "run.json").is_file():
        return RunFolder.open(where.home, name)
    probes_by = endpoint_of(settings).model if settings.probes == "llm" else ""
    asked = settings.seed, settings.device, cell.pairs, probes_by, planned_of(settings)
    return start_run(where, subject, cell.question, *asked, name=name)
