"""Orders on disk until they are done, so that a server that was killed goes on with them when it is started again."""

import fcntl
import os
import sys
import time
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from ...tools import ToolError
from ..runs import write_whole
from .orders import Order, as_json

FOLDER = "queue"


class WaitingLine:
    """The orders of a home that are not done; one server holds them at a time.

    Args:
        home: folder of runs and memory.

    Raises:
        ToolError: another server works on this home.
    """

    def __init__(self, home: Path) -> None:
        self.home, self._folder = home, home / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._last = 0
        self._lock = Lock()
        self._held = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            by = os.read(self._held, 20).decode() or "unknown"
            os.close(self._held)
            raise ToolError(
                f"Another server (process {by}) works on {home}.",
                mend="Use the address that it printed, or pass another --home.",
            ) from None
        os.ftruncate(self._held, 0)
        os.pwrite(self._held, str(os.getpid()).encode(), 0)

    def handle(self) -> str:
        """A name for the next job: later ones come later in the alphabet, also after a restart."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return f"j{self._last:017d}"

    def keep(self, order: Order) -> None:
        """Write an order down, before anybody is told that it is taken.

        Raises:
            ToolError: it cannot be written: it holds half a character.
        """
        write_whole(self._path(order.handle), as_json(order))

    def done(self, handle: str) -> None:
        """Forget an order that has come to its end; one that cannot be removed is not answered again, but told."""
        try:
            self._path(handle).unlink(missing_ok=True)
        except OSError as error:
            sys.stderr.write(f"{self._path(handle)} has ended and cannot be removed ({error.strerror}).\n")

    def left(self) -> list[Order]:
        """Orders that no server has brought to an end, oldest first; what cannot be read is left, and told."""
        found: list[Order] = []
        for path in sorted(self._folder.glob("j*.json")):
            try:
                found.append(Order.model_validate_json(path.read_text(encoding="utf-8")))
            except (ValidationError, UnicodeDecodeError, OSError) as error:
                sys.stderr.write(f"{path} holds no order and is left where it is ({type(error).__name__}).\n")
        return found

    def close(self) -> None:
        """Let another server hold them."""
        os.close(self._held)

    def _path(self, handle: str) -> Path:
        return self._folder / f"{handle}.json"
