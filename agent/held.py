"""Something on disk that one process has at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..tools import ToolError


@contextmanager
def held(path: Path, in_use: Callable[[str], ToolError]) -> Iterator[None]:
    """Hold a file for as long as the block lasts; the system lets go when a process ends, however it ends.

    Args:
        in_use: what is told where another process has it, which is named.

    Raises:
        ToolError: another process has it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use(f"process {os.read(handle, 20).decode() or 'unknown'}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
