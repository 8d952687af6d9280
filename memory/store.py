"""The memory of earlier runs: remember, recall, search, compare, forget.

Vectors are made here and always handed to chromadb, which would otherwise fetch an embedder over the network. Its
index finds candidates only, and misses some: a small collection is read whole, and every similarity that a hit
carries is a cosine computed here from the stored vector.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from ..tools import Frozen, SubjectKey
from ._chroma import opened, plain_errors, refuse_forked
from ._contradictions import Comparison, compare
from ._embedder import Embedder, default_embedder, vectors_of
from ._errors import RememberError
from ._index import INDEX, Only, Present, Where, all_of
from ._recall import Hit, OtherHit, OwnHit, Recall, StaleHit
from ._records import KINDS, AnyRecord, ClaimRecord, Kind
from ._rows import Near, all_records, batches, delete, index_anew, indexed, nearest, records_at, row_of, upsert

# Named for the type checker only: importing chromadb takes half a second, spent when a store is opened.
if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection
else:
    ClientAPI = Collection = Any

PREFIX = "vesalius_"  # a team's server may hold other people's collections


class Status(Frozen):
    """What a memory holds."""

    location: str = Field(description="Folder or URL.")
    embedder: str = Field(description="Id of the embedder whose vectors it holds.")
    notice: str | None = Field(description="What a reader of its hits should know of the embedder.")
    counts: dict[Kind, int] = Field(description="Records per collection.")


class Remembered(Frozen):
    """How much is held about one set of weights under one name."""

    model: str = Field(description="Name of the model.")
    weights: str = Field(description="Fingerprint; of a re-initialised twin with its seed.")
    records: int = Field(description="Records about them (count).")
    runs: int = Field(description="Runs that wrote them (count).")


class Memory:
    """What was found before. Use it in a `with` block, as short as will do: a folder has one owner at a time."""

    def __init__(self, location: Path | str, embedder: Embedder | None = None, wait_seconds: float = 10.0) -> None:
        """Open, and make what is absent.

        Args:
            location: A folder, or the URL of a chromadb server (`http://HOST:PORT`).
            embedder: What makes the vectors; by default `default_embedder()`.
            wait_seconds: How long to wait for another process that has the folder (seconds).

        Raises:
            RememberError: folder in use or unusable, no server at the URL, or vectors of another embedder in it.
        """
        self.location = location
        self.embedder = default_embedder() if embedder is None else embedder
        self._process = os.getpid()
        self._closed = False
        with ExitStack() as opening:
            client = opening.enter_context(opened(location, wait_seconds))
            self._collections: dict[Kind, Collection] = {
                kind: _collection(client, kind, self.embedder, location) for kind in KINDS
            }
            self._close = opening.pop_all().close

    def remember(self, records: Sequence[AnyRecord]) -> tuple[str, ...]:
        """Write records; one that is there already is replaced, so writing twice changes nothing.

        Returns:
            The records' ids, in the order given. Once returned they survive a `kill -9`.

        Raises:
            RememberError: the store failed, or the embedder gave vectors that cannot be compared.
        """
        for kind in KINDS:
            # A dict, for chromadb refuses a batch with the same id twice; the last one stands.
            rows = {record.id: row_of(record) for record in records if record.kind == kind}
            for batch in batches(list(rows.values())):
                vectors = self._vectors([row.record.wording for row in batch])
                with self._speaking():
                    upsert(self._collections[kind], batch, vectors)
        return tuple(record.id for record in records)

    def recall(
        self,
        query: str,
        subject: SubjectKey,
        kind: Kind | None = None,
        limit: int = 5,
        dictionaries: tuple[str, ...] | None = None,
        only: Only | None = None,
    ) -> Recall:
        """What is known that bears on a question: what holds of these weights, what no longer does, and the rest.

        Args:
            query: The question, in words.
            subject: The weights it is about.
            kind: Collection to look in; by default all three.
            limit: Hits to return of each sort (count).
            dictionaries: Digests of the dictionaries that these weights have now; by default features of any pass.
            only: Exact conditions.

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        present = Present(subject=subject, dictionaries=dictionaries)
        vector = self._vectors([query])[0]
        asked = None if only is None else only.where
        own, stale, other = (
            self._nearest(vector, kind, all_of(where, asked), limit)
            for where in (present.own, present.stale, present.elsewhere)
        )
        return Recall(
            present=present,
            same_weights=tuple(OwnHit(**near._asdict()) for near in own),
            stale=tuple(StaleHit(**near._asdict(), stale=present.staleness(near.record)) for near in stale),
            other_weights=tuple(OtherHit(**near._asdict()) for near in other),
        )

    def search(
        self,
        text: str,
        kind: Kind | None = None,
        only: Only | None = None,
        limit: int = 10,
        present: Present | None = None,
    ) -> tuple[Hit, ...]:
        """Records nearest to a text, nearest first, whatever weights they are about.

        Args:
            text: What to look for.
            kind: Collection to look in; by default all three.
            only: Exact conditions.
            limit: Hits to return (count).
            present: A model as it is now; hits that no longer hold of it say so.

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        found = self._nearest(self._vectors([text])[0], kind, None if only is None else only.where, limit)
        return tuple(
            Hit(**near._asdict(), stale="" if present is None else present.staleness(near.record)) for near in found
        )

    def contradictions(self, only: Only | None = None) -> Comparison:
        """Claims of different runs about the same weights that cannot both be true.

        Args:
            only: Exact conditions on the claims that are compared.

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        return compare(record for record in self.records("claims", only) if isinstance(record, ClaimRecord))

    def records(self, kind: Kind | None = None, only: Only | None = None) -> Iterator[AnyRecord]:
        """Every record that meets the conditions, collection by collection, by id.

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        for each in KINDS if kind is None else (kind,):
            with self._speaking():
                yield from all_records(self._collections[each], None if only is None else only.where)

    def known(self, records: Sequence[AnyRecord]) -> dict[str, AnyRecord]:
        """What stands here under the ids of these records, by id.

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        found: dict[str, AnyRecord] = {}
        for kind in KINDS:
            ids = list(dict.fromkeys(record.id for record in records if record.kind == kind))
            if ids:
                with self._speaking():
                    found |= records_at(self._collections[kind], ids)
        return found

    def forget(self, run: str) -> int:
        """Remove what a run wrote.

        Returns:
            How many records went.
        """
        with self._speaking():
            return sum(delete(collection, {"run": run}) for collection in self._collections.values())

    def status(self) -> Status:
        """How much is held, and whose vectors."""
        with self._speaking():
            counts: dict[Kind, int] = {kind: collection.count() for kind, collection in self._collections.items()}
        return Status(
            location=str(self.location), embedder=self.embedder.id, notice=self.embedder.notice, counts=counts
        )

    def subjects(self) -> tuple[Remembered, ...]:
        """How much is held about which weights, by name."""
        with self._speaking():
            rows = [row for collection in self._collections.values() for row in indexed(collection)]
        runs: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            runs.setdefault((row["model"], row["weights"]), []).append(row["run"])
        return tuple(
            Remembered(model=model, weights=weights, records=len(found), runs=len(set(found)))
            for (model, weights), found in sorted(runs.items())
        )

    def close(self) -> None:
        """Let the folder go, for the next process. Closing twice is fine."""
        self._closed = True
        if self._process == os.getpid():
            self._close()

    def __enter__(self) -> "Memory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _nearest(
        self, vector: Float[np.ndarray, " d_model"], kind: Kind | None, where: Where | None, limit: int
    ) -> list[Near]:
        if limit < 1:
            raise RememberError(f"`limit` is {limit}.", mend="Ask for at least one hit.")
        with self._speaking():
            found = [
                near
                for each in (KINDS if kind is None else (kind,))
                for near in nearest(self._collections[each], vector, where, limit)
            ]
        return sorted(found, key=lambda near: (-near.similarity, near.id))[:limit]

    def _vectors(self, texts: list[str]) -> Float[np.ndarray, "batch d_model"]:
        return vectors_of(self.embedder, texts)

    def _speaking(self) -> AbstractContextManager[None]:
        refuse_forked(self._process, self.location)
        if self._closed:
            raise RememberError(f"The memory at {self.location} is closed.", mend="Open it again.")
        return plain_errors(self.location)


def _collection(client: ClientAPI, kind: Kind, embedder: Embedder, location: Path | str) -> Collection:
    """The collection, made if absent; one that is there keeps the embedder it was made with."""
    with plain_errors(location):
        collection = client.get_or_create_collection(
            PREFIX + kind,
            metadata={"embedder": embedder.id, "index": INDEX},
            configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
            embedding_function=None,
        )
    about = collection.metadata or {}
    made_with = about.get("embedder")
    if made_with != embedder.id:
        raise RememberError(
            f"The memory at {location} holds vectors of `{made_with}`, and this machine would add those of "
            f"`{embedder.id}`: they cannot be compared.",
            mend="Install the embedder it was made with (`pip install 'vesalius[embed]'` for all-MiniLM-L6-v2), "
            "or start a new memory and bring its records over with `vesalius.memory.carry_over`.",
        )
    if about.get("index") != INDEX:  # the mark comes last, so that a kill in between leaves this to be done again
        with plain_errors(location):
            index_anew(collection)
            collection.modify(metadata={"embedder": embedder.id, "index": INDEX})
    return collection
