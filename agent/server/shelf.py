"""Runs as they lie on disk: a report is read again only where its file has changed."""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from pydantic_core import PydanticSerializationError

from ..report.schema import Report, UnreadableReport, read_report
from ..reviews import report_digest
from ..runs import RunFolder, run_named

MOST_REPORTS = 8  # whole ones kept in memory
Value = TypeVar("Value")
Stamp = tuple[int, int, int]


class Shelved(NamedTuple):
    """A report with the bytes it was read from."""

    report: Report
    digest: str  # of report.json
    json: str  # the report again, as its model writes it


class Remembered(Generic[Value]):
    """What was made from files, until they change; the newest `most` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Path, tuple[Stamp, Value]] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, make: Callable[[Path], Value]) -> Value:
        """What a file makes, made again if it has changed.

        Raises:
            OSError: there is no such file.
        """
        before = stamp(path)
        with self._lock:
            if path in self._kept and self._kept[path][0] == before:
                self._kept.move_to_end(path)
                return self._kept[path][1]
        made = make(path)
        if stamp(path) == before:  # one that was replaced meanwhile is made again when it is next asked for
            with self._lock:
                self._kept[path] = before, made
                self._kept.move_to_end(path)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return made


class Shelf:
    """The runs of a home.

    Args:
        home: folder of runs and memory.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._reports: Remembered[Shelved] = Remembered(MOST_REPORTS)

    def run(self, name: str) -> RunFolder:
        """A run by name; no folder elsewhere.

        Raises:
            UnknownRun: there is none.
        """
        return run_named(self.home, name)

    def report(self, folder: RunFolder) -> Shelved:
        """The report of a run.

        Raises:
            ToolError: the run has not come to its end.
            UnreadableReport: it was changed, or another version wrote it.
        """
        path = folder.finished_report("Wait until it has ended, or go on: vesalius ask --resume")
        return self._reports.get(path, _shelved)


def stamp(path: Path) -> Stamp:
    """What differs once a file was replaced; files of a run are replaced whole."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _shelved(path: Path) -> Shelved:
    while True:
        raw, report = path.read_bytes(), read_report(path)
        if raw == path.read_bytes():
            break
    try:
        return Shelved(report, report_digest(raw), report.model_dump_json(indent=1) + "\n")
    except PydanticSerializationError as error:  # half a character, which no run of ours has written
        raise UnreadableReport(f"{path} holds text that cannot be written. Restore it from a copy.") from error
