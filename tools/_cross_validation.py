"""Folds of questions, and how sure a difference between two sets is when units were found on one fold each.

An interval is a bootstrap over both that were drawn: folds, because another fold finds other units, and clusters of
questions within each set. Each fold counts only with the questions that it did not find its units on.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ._base import ToolError
from ._unit_ablation import Question

COVERED = (0.025, 0.975)
BOOTSTRAP_DRAWS = 2000


class Interval(NamedTuple):
    """A mean with its 95 % limits."""

    value: float
    low: float
    high: float


def folds_of(sets: Sequence[Sequence[Question]], n_folds: int, seed: int) -> list[int]:
    """The fold of each question, one set after the other: clusters whole, folds as equal in clusters as they can be.

    A cluster with questions in both sets is in one fold of both, or units would be judged on what they were found on.

    Raises:
        ToolError: fewer clusters than folds in a set.
    """
    clusters = [dict.fromkeys(map(_cluster, part)) for part in sets]
    for name, found in zip(("first", "second"), clusters, strict=True):
        if len(found) < n_folds:
            raise ToolError(
                f"The {name} set has {len(found)} independent prompts for {n_folds} folds.",
                mend="Give more prompts, or fewer folds.",
            )
    shared = [cluster for cluster in clusters[0] if cluster in clusters[1]]
    of: dict[str, int] = {}
    for begins, group in ((0, shared), *((len(shared), [one for one in own if one not in shared]) for own in clusters)):
        random.Random(seed).shuffle(group)
        of |= {cluster: (begins + place) % n_folds for place, cluster in enumerate(group)}
    return [of[_cluster(question)] for part in sets for question in part]


def cluster_numbers(sets: Sequence[Sequence[Question]]) -> Int[np.ndarray, " batch"]:
    """Number of each question's cluster, one set after the other."""
    names = [_cluster(question) for part in sets for question in part]
    of = {cluster: i for i, cluster in enumerate(dict.fromkeys(names))}
    return np.array([of[name] for name in names])


def held_out_difference(
    losses: Float[np.ndarray, "_ batch"],
    held_out: Bool[np.ndarray, "_ batch"],
    target: Bool[np.ndarray, " batch"],
    clusters: Int[np.ndarray, " batch"],
    seed: int,
) -> Interval:
    """Mean over folds and held-out questions of one set less that of the other.

    Args:
        losses: By fold and question.
        held_out: Which questions a fold did not see.
        target: Which questions count up; the others count down.
        clusters: Number of each question's cluster; one of both sets is drawn for both at once.
    """
    generator = np.random.default_rng(seed)
    n_folds = len(losses)
    folds, times = _counts(generator, n_folds), _times(generator, target, clusters)
    means = []
    for part in (target, ~target):
        drawn, seen = times[:, part], held_out[:, part].astype(float)
        total = np.einsum("df,fi,di->d", folds, losses[:, part] * seen, drawn)
        weight = np.einsum("df,fi,di->d", folds, seen, drawn)
        means.append(np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0))
    differences = means[0] - means[1]
    differences = differences[~np.isnan(differences)]  # a draw may take no question that its folds held out
    low, high = (float(end) for end in np.quantile(differences[1:], COVERED))
    return Interval(float(differences[0]), low, high)


def _times(
    generator: np.random.Generator, target: Bool[np.ndarray, " batch"], clusters: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "_ batch"]:
    """How often each question is in each sample. Clusters of one set, of the other and of both are drawn apart."""
    both = np.isin(clusters, np.intersect1d(clusters[target], clusters[~target]))
    times = np.zeros((BOOTSTRAP_DRAWS + 1, len(clusters)))
    for part in (target & ~both, ~target & ~both, both):
        found, numbers = np.unique(clusters[part], return_inverse=True)
        if len(found):
            times[:, part] = _counts(generator, len(found))[:, numbers]
    return times


def _counts(generator: np.random.Generator, n: int) -> Float[np.ndarray, "_ _"]:
    """How often each of `n` is in the sample: once, then as drawn."""
    drawn = generator.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAP_DRAWS)
    return np.concatenate([np.ones((1, n)), drawn.astype(float)])


def _cluster(question: Question) -> str:
    return question.cluster or question.prompt
