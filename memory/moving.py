"""Bringing records elsewhere: out to JSON lines and in again, or over to a memory with another embedder.

Each line is one record with the version of this form, and the lines are sorted, so that equal memories give equal
files. Nothing of a file is believed before all of it was read: what is written is a private copy that was checked.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pydantic import Field, ValidationError
from pydantic_core import from_json

from ..tools import Frozen, digest, write_file
from ._chroma import is_url, opened, plain_errors
from ._errors import RememberError
from ._records import KINDS, RECORDS, AnyRecord
from ._rows import BATCH_ROWS, all_records
from .store import PREFIX, Memory

VERSION = 1
MARK = "vesalius_memory"
MAX_LINE_BYTES = 64_000_000
MAX_SHOWN = 200  # characters of what a person is told of a line
EXPORT_AGAIN = "Export it again with `vesalius memory export`, or remove the line."


class Imported(Frozen):
    """What reading a file of records came to; the four add up to its different records."""

    records: int = Field(description="Different records in the file (count).")
    written: int = Field(description="Records that were not here before (count).")
    same: int = Field(description="Records that stood here already, as they are (count).")
    replaced: int = Field(description="Records that stood here otherwise and now stand as in the file (count).")
    kept: int = Field(description="Records that stand here otherwise and were left as they are here (count).")


def export_records(memory: Memory, path: Path) -> int:
    """Write every record to a file, whole or not at all.

    Args:
        memory: Memory to read.
        path: File to write; one that is there is replaced.

    Returns:
        How many records were written.

    Raises:
        RememberError: the memory failed, or the file cannot be written.
    """
    written = 0

    def write(part: Path) -> None:
        nonlocal written
        with part.open("wb") as file:
            for record in memory.records():
                file.write(f'{{"{MARK}":{VERSION},"record":{record.model_dump_json()}}}\n'.encode())
                written += 1

    try:
        write_file(path, write)
    except OSError as error:
        raise RememberError(
            f"{path} cannot be written: {error.strerror}.", mend="Give a file in a folder that you may write to."
        ) from error
    return written


def import_records(memory: Memory, path: Path, replace: bool = False) -> Imported:
    """Take in the records of a file; nothing is taken in if one line of it is bad.

    Args:
        memory: Memory to write.
        path: File as `export_records` writes it.
        replace: Whether the file's record takes the place of one that stands here otherwise; by default that stays.

    Raises:
        RememberError: the file cannot be read, a line is bad (the message says which), or the memory failed.
    """
    with tempfile.TemporaryFile() as checked:
        first: dict[str, tuple[int, str]] = {}
        for number, record in _read(path):
            content = digest(record.model_dump(mode="json"))
            line, before = first.setdefault(record.id, (number, content))
            if before != content:
                raise _bad(path, number, f"is the record of line {line} with other content", "Keep one of the two.")
            if line == number:
                checked.write(record.model_dump_json().encode() + b"\n")
        checked.seek(0)
        counts = {"written": 0, "same": 0, "replaced": 0, "kept": 0}
        for batch in _batches(checked):
            _take_in(memory, batch, replace, counts)
    return Imported(records=len(first), **counts)


def carry_over(source: Path | str, target: Memory, wait_seconds: float = 10.0) -> int:
    """Copy every record of another memory into this one, with vectors of this one's embedder.

    Args:
        source: Folder or URL to read; it is left as it is.
        target: Memory to write.
        wait_seconds: How long to wait for another process that has the source (seconds).

    Returns:
        How many records were read.

    Raises:
        RememberError: there is no memory at the source, or one of the two failed.
    """
    if not is_url(source) and not Path(source).is_dir():
        raise RememberError(f"There is no memory in {source}.", mend="Give the folder or URL of one.")
    read = 0
    with opened(source, wait_seconds) as client, plain_errors(source):
        present = {collection.name for collection in client.list_collections()}
        for name in (PREFIX + kind for kind in KINDS if PREFIX + kind in present):
            collection = client.get_collection(name, embedding_function=None)
            read += len(target.remember(list(all_records(collection))))
    return read


def _take_in(memory: Memory, batch: list[AnyRecord], replace: bool, counts: dict[str, int]) -> None:
    known = memory.known(batch)
    new = [record for record in batch if record.id not in known]
    other = [record for record in batch if known.get(record.id, record) != record]
    memory.remember([*new, *(other if replace else ())])
    counts["written"] += len(new)
    counts["replaced" if replace else "kept"] += len(other)
    counts["same"] += len(batch) - len(new) - len(other)


def _read(path: Path) -> Iterator[tuple[int, AnyRecord]]:
    """Each record with the number of its line, from 1."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_lines(file, path), start=1):
                if line.strip():
                    yield number, _record(path, number, line)
    except OSError as error:
        raise RememberError(
            f"{path} cannot be read: {error.strerror}.", mend="Give a file that `vesalius memory export` wrote."
        ) from error


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    # Bounded, so that a file without a line break does not fill the memory of the machine.
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise _bad(path, number, f"is longer than {MAX_LINE_BYTES:,} bytes", EXPORT_AGAIN)
        yield line


def _record(path: Path, number: int, line: bytes) -> AnyRecord:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _bad(path, number, f"is no UTF-8 (byte {error.start + 1})", "Save the file as UTF-8.") from error
    try:
        found: Any = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        mend = "Save the file without a byte order mark." if text.startswith("\ufeff") else EXPORT_AGAIN
        what = str(error).replace(" at line 1 column", " at column")  # the line is named by its number in the file
        raise _bad(path, number, f"is no JSON: {what}", mend) from error
    if not isinstance(found, dict) or MARK not in found:
        raise _bad(path, number, f"is no record: it has no `{MARK}`", EXPORT_AGAIN)
    if (version := found[MARK]) != VERSION or isinstance(version, bool):
        mend = f"This version reads {VERSION}: import it with the version of vesalius that wrote it, and export there."
        raise _bad(path, number, f"is of version {str(version)!r} of this form", mend)
    if set(found) != {MARK, "record"}:
        raise _bad(path, number, f"has other fields than `{MARK}` and `record`", EXPORT_AGAIN)
    try:
        return RECORDS.validate_python(found["record"])
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "record"
        raise _bad(path, number, f"holds no record: `{where}`: {problem['msg']}", EXPORT_AGAIN) from error


def _bad(path: Path, number: int, what: str, mend: str) -> RememberError:
    shown = what if len(what) <= MAX_SHOWN else f"{what[:MAX_SHOWN]}…"
    return RememberError(f"Line {number} of {path} {shown}. Nothing was imported.", mend=mend)


def _batches(checked: IO[bytes]) -> Iterator[list[AnyRecord]]:
    batch: list[AnyRecord] = []
    for line in checked:
        batch.append(RECORDS.validate_json(line))
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
