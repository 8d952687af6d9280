"""Vectors of runs on disk, so that a server that starts again need not make them again: one file per embedder.

One file and not two, because only one can be replaced at once. What cannot be read is made again.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float

from ...tools import write_file
from .meaning_lines import Line
from .shelf import Stamp

FORMAT = "1"


class Kept(NamedTuple):
    """A run as it was when its lines were read."""

    stamp: Stamp
    lines: tuple[Line, ...]
    vectors: Float[np.ndarray, "batch d_model"]


def file_of(home: Path, embedder: str) -> Path:
    """Where vectors of an embedder lie."""
    return home / "listing" / f"vectors-{re.sub(r'[^A-Za-z0-9._-]', '-', embedder)[:100]}.npz"


def keep(path: Path, embedder: str, runs: Mapping[str, Kept]) -> None:
    """Write the vectors of runs, by name, whole or not at all."""
    about = {
        "format": FORMAT,
        "embedder": embedder,
        "runs": [[name, list(one.stamp), [list(line) for line in one.lines]] for name, one in runs.items()],
    }
    text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    vectors = [one.vectors for one in runs.values() if len(one.lines)]
    stacked = np.concatenate(vectors) if vectors else np.zeros((0, 1), dtype=np.float32)

    def write(part: Path) -> None:
        with part.open("wb") as file:  # by handle: by name, numpy would add an ending of its own
            np.savez(file, about=text, vectors=stacked)

    write_file(path, write)


def kept(path: Path, embedder: str) -> dict[str, Kept]:
    """What was written, by name; nothing where there is no such file, or it is not as it was written."""
    try:
        # By handle: numpy leaves a file open that it was given by name and could not read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            about, vectors = json.loads(found["about"].tobytes()), found["vectors"]
        if (about["format"], about["embedder"]) != (FORMAT, embedder):
            return {}
        return _taken_apart(about["runs"], vectors)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return {}


def _taken_apart(runs: list[Any], vectors: np.ndarray) -> dict[str, Kept]:
    """
    Raises:
        ValueError: the vectors are not those of the lines.
        TypeError: a line has other parts.
    """
    if vectors.dtype != np.float32 or vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError("no vectors")
    if sum(len(lines) for _, _, lines in runs) != len(vectors):
        raise ValueError("other lines")
    found, at = dict[str, Kept](), 0
    for name, when, lines in runs:
        made = tuple(Line(*line) for line in lines)  # pyright: ignore[reportArgumentType]
        if len(when) != 3 or not all(isinstance(part, str) for line in made for part in line):
            raise ValueError("no run")
        found[name] = Kept(cast(Stamp, tuple(when)), made, vectors[at : at + len(made)])
        at += len(made)
    return found
