"""Contrast pairs by cluster: what is not independent of each other is explored together or confirmed together."""

import random
from collections.abc import Sequence

from .interface import ContrastPair


def clustered(pairs: Sequence[ContrastPair]) -> list[ContrastPair]:
    """Pairs without a cluster stand for themselves."""
    return [p if p.cluster else p.model_copy(update={"cluster": p.clean}) for p in pairs]


def some(values: set[str], rng: random.Random) -> set[str]:
    """A third of the values, at least one: confirmation needs more clusters than discovery."""
    drawn = sorted(values)
    rng.shuffle(drawn)
    return set(drawn[: max(1, len(drawn) // 3)])


def forward(pair: ContrastPair) -> dict[str, str]:
    """A pair as instruments take it."""
    return {
        "base": pair.clean,
        "corrupted": pair.corrupted,
        "answer": pair.answer,
        "foil": pair.foil,
        "cluster": pair.cluster,
    }
