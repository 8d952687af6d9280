"""Rows of one chromadb collection: in batches, read back as records, and nearest first by exact cosine."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from ._errors import RememberError
from ._index import Where, metadata_of
from ._records import RECORDS, AnyRecord

# Named for the type checker only: importing chromadb takes half a second, spent when a store is opened.
if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection
else:
    Collection = Any

LOOK_THROUGH_ALL = 1000  # rows up to which a collection is read whole (70 ms) rather than by its index
CANDIDATES_PER_HIT = 4
LEAST_CANDIDATES = 64
BATCH_ROWS = 500
BATCH_CHARS = 4_000_000  # a server refuses a request of some tens of megabytes


class Row(NamedTuple):
    """A record as it is stored."""

    id: str
    document: str
    record: AnyRecord


class Near(NamedTuple):
    """A record and the cosine of its vector to the one asked for."""

    similarity: float
    id: str
    record: AnyRecord


def row_of(record: AnyRecord) -> Row:
    """The document is the whole record in JSON, which escapes what a database might stumble over."""
    return Row(record.id, record.model_dump_json(), record)


def batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Pieces small enough for one request each."""
    batch: list[Row] = []
    chars = 0
    for row in rows:
        if batch and (len(batch) == BATCH_ROWS or chars + len(row.document) > BATCH_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(row)
        chars += len(row.document)
    if batch:
        yield batch


def upsert(collection: Collection, batch: list[Row], vectors: Float[np.ndarray, "batch d_model"]) -> None:
    """Write rows; one whose id is there is replaced (chromadb's `add` would keep the old one and say nothing)."""
    collection.upsert(
        ids=[row.id for row in batch],
        embeddings=vectors,
        documents=[row.document for row in batch],
        metadatas=[dict(metadata_of(row.record)) for row in batch],
    )


def nearest(
    collection: Collection, vector: Float[np.ndarray, " d_model"], where: Where | None, limit: int
) -> list[Near]:
    """The `limit` records most like a vector among those that `where` lets through, nearest first.

    Raises:
        RememberError: the store holds something that is no record.
    """
    ids, vectors = _candidates(collection, vector, where, limit)
    if not ids:
        return []
    similarities = cosines(vectors, vector)
    best = sorted(zip(-similarities, ids, strict=True))[:limit]
    documents = _documents(collection, [row for _, row in best])
    # A row that another client of a server removed since is left out.
    return [Near(-float(minus), row, _record(row, documents[row])) for minus, row in best if row in documents]


def cosines(
    vectors: Float[np.ndarray, "batch d_model"], vector: Float[np.ndarray, " d_model"]
) -> Float[np.ndarray, " batch"]:
    """Cosine of each row to a vector, in double precision."""
    rows, one = vectors.astype(np.float64), vector.astype(np.float64)
    # Row by row, not as a matrix product, whose last digit depends on how many rows there are.
    return np.clip((rows * one).sum(axis=1) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(one)), -1.0, 1.0)


def all_records(collection: Collection, where: Where | None = None) -> Iterator[AnyRecord]:
    """Every record of a collection that `where` lets through, by id.

    Raises:
        RememberError: the store holds something that is no record.
    """
    # All ids first: pages by offset would shift under a writer.
    ids = sorted(collection.get(where=where, include=[])["ids"])
    for start in range(0, len(ids), BATCH_ROWS):
        documents = _documents(collection, ids[start : start + BATCH_ROWS])
        for row in sorted(documents):
            yield _record(row, documents[row])


def records_at(collection: Collection, ids: Sequence[str]) -> dict[str, AnyRecord]:
    """Those of these records that are there, by id.

    Raises:
        RememberError: the store holds something that is no record.
    """
    return {row: _record(row, document) for row, document in _documents(collection, list(ids)).items()}


def index_anew(collection: Collection) -> None:
    """Write the fields that rows are looked up by again, from the records themselves.

    Raises:
        RememberError: the store holds something that is no record.
    """
    ids = collection.get(include=[])["ids"]
    for start in range(0, len(ids), BATCH_ROWS):
        found = records_at(collection, ids[start : start + BATCH_ROWS])
        collection.update(ids=list(found), metadatas=[dict(metadata_of(record)) for record in found.values()])


def indexed(collection: Collection) -> list[dict[str, Any]]:
    """The fields of every row that it is looked up by."""
    return [dict(fields) for fields in collection.get(include=["metadatas"])["metadatas"] or []]


def delete(collection: Collection, where: Where) -> int:
    """Remove the rows that `where` names; how many they were."""
    ids = collection.get(where=where, include=[])["ids"]
    for start in range(0, len(ids), BATCH_ROWS):
        collection.delete(ids=ids[start : start + BATCH_ROWS])
    return len(ids)


def _candidates(
    collection: Collection, vector: Float[np.ndarray, " d_model"], where: Where | None, limit: int
) -> tuple[list[str], Float[np.ndarray, "batch d_model"]]:
    if collection.count() <= LOOK_THROUGH_ALL:
        found = collection.get(where=where, include=["embeddings"])
        ids, vectors = found["ids"], found["embeddings"]
    else:
        wanted = max(LEAST_CANDIDATES, CANDIDATES_PER_HIT * limit)
        near = collection.query(query_embeddings=[vector], where=where, n_results=wanted, include=["embeddings"])
        assert near["embeddings"] is not None
        ids, vectors = near["ids"][0], near["embeddings"][0]
    return ids, np.asarray(vectors, dtype=np.float32).reshape(len(ids), len(vector))


def _documents(collection: Collection, ids: list[str]) -> dict[str, str]:
    found = collection.get(ids=ids, include=["documents"])
    assert found["documents"] is not None
    return dict(zip(found["ids"], found["documents"], strict=True))


def _record(row: str, document: str | None) -> AnyRecord:
    mend = "Another program, or a later version of this one, wrote it: use that one, or a store of your own."
    try:
        record = RECORDS.validate_json(document or "")
    except ValidationError as error:
        raise RememberError(f"Row {row!r} of the memory is no record of this version.", mend=mend) from error
    if record.id != row:
        raise RememberError(f"Row {row!r} of the memory was changed: its content does not give that id.", mend=mend)
    return record
