"""A folder that is whole or not there: how every organism is written."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill that gets its name when all is written, or is gone when anything fails.

    Raises:
        FileExistsError: the folder is there already, or came to be there while this one was filled.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists. Pass a folder that does not, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield part
        part.chmod(0o755)  # a temporary folder is closed to others, and so are files that safetensors writes
        for path in part.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            part.rename(out)
        except OSError as error:
            if not out.exists():
                raise
            raise FileExistsError(f"{out} has come to be meanwhile. Pass a folder that does not exist.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
