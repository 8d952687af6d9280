"""A file that is there whole or not at all, whatever happens while it is written."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Make a file under another name and give it its own when it is finished; a reader sees the old one or the new one.

    Args:
        write: Fills the file that it is given.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        write(part)
        part.chmod(0o644)  # a temporary file is closed to others
        os.fsync(handle)
        part.replace(path)
    finally:
        os.close(handle)
        part.unlink(missing_ok=True)  # gone already when all went well
