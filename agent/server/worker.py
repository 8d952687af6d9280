"""A worker: a process that holds one model and does what the server orders, one thing after the other.

It ends when the server hangs up, however the server ended. What a run has measured is on disk by then, and whoever
starts the order again goes on from there.
"""

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...tools import Subject, SubjectKey, ToolError, get_tool, load_subject
from ..failing import SettingError
from ..report.verify import Subjects, measured_again
from ..settings import Settings
from .hearing import Parked, hear, hidden
from .orders import Again, Hear, Measure, Order

Load = Callable[[str, str], Subject]
Stamp = tuple[tuple[str, int, int], ...]
NICENESS = 5  # whoever reads a page comes before what is measured


class Stopped(Exception):
    """The person who ordered it wants it no more."""


class HungUp(Exception):
    """There is no server any more."""


class Line:
    """The worker's end of the line to the server.

    Args:
        connection: to the server.
        hung_up: called, from a thread of its own, when there is no server any more.
    """

    def __init__(self, connection: Connection, hung_up: Callable[[], None]) -> None:
        self._connection, self._hung_up = connection, hung_up
        self._orders: queue.SimpleQueue[tuple[Order, int] | None] = queue.SimpleQueue()
        self._words: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopped: set[str] = set()
        self._handle, self._stint, self.heard = "", 0, 0
        self._sending = threading.Lock()
        threading.Thread(target=self._listen, name="line", daemon=True).start()

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if "order" in message:
                    self._orders.put((Order.model_validate(message["order"]), message["stint"]))
                elif "stop" in message:
                    self._stopped.add(message["stop"])
                else:
                    self._words.put(message)
        except (EOFError, OSError):
            self._orders.put(None)
            self._hung_up()

    def next(self) -> Order | None:
        """The next order, once there is one; none when the server has hung up."""
        given = self._orders.get()
        if given is None:
            return None
        order, self._stint = given
        self._handle, self.heard = order.handle, 0
        return order

    def send(self, message: dict[str, Any]) -> None:
        """Tell the server something about the order.

        Raises:
            HungUp: there is no server any more.
        """
        try:
            with self._sending:
                self._connection.send({"job": self._handle, **message})
        except OSError as error:
            raise HungUp from error

    def is_stopped(self) -> bool:
        """Whether the person who ordered it wants it no more."""
        return self._handle in self._stopped

    def refuse_to_go_on(self) -> None:
        """
        Raises:
            Stopped: the person who ordered it wants it no more.
        """
        if self.is_stopped():
            raise Stopped

    def progress(self, done: int, total: int, what: str) -> None:
        """Tell how far it is.

        Raises:
            Stopped: it is wanted no more.
        """
        self.send({"step": {"done": done, "total": total, "doing": what}})
        self.refuse_to_go_on()

    def words(self) -> Iterator[dict[str, Any]]:
        """What was said about this order since this worker was given it; each is said once."""
        while True:
            try:
                word = self._words.get(block=False)
            except queue.Empty:
                return
            if (word["job"], word["stint"]) == (self._handle, self._stint):
                self.heard += 1
                yield word


def work(connection: Connection, settings: Settings, model: str, load: Load = load_subject) -> None:
    """Do orders about one model until the server hangs up.

    Args:
        connection: to the server.
        settings: of the server; the key of a language model stays in this machine's processes.
        model: that is held.
        load: a subject by name and device; nothing is fetched.
    """
    line = Line(connection, lambda: None)
    Worker(line, settings, model, load).work()


def process(connection: Connection, settings: Settings, model: str) -> None:
    """The worker as a process of its own: it ends with the server, and no keyboard reaches it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    line = Line(connection, lambda: os._exit(0))
    Worker(line, settings, model, load_subject).work()


class Worker:
    """Does orders about one model, which stays in memory."""

    def __init__(self, line: Line, settings: Settings, model: str, load: Load) -> None:
        self._line, self._settings, self._model, self._load = line, settings, model, load
        self._subject: Subject | None = None
        self._twins: Subjects | None = None
        self._stamp: Stamp = ()

    def work(self) -> None:
        """Do orders until there is nobody to give any."""
        with suppress(HungUp):
            while (order := self._line.next()) is not None:
                self._line.send(self._outcome(order))

    def _outcome(self, order: Order) -> dict[str, Any]:
        try:
            self._line.refuse_to_go_on()
            return {"done": self._do(order)}
        except HungUp:
            raise
        except Parked as parked:
            return {"parked": parked.waiting.model_dump(mode="json"), "heard": self._line.heard}
        except (Stopped, KeyboardInterrupt):
            return {"ended": "stopped"}
        except (ToolError, SettingError) as error:
            return {"ended": "refused", "error": hidden(str(error), self._settings.home)}
        except Exception as error:  # our own mistake ends this order, and is told, and no other
            traceback.print_exc(file=sys.stderr)
            return {"ended": "failed", "error": hidden(f"{type(error).__name__}: {error}", self._settings.home)}

    def _do(self, order: Order) -> dict[str, Any]:
        match order.work:
            case Hear() as message:
                subject = self._own()
                return hear(message, order.handle, subject, self._settings, self._line)
            case Measure(tool=name, args=args):
                tool = get_tool(name)
                parsed = tool.parse(args)
                return tool.measure(self._own(), parsed, self._line.progress).model_dump(mode="json")
            case Again(measurement=measurement):
                return measured_again(measurement, self._subject_of, self._line.progress).model_dump(mode="json")

    def _own(self) -> Subject:
        """The model; loaded where it has not been, or where other files lie there by now."""
        stamp = _stamp_of(self._model)
        if self._subject is None or stamp != self._stamp:
            self._subject = self._twins = None  # makes room first
            self._line.progress(0, 1, f"loading {self._model}")
            self._subject, self._stamp = self._load(self._model, self._settings.device), stamp
            self._line.refuse_to_go_on()  # that may have taken minutes
        return self._subject

    def _subject_of(self, key: SubjectKey) -> Subject:
        """The model or its twin; where other weights are wanted than are held, it is looked whether they lie there."""
        if self._subject is not None and self._subject.key.fingerprint != key.fingerprint:
            self._subject = None
        subject = self._own()
        if self._twins is None:
            self._twins = Subjects(lambda _: subject)
        return self._twins.get(key)


def _stamp_of(model: str) -> Stamp:
    """What differs once the files of a model's folder were replaced; nothing for a model of another kind of name."""
    folder = Path(model)
    if not folder.is_dir():
        return ()
    files = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    # Files that were unpacked or copied may bring their time of writing along; that of the change is the system's.
    return tuple((str(path), found.st_ctime_ns, found.st_size) for path, found in files)
