"""Text and JSON of files that somebody else may have written: too large is refused before it is read."""

import json
from pathlib import Path
from typing import Any

from ._base import ToolError
from ._graph_types import short


def text_of(path: Path, largest: int, what: str, smaller: str, mend: str) -> str:
    """A file's text, without a mark of byte order.

    Args:
        largest: that it may have (bytes).
        what: it should be, as `a graph file`.
        smaller: what to do about one that is too large.
        mend: what to give in place of a file that is none.

    Raises:
        ToolError: no such file, too many bytes, or no UTF-8.
    """
    if not path.is_file():
        raise ToolError(f"There is no file {path.name}.", mend=mend)
    size = path.stat().st_size
    if size > largest:
        limit = f"{path.name} has {size / 2**20:.0f} MiB; {what} may have {largest // 2**20}."
        raise ToolError(limit, mend=smaller)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ToolError(f"{path.name} is no UTF-8 text: {error.reason} at byte {error.start}.", mend=mend) from error


def json_of(text: str, what: str, mend: str) -> Any:
    """The value that a text writes.

    Args:
        what: the text is, as `The file`.

    Raises:
        ToolError: no JSON, with `mend`.
    """
    try:
        return json.loads(text)
    except ValueError as error:  # also a number of thousands of digits
        raise ToolError(f"{what} is no JSON: {short(str(error))}.", mend=mend) from error
    except RecursionError as error:
        raise ToolError(f"{what} is no JSON that could be read: lists in lists without end.", mend=mend) from error
