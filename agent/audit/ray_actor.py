"""What runs on a node of a Ray cluster: a worker as any other, in a thread, with a letter box in front of it.

It works in a folder of its own, because nodes may share no disk, and hands the files of its run out with every step.
"""

import multiprocessing
import shutil
import tempfile
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..settings import Settings
from .cells import PROGRAM, Cell
from .parcel import Known, Parcel, put, take
from .working import name_of, work


class LetterBox:
    """A worker that is spoken to by calls; its methods may be called from several threads."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vesalius-worker-"))
        self._ours, self._theirs = multiprocessing.Pipe()
        self._audit, self._fingerprint = "", ""
        self._run: Path | None = None
        self._known: Known = {}

    def begin(self, settings: Settings, audit: str, download: bool, model: str, program: str) -> None:
        """Load the model.

        Args:
            settings: of the driver; not of the constructor, whose arguments the cluster keeps.
            program: version of the driver, which every cell is filed under.
        """
        self._audit = audit
        if program != PROGRAM:
            mend = f"Install vesalius {program} on every node."
            self._theirs.send({"unloadable": f"A node has vesalius {PROGRAM}, not {program}.", "mend": mend})
            return
        own = settings.model_copy(update={"home": self._home})
        given = self._theirs, own, audit, download, model
        threading.Thread(target=_work, args=given, daemon=True).start()

    def ask(self, cell: dict[str, Any], files: Parcel, report: bytes = b"") -> None:
        """Give it a cell.

        Args:
            files: of its run, as far as it came before.
            report: the earlier report whose claims are tested again; it lies elsewhere on the driver's machine.
        """
        if report:
            here = self._home / "earlier.json"
            here.write_bytes(report)
            cell = {**cell, "report": str(here)}
        self._run = self._home / "runs" / name_of(Cell.model_validate(cell), self._fingerprint, self._audit)
        put(self._run, files)
        self._known = {}
        take(self._run, self._known)
        self._ours.send(cell)

    def hear(self) -> tuple[dict[str, Any] | None, Parcel]:
        """Wait for what it says next; with the files of its run that changed, and none where it ended."""
        try:
            message: dict[str, Any] = self._ours.recv()
        except EOFError:
            return None, []
        self._fingerprint = message.get("loaded", self._fingerprint)
        files = take(self._run, self._known) if self._run is not None and self._run.is_dir() else []
        if "done" in message and self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)  # a question that cannot be asked has none
            self._run = None
        return message, files

    def clear(self) -> None:
        """Leave nothing on the node's disk."""
        shutil.rmtree(self._home, ignore_errors=True)


def _work(theirs: Connection, *given: Any) -> None:
    with theirs:
        try:
            work(theirs, *given)
        except BrokenPipeError:
            return
        except Exception:  # our own mistake ends it, and is told: what is printed on another node nobody reads
            theirs.send({"step": "ends", "trouble": traceback.format_exc()})
