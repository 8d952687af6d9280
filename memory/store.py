"""The memory of earlier runs: remember, recall, search, forget.

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
from ._chroma import is_url, opened, plain_errors, refuse_forked
from ._embedder import Embedder, default_embedder
from ._errors import RememberError
from ._records import KINDS, AnyRecord, Hit, Kind, OtherHit, OwnHit, Recall, weights_of
from ._rows import Near, Where, all_records, batches, delete, nearest, row_of, upsert

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
            self._collections: dict[Kind, Collection] = {kind: self._collection(client, kind) for kind in KINDS}
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

    def recall(self, query: str, subject: SubjectKey, kind: Kind | None = None, limit: int = 5) -> Recall:
        """What is known that bears on a question, findings in these weights and in others kept apart.

        Args:
            query: The question, in words.
            subject: The weights it is about.
            kind: Collection to look in; by default all three.
            limit: Hits to return on each side (count).

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        weights = weights_of(subject)
        vector = self._vectors([query])[0]
        same = self._nearest(vector, kind, {"weights": weights}, limit)
        other = self._nearest(vector, kind, {"weights": {"$ne": weights}}, limit)
        return Recall(
            subject=subject,
            same_weights=tuple(OwnHit(**near._asdict()) for near in same),
            other_weights=tuple(OtherHit(**near._asdict()) for near in other),
        )

    def search(
        self, text: str, kind: Kind | None = None, fingerprint: str | None = None, limit: int = 10
    ) -> tuple[Hit, ...]:
        """Records nearest to a text, nearest first, whatever weights they are about.

        Args:
            text: What to look for.
            kind: Collection to look in; by default all three.
            fingerprint: Only records about these weights (not about their re-initialised twins).
            limit: Hits to return (count).

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        where = None if fingerprint is None else {"weights": fingerprint}
        return tuple(Hit(**near._asdict()) for near in self._nearest(self._vectors([text])[0], kind, where, limit))

    def records(self, kind: Kind | None = None) -> Iterator[AnyRecord]:
        """Every record, in no particular order.

        Raises:
            RememberError: the store failed, or holds something that is no record.
        """
        for each in KINDS if kind is None else (kind,):
            with self._speaking():
                yield from all_records(self._collections[each])

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

    def _collection(self, client: ClientAPI, kind: Kind) -> Collection:
        """The collection, made if absent; one that is there keeps the embedder it was made with."""
        with plain_errors(self.location):
            collection = client.get_or_create_collection(
                PREFIX + kind,
                metadata={"embedder": self.embedder.id},
                configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
                embedding_function=None,
            )
        made_with = (collection.metadata or {}).get("embedder")
        if made_with != self.embedder.id:
            raise RememberError(
                f"The memory at {self.location} holds vectors of `{made_with}`, and this machine would add those of "
                f"`{self.embedder.id}`: they cannot be compared.",
                mend="Install the embedder it was made with (`pip install 'vesalius[embed]'` for all-MiniLM-L6-v2), "
                "or start a new memory and bring its records over with `vesalius.memory.carry_over`.",
            )
        return collection

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
        # "replace": a query from a command line may hold half a surrogate pair, which has no bytes.
        legible = [text.encode("utf-8", "replace").decode() for text in texts]
        vectors = np.asarray(self.embedder.embed(legible), dtype=np.float32)
        if (
            vectors.ndim != 2
            or len(vectors) != len(texts)
            or not np.isfinite(vectors).all()
            or not vectors.any(1).all()
        ):
            raise RememberError(
                f"Embedder `{self.embedder.id}` gave an array of shape {vectors.shape} for {len(texts)} texts, "
                "or a vector that is zero or not finite.",
                mend="Give one finite vector, not all zero, per text.",
            )
        return vectors

    def _speaking(self) -> AbstractContextManager[None]:
        refuse_forked(self._process, self.location)
        if self._closed:
            raise RememberError(f"The memory at {self.location} is closed.", mend="Open it again.")
        return plain_errors(self.location)


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
