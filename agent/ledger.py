"""The ledger: what was asked, sealed, measured and judged, in order, so that none of it can be rewritten unnoticed.

One JSON object per line. Each entry's hash covers the hash before it (a chain after Haber & Stornetta 1991), so that
changing, dropping or reordering an entry breaks every later one. The last hash stands for the whole history: whoever
kept it knows a ledger that was cut short or written anew. Nothing in an entry tells the time or the machine: an
investigation that was killed and resumed ends with the same ledger as one never killed.

Bodies are plain JSON. Of three kinds the ledger itself reads a little:

* `measurement`: `measurement`, the id of what ran; absent where it failed.
* `sealed`: `prediction`, its id or itself with an `id`; and, if known, `measurements`, the ids its arms will have.
* `confirmed`: `prediction`, the id, and `measurement`, the id of one arm that ran; it may not have run before the seal.
"""

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

from ..tools import canonical
from ._chain import GENESIS, Entry, Kind, LedgerError, linked, prediction_of, refuse_disorder, verified

__all__ = ["GENESIS", "Entry", "Kind", "Ledger", "LedgerError", "read_ledger"]


class Ledger:
    """An append-only ledger in a file, held by one process at a time.

    Args:
        path: file of the ledger; made, with its folder, where it does not exist.

    Raises:
        LedgerError: another process (or another `Ledger` here) holds the file, or its chain is broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pid = os.getpid()
        self._one_at_a_time = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _hold(self._file, path)
            raw = path.read_bytes()
            self._entries, self._size = verified(raw, path.name)
            if self._size < len(raw):  # a line that a kill left half written: its append never returned
                os.ftruncate(self._file, self._size)
            os.fsync(self._file)
            _sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise
        self._by_key = {entry.key: entry for entry in self._entries}

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, so that another process may append."""
        if self._file >= 0:
            if os.getpid() == self._pid:  # a forked child that unlocked would let a stranger in beside its parent
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    @property
    def digest(self) -> str:
        """Hash of the last entry: it stands for all of them."""
        return self._entries[-1].hash if self._entries else GENESIS

    def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """All entries, or those of one kind, oldest first."""
        return tuple(entry for entry in self._entries if kind is None or entry.kind == kind)

    def find(self, key: str) -> Entry | None:
        """The entry of that key, if there is one."""
        return self._by_key.get(key)

    def append(self, key: str, kind: Kind, body: dict[str, Any]) -> Entry:
        """Write an entry to disk, or return the one that says the same already.

        Raises:
            LedgerError: the key says something else, the body is not plain JSON, or the order of sealing and
                measuring is broken.
        """
        with self._one_at_a_time:
            self._refuse_strangers()
            body = _plain(key, body)
            if (present := self._by_key.get(key)) is not None:
                _refuse_other_content(present, kind, body)
                return present
            entry = linked(len(self._entries), key, kind, body, self.digest)
            refuse_disorder(self._entries, entry)
            self._write(entry.line)
            self._entries.append(entry)
            self._by_key[key] = entry
            return entry

    def sealed_before(self, key_of_prediction: str, key_of_confirmation: str) -> bool:
        """Whether the one entry sealed the very prediction that the other, later, confirms."""
        sealed, confirmed = self._by_key.get(key_of_prediction), self._by_key.get(key_of_confirmation)
        if sealed is None or confirmed is None or (sealed.kind, confirmed.kind) != ("sealed", "confirmed"):
            return False
        return sealed.seq < confirmed.seq and prediction_of(sealed) == prediction_of(confirmed)

    def _write(self, line: bytes) -> None:
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:  # a full disk, say: half a line must not stay in front of the next one
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _refuse_strangers(self) -> None:
        if self._file < 0:
            raise LedgerError(f"The ledger {self.path.name} is closed.", mend="Open it again.")
        if os.getpid() != self._pid:
            raise LedgerError(
                f"Process {os.getpid()} inherited the ledger {self.path.name} from process {self._pid}.",
                mend="Append from the process that opened it.",
            )


def read_ledger(path: Path) -> tuple[Entry, ...]:
    """The verified entries of a ledger that another process may be writing; nothing is locked or mended.

    Raises:
        LedgerError: the chain is broken.
    """
    return tuple(verified(path.read_bytes(), path.name)[0])


def _plain(key: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body as it will read back from the file."""
    try:
        text = canonical(body)
        text.encode()
    except (TypeError, ValueError) as error:
        raise LedgerError(
            f"The body of `{key}` is not plain JSON: {error}.", mend="Pass text, finite numbers, lists and dicts."
        ) from error
    return json.loads(text)


def _refuse_other_content(present: Entry, kind: Kind, body: dict[str, Any]) -> None:
    differs = [] if present.kind == kind else [f"kind: `{present.kind}` in the ledger, `{kind}` now"]
    differs += _differences(present.body, body, "body")
    if differs:
        raise LedgerError(f"`{present.key}` says something else ({'; '.join(differs[:5])}).", mend="Use another key.")


def _differences(was: Any, now: Any, where: str) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        return [d for k in sorted({*was, *now}) for d in _differences(was.get(k, ...), now.get(k, ...), f"{where}.{k}")]
    if was is not ... and now is not ... and canonical(was) == canonical(now):
        return []
    was_text, now_text = ("nothing" if x is ... else canonical(x)[:40] for x in (was, now))
    return [f"{where}: {was_text} in the ledger, {now_text} now"]


def _hold(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LedgerError(
            f"The ledger {path.name} is open in another process or a second time in this one.",
            mend="Wait until that one ends, or follow it with `read_ledger`.",
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make sure a new file's name survives a power cut, not only its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
