"""A run's files on their way between machines that share no disk.

They are taken in an order in which each later file knows all that an earlier one speaks of (report, checkpoints,
ledger, measurements), and put in the opposite one. So whatever is lost on the way, what arrived is a run as a kill at
some moment would have left it, and it can be gone on with.
"""

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from ...tools import ToolError, write_file

Parcel = list[tuple[str, bytes]]
"""Files by their names in the run's folder, in the order in which they were taken."""
Known = dict[str, str]
"""Which state of each file was taken before."""

FIRST = ("report.json", "report.html", "report.md", "state.sqlite", "ledger.jsonl")
CHECKPOINTS = ".sqlite"
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DEEPEST = 3


def take(folder: Path, known: Known) -> Parcel:
    """The files of a run that changed.

    Args:
        folder: of the run, which may be written meanwhile.
        known: what was taken before; is brought up to date.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    parcel: Parcel = []
    for name in sorted(filter(_is_of_a_run, names), key=_turn):
        content = _changed(folder / name, name, known)
        if content is not None:
            parcel.append((name, content))
    return parcel


def put(folder: Path, parcel: Parcel) -> None:
    """Write the files, each whole or not at all.

    Raises:
        ToolError: a name that no file of a run has; nothing is written then.
    """
    if strange := [name for name, _ in parcel if not _is_of_a_run(name)]:
        raise ToolError(
            f"A worker sent a file named {strange[0]!r}, which would not lie in its run's folder.",
            mend="Look who else may start processes on the cluster.",
        )
    for name, content in reversed(parcel):
        path = folder / name
        if path.suffix == CHECKPOINTS:  # what was written ahead for the older one does not fit the newer
            for ending in ("-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        write_file(path, lambda part, content=content: part.write_bytes(content))


def _is_of_a_run(name: str) -> bool:
    parts = name.split("/")
    if not all(PART.fullmatch(part) for part in parts) or len(parts) > DEEPEST:
        return False
    return not name.endswith(("-wal", "-shm", "-journal"))


def _turn(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST)), name


def _changed(path: Path, name: str, known: Known) -> bytes | None:
    """What is in a file; none where that was taken before."""
    if path.suffix == CHECKPOINTS:
        content = _checkpoints(path)
        state = hashlib.sha256(content).hexdigest()
    else:
        found = path.stat()
        state = f"{found.st_mtime_ns} {found.st_size}"
        content = b"" if known.get(name) == state else path.read_bytes()
    if known.get(name) == state:
        return None
    known[name] = state
    return content


def _checkpoints(path: Path) -> bytes:
    """The checkpoints as of one moment; the file alone may lack what was written ahead."""
    with closing(sqlite3.connect(path, timeout=30.0)) as connection:
        return connection.serialize()
