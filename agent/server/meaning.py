"""Runs found by what they are about, in whatever words: vectors of their sentences, made on this machine.

Vectors are made in a thread, newest runs first, and a search ranks those there are so far: the weights of an embedder
take seconds to load, and the sentences of a thousand runs longer still. They are kept in memory and on disk until a
run's file changes; a sentence that several runs share is embedded once.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from ...memory import Embedder, HashingEmbedder, RememberError, default_embedder
from ...tools import Frozen, ToolError
from ..chat.remembered import NEAR
from ..recalling import RELATED
from ..runs import RunFolder
from .meaning_kept import Kept, file_of, keep, kept
from .meaning_lines import Kind, Line, lines_of, stamp_of
from .shelf import Stamp

MOST_RUNS = 5_000  # newest; with 24 lines each they take 180 MB at most
AT_ONCE = 16  # runs between two looks at whether to go on
SAVED_EACH = 10.0  # seconds
PATIENCE = 0.3  # seconds that a search waits where vectors are only beginning to be made
MOST_QUERIES = 64


class Near(Frozen):
    """How near a run is to what was looked for, and which of its sentences is nearest."""

    kind: Kind = Field(description="What the sentence is.")
    claim: str = Field(description="The claim it is; empty where it is none.")
    line: str = Field(description="The sentence.")
    similarity: float = Field(description="Cosine of the two vectors, -1 to 1.")
    words: str = Field(description="The same in words.")


class Reading(Frozen):
    """How a search by meaning was made, and how much of the runs it saw."""

    by: Literal["meaning", "spelling"] = Field(description="What is compared on this machine.")
    embedder: str = Field(description="What makes the vectors.")
    told: str = Field(description="Both in plain words, with what mends it where only spelling is compared.")
    ready: bool = Field(description="Whether the embedder is loaded; before that nothing can be ranked.")
    read: int = Field(description="Runs that have been read (count).")
    of: int = Field(description="Runs that are to be read (count).")
    skipped: int = Field(description="Runs that cannot be read, and are in no result (count).")
    left_out: int = Field(description="Oldest runs, beyond those that are compared at most (count).")


class Found(NamedTuple):
    """What a search came to."""

    near: dict[str, Near]  # by run
    reading: Reading


class Meaning:
    """Ranks the runs of a home by how near they are to what somebody looks for.

    Args:
        home: folder of runs and memory.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._kept: dict[str, Kept] | None = None
        self._embedder: Embedder | None = None
        self._ready = False
        self._problem: RememberError | None = None
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()
        self._sought = lru_cache(MOST_QUERIES)(self._vector)

    def search(self, query: str, folders: Sequence[RunFolder]) -> Found:
        """How near each run is, of those that have been read; the others are being read from now on.

        Args:
            query: what is looked for.
            folders: every run, newest first.

        Raises:
            ToolError: the embedder cannot be used.
        """
        compared = {folder.name: stamp_of(folder) for folder in folders[:MOST_RUNS]}
        embedder = self._begin(compared, folders[:MOST_RUNS])
        if self._problem:
            problem, self._problem = self._problem, None  # it may have been mended when it is next asked for
            raise ToolError(f"Runs cannot be compared by meaning: {problem.message}", mend=problem.mend)
        current = self._current(compared)
        near: dict[str, Near] = {}
        if self._ready:
            sought = self._sought(query)
            near = {name: _nearest(one, sought, embedder) for name, one in current.items() if one.lines}
        return Found(near, self._reading(embedder, len(folders), len(compared), current))

    def _begin(self, compared: Mapping[str, Stamp | None], folders: Sequence[RunFolder]) -> Embedder:
        """See to it that what is not read yet is being read."""
        with self._lock:
            if self._embedder is None:
                self._embedder = default_embedder()
            is_complete = self._ready and len(self._current(compared)) == len(compared)
            if not is_complete and not (self._worker and self._worker.is_alive()):
                # No daemon, which would be cut off within torch when the program ends; it looks whether to stop itself.
                self._worker = threading.Thread(target=self._read, args=(folders,), name="meaning")
                self._worker.start()
                self._worker.join(PATIENCE)
            return self._embedder

    def _current(self, compared: Mapping[str, Stamp | None]) -> dict[str, Kept]:
        """What has been read of these runs as they are now."""
        have = self._kept or {}
        found = {name: have.get(name) for name in compared}
        return {name: one for name, one in found.items() if one is not None and one.stamp == compared[name]}

    def _vector(self, text: str) -> Float[np.ndarray, " d_model"]:
        return self._embed([text])[0]

    def _embed(self, texts: list[str]) -> Float[np.ndarray, "batch d_model"]:
        assert self._embedder is not None, "it is chosen before anything is read"
        # "replace": half a character has no bytes.
        legible = [text.encode("utf-8", "replace").decode() for text in texts]
        vectors = np.asarray(self._embedder.embed(legible), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _read(self, folders: Sequence[RunFolder]) -> None:
        """Read and embed every run that is not, or has changed since."""
        assert self._embedder is not None, "it is chosen before anything is read"
        try:
            path = file_of(self._home, self._embedder.id)
            before = kept(path, self._embedder.id) if self._kept is None else self._kept
            names = {folder.name for folder in folders}
            self._kept = {name: one for name, one in before.items() if name in names}
            size = len(self._vector("loads the weights"))
            self._ready = True
            self._read_each(folders, path, size, is_old=len(self._kept) < len(before))
        except RememberError as error:
            self._problem = error

    def _read_each(self, folders: Sequence[RunFolder], path: Path, size: int, is_old: bool) -> None:
        assert self._kept is not None, "it was read from disk"
        known = {
            line.compared: v for one in self._kept.values() for line, v in zip(one.lines, one.vectors, strict=True)
        }
        saved = time.monotonic()
        todo = [folder for folder in folders if _is_new(folder, self._kept.get(folder.name))]
        for start in range(0, len(todo), AT_ONCE):
            if not threading.main_thread().is_alive():  # the program ends
                break
            some = [(folder.name, stamp_of(folder), lines_of(folder)) for folder in todo[start : start + AT_ONCE]]
            self._know(known, (line for _, _, lines in some for line in lines))
            for name, when, lines in some:
                if when is not None:
                    vectors = np.asarray([known[line.compared] for line in lines], dtype=np.float32)
                    self._kept[name] = Kept(when, lines, vectors.reshape(len(lines), size))
            is_old = True
            if time.monotonic() - saved > SAVED_EACH:
                self._save(path)
                saved, is_old = time.monotonic(), False
        if is_old:
            self._save(path)

    def _know(self, known: dict[str, Float[np.ndarray, " d_model"]], lines: Iterable[Line]) -> None:
        new = list(dict.fromkeys(line.compared for line in lines if line.compared not in known))
        if new:
            known.update(zip(new, self._embed(new), strict=True))

    def _save(self, path: Path) -> None:
        assert self._embedder is not None, "it is chosen before anything is read"
        with suppress(OSError):  # a full disk, say: they are made again when the server starts again
            keep(path, self._embedder.id, self._kept or {})

    def _reading(self, embedder: Embedder, there: int, of: int, current: Mapping[str, Kept]) -> Reading:
        is_spelling = isinstance(embedder, HashingEmbedder)
        told = (
            "Only spelling is compared on this machine, not meaning: words and parts of words that are shared. A "
            "paraphrase may not be found. For meaning: pip install 'vesalius[embed]', and start the server again."
            if is_spelling
            else f"Compared by meaning with {embedder.id.split('@')[0]}, on this machine."
        )
        return Reading(
            by="spelling" if is_spelling else "meaning",
            embedder=embedder.id,
            told=told,
            ready=self._ready,
            read=len(current),
            of=of,
            skipped=sum(not one.lines for one in current.values()),
            left_out=there - of,
        )


def _is_new(folder: RunFolder, have: Kept | None) -> bool:
    return have is None or have.stamp != stamp_of(folder)


def _nearest(one: Kept, sought: Float[np.ndarray, " d_model"], embedder: Embedder) -> Near:
    scores = one.vectors @ sought
    best = int(scores.argmax())  # the first of equals, so that a search repeats
    line, similarity = one.lines[best], round(float(scores[best]), 4)
    return Near(
        kind=line.kind,
        claim=line.claim,
        line=line.shown,
        similarity=similarity,
        words=_words(similarity, isinstance(embedder, HashingEmbedder)),
    )


def _words(similarity: float, is_spelling: bool) -> str:
    if similarity >= RELATED:
        return "much is spelled alike" if is_spelling else "close in meaning"
    if similarity >= NEAR:
        return "some is spelled alike" if is_spelling else "related in meaning"
    return "little is spelled alike" if is_spelling else "hardly related"
