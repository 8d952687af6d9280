"""Workers as actors of a Ray cluster, that the driver takes for processes of its own.

For each actor a thread carries what is said between the driver's line and the actor, and keeps the run's files in HOME
up to date with every step: so a cell whose worker or node dies goes on elsewhere with what was measured.
"""

import multiprocessing
import re
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ...tools import ToolError
from ..processes import Running, Start
from ..settings import Settings
from .cells import PROGRAM, Cell
from .driving import MOST_STARTS
from .parcel import Parcel, put, take
from .ray_actor import LetterBox
from .ray_cluster import Cluster
from .working import name_of

LAST_WORDS = 2.0  # seconds for an actor to leave its node's disk as it was
PLACE = 5.0  # seconds to wait for a place before saying so
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LACKS = ("ModuleNotFoundError", "ImportError")

Telling = Callable[[dict[str, Any]], None]


class Lost(Exception):
    """The actor, or its node, is no more; the message says what Ray knows of it."""


def actors(cluster: Cluster, settings: Settings, audit: str, download: bool) -> Start:
    """Starts workers as actors.

    Args:
        cluster: which has been joined.
        settings: of the audit's process.
        audit: its name.
        download: whether a hub id may be fetched.
    """

    def start(model: str) -> tuple[Connection, Running]:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        return ours, Actor(theirs, cluster, settings, audit, download, model)  # pyright: ignore[reportReturnType, reportArgumentType]  # of another class on Windows alone

    return start


class Actor:
    """A worker somewhere on the cluster, and the thread that speaks with it."""

    def __init__(
        self, line: Connection, cluster: Cluster, settings: Settings, audit: str, download: bool, model: str
    ) -> None:
        self._line, self._cluster, self._settings, self._audit = line, cluster, settings, audit
        self._given = settings, audit, download, model, PROGRAM
        self._model, self._fingerprint = model, ""
        self._box: Any = None
        self._is_ended = False
        self._one_at_a_time = threading.Lock()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def terminate(self) -> None:
        """End it."""
        self._is_ended = True
        self._end()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has."""
        self._thread.join(timeout)

    def _carry(self) -> None:
        try:
            self._load()
            while True:
                self._ask(Cell.model_validate(self._line.recv()))
        except Lost as error:
            if not self._is_ended:
                sys.stderr.write(f"A worker of {self._model} was lost: {error}\n")
        except (EOFError, BrokenPipeError):
            pass  # the driver wants no more of it
        finally:
            self._line.close()  # which the driver takes for its death
            self._end()

    def _load(self) -> None:
        """Begin anew elsewhere where a node dies meanwhile."""
        for start in range(1, MOST_STARTS + 1):
            try:
                self._begin()
                while not self._fingerprint:
                    self._told(message := self._hear()[0])
                    if "unloadable" in message:
                        return
                return
            except Lost as error:
                if any(name in str(error) for name in LACKS):
                    mend = f"Install vesalius {PROGRAM} there, with the same Python and Ray as here."
                    self._line.send({"unloadable": f"A node cannot run it ({error}).", "mend": mend})
                    return
                if self._is_ended or start == MOST_STARTS:
                    raise
                self._end()

    def _begin(self) -> None:
        # Two calls at a time, so that the end need not wait until something is heard.
        kind = ray.remote(LetterBox).options(max_concurrency=2, max_restarts=0, **self._cluster.each)
        with self._one_at_a_time:
            if self._is_ended:
                raise EOFError
            self._box = kind.remote()
        begun = self._box.begin.remote(*self._given)
        while not ray.wait([begun], timeout=PLACE)[0]:
            if not any(node["Alive"] for node in ray.nodes()):
                raise Lost("no node of the cluster is left.")
            self._line.send({"step": "waits for a place in the cluster"})
        self._got(begun)
        self._line.send({"step": "loading"})

    def _ask(self, cell: Cell) -> None:
        """Put a cell to it, with what its run has already, and pass on what it says until it is done."""
        folder = self._settings.home / "runs" / name_of(cell, self._fingerprint, self._audit)
        try:
            report = Path(cell.report).read_bytes() if cell.report else b""
        except OSError as error:
            self._told({"halt": f"{type(error).__name__}: {error}"})
            return
        self._got(self._box.ask.remote(cell.model_dump(mode="json"), take(folder, {}), report))
        while True:
            message, files = self._hear()
            message = self._kept(folder, files) or message
            self._told(message)
            if "done" in message or "halt" in message:
                return

    def _kept(self, folder: Path, files: Parcel) -> dict[str, Any] | None:
        """Write files of a run down; what stops the audit where they cannot be."""
        try:
            put(folder, files)
        except (OSError, ToolError) as error:
            return {"halt": f"{type(error).__name__}: {error}"}
        return None

    def _told(self, message: dict[str, Any]) -> None:
        self._fingerprint = message.get("loaded", self._fingerprint)
        sys.stderr.write(message.get("trouble", ""))
        self._line.send(message)

    def _hear(self) -> tuple[dict[str, Any], Parcel]:
        message, files = self._got(self._box.hear.remote())
        if message is None:
            raise Lost("it ended.")
        return message, files

    def _got(self, called: Any) -> Any:
        """What a call returns.

        Raises:
            Lost: nobody is there to return it.
        """
        try:
            return ray.get(called)
        except (RayError, ConnectionError) as error:
            raise Lost(_in_a_line(error)) from error

    def _end(self) -> None:
        """Have it leave nothing behind, and end it; as often as one likes."""
        with self._one_at_a_time:
            if self._box is None:
                return
            try:
                ray.wait([self._box.clear.remote()], timeout=LAST_WORDS)
                ray.kill(self._box)
            except (RayError, ConnectionError, RuntimeError):
                return  # it, or the whole cluster, has ended already


def _in_a_line(error: Exception) -> str:
    """What happened, of the many lines that Ray writes: a mistake of ours stands last, a death of theirs first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    lacking = [line for line in lines if any(name in line for name in LACKS)]
    return COLOUR.sub("", (lacking or lines)[-1 if lacking or isinstance(error, RayTaskError) else 0])
