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


def folds_of(questions: Sequence[Question], n_folds: int, seed: int, name: str) -> list[int]:
    """The fold of each question, clusters whole, folds as equal in clusters as they can be.

    Raises:
        ToolError: fewer clusters than folds.
    """
    clusters = list(dict.fromkeys(_cluster(q) for q in questions))
    if len(clusters) < n_folds:
        raise ToolError(
            f"The {name} set has {len(clusters)} independent prompts for {n_folds} folds.",
            mend="Give more prompts, or fewer folds.",
        )
    random.Random(seed).shuffle(clusters)
    of = {cluster: place % n_folds for place, cluster in enumerate(clusters)}
    return [of[_cluster(q)] for q in questions]


def cluster_numbers(questions: Sequence[Question]) -> Int[np.ndarray, " batch"]:
    """Number of each question's cluster."""
    of = {cluster: i for i, cluster in enumerate(dict.fromkeys(_cluster(q) for q in questions))}
    return np.array([of[_cluster(q)] for q in questions])


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
        clusters: Number of each question's cluster, within its set.
    """
    generator = np.random.default_rng(seed)
    n_folds = len(losses)
    folds = _counts(generator, n_folds)
    means = []
    for part in (target, ~target):
        drawn = _counts(generator, int(clusters[part].max()) + 1)[:, clusters[part]]
        seen = held_out[:, part].astype(float)
        total = np.einsum("df,fi,di->d", folds, losses[:, part] * seen, drawn)
        weight = np.einsum("df,fi,di->d", folds, seen, drawn)
        means.append(np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0))
    differences = means[0] - means[1]
    differences = differences[~np.isnan(differences)]  # a draw may take no question that its folds held out
    low, high = (float(end) for end in np.quantile(differences[1:], COVERED))
    return Interval(float(differences[0]), low, high)


def _counts(generator: np.random.Generator, n: int) -> Float[np.ndarray, "_ _"]:
    """How often each of `n` is in the sample: once, then as drawn."""
    drawn = generator.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAP_DRAWS)
    return np.concatenate([np.ones((1, n)), drawn.astype(float)])


def _cluster(question: Question) -> str:
    return question.cluster or question.prompt
