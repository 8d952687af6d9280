"""Contrast pairs by cluster: what is not independent of each other is explored together or confirmed together."""

import random
from collections.abc import Sequence

from networkx.utils import UnionFind

from ...tools import canonical
from .interface import ContrastPair


def clustered(pairs: Sequence[ContrastPair]) -> list[ContrastPair]:
    """Pairs without a cluster stand for themselves."""
    return [p if p.cluster else p.model_copy(update={"cluster": p.clean}) for p in pairs]


def together(pairs: Sequence[ContrastPair]) -> list[ContrastPair]:
    """Pairs of the same two prompts, either way round, are one piece of evidence: they get one cluster."""
    joined = UnionFind()
    for pair in pairs:
        joined.union(f"cluster {pair.cluster}", canonical(sorted((pair.clean.split(), pair.corrupted.split()))))
    first: dict[str, str] = {}
    named = [first.setdefault(joined[f"cluster {pair.cluster}"], pair.cluster) for pair in pairs]
    return [pair.model_copy(update={"cluster": cluster}) for pair, cluster in zip(pairs, named, strict=True)]


def some(values: set[str], rng: random.Random) -> set[str]:
    """A third of the values, at least one: confirmation needs more clusters than discovery."""
    drawn = sorted(values)
    rng.shuffle(drawn)
    return set(drawn[: max(1, len(drawn) // 3)])


def halves(pairs: Sequence[ContrastPair], seed: int) -> tuple[list[ContrastPair], list[ContrastPair]]:
    """Pairs to explore, and to confirm, split by cluster."""
    named = together(clustered(pairs))
    first = some({pair.cluster for pair in named}, random.Random(seed))
    return [p for p in named if p.cluster in first], [p for p in named if p.cluster not in first]


def forward(pair: ContrastPair) -> dict[str, str]:
    """A pair as instruments take it."""
    return {
        "base": pair.clean,
        "corrupted": pair.corrupted,
        "answer": pair.answer,
        "foil": pair.foil,
        "cluster": pair.cluster,
    }
