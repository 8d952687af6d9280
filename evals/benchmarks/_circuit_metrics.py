"""How well scores of links, or of nodes, find a circuit that is known.

Written for themselves and not taken from the code of MIB (Mueller et al. 2025), whose comparison counts a true link
that a method did not score as found: here it has the score 0. Parts of one score share their place: a method that says
nothing gets an area of one half, not whatever the order of its output happens to give.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float

Part = TypeVar("Part", bound=Hashable)
"""What is scored: a link, or a node."""

SHARE_OF_GAP = 0.05  # an effect below this share of the gap between clean and corrupted is no finding


class Found(NamedTuple):
    """What a threshold finds."""

    recall: float  # of the true parts (share)
    false: int  # parts that are not true (count)
    n_true: int
    n_others: int


@dataclass(frozen=True)
class Verdict:
    """What one method says of one organism."""

    auroc: float
    precision: float
    recall: float  # of the true parts, at 5 % of the gap (share)
    false: int  # parts found there that are not true (count)
    cpu_s: float
    pearson: float | None = None  # of scores and exact effects, over families and parts; none where not compared


def verdict(
    scores: Mapping[Part, float], true: Collection[Part], parts: Sequence[Part], cpu_s: float, pearson: float | None
) -> Verdict:
    """All that is measured of one method's scores.

    Raises:
        ValueError: parts that are not among all of them, or none on one side.
    """
    at = found_at(scores, true, parts)
    return Verdict(
        auroc=auroc(scores, true, parts),
        precision=average_precision(scores, true, parts),
        recall=at.recall,
        false=at.false,
        cpu_s=cpu_s,
        pearson=pearson,
    )


def auroc(scores: Mapping[Part, float], true: Collection[Part], parts: Sequence[Part]) -> float:
    """Chance that a true part has a larger |score| than another one, ties counting half.

    Args:
        parts: All parts there are; one that `scores` lacks has the score 0.

    Raises:
        ValueError: parts that are not among all of them, or none on one side.
    """
    sizes, is_true = _sides(scores, true, parts)
    higher = sizes[is_true][:, None] - sizes[~is_true][None]
    return float(((higher > 0) + (higher == 0) / 2).mean())


def average_precision(scores: Mapping[Part, float], true: Collection[Part], parts: Sequence[Part]) -> float:
    """Mean over the true parts of the precision at their score; parts of one score are taken together.

    Raises:
        ValueError: parts that are not among all of them, or none on one side.
    """
    sizes, is_true = _sides(scores, true, parts)
    at_least = sizes[None] >= sizes[is_true][:, None]
    return float(((at_least & is_true[None]).sum(1) / at_least.sum(1)).mean())


def found_at(
    scores: Mapping[Part, float], true: Collection[Part], parts: Sequence[Part], threshold: float = SHARE_OF_GAP
) -> Found:
    """True and false parts among those whose |score| is at least the threshold (share of the gap).

    Raises:
        ValueError: parts that are not among all of them, or none on one side.
    """
    sizes, is_true = _sides(scores, true, parts)
    taken = sizes >= threshold
    return Found(float(taken[is_true].mean()), int(taken[~is_true].sum()), int(is_true.sum()), int((~is_true).sum()))


def union(by_family: Mapping[str, Mapping[Part, float]]) -> dict[Part, float]:
    """Of each part the score that is largest in size."""
    found: dict[Part, float] = {}
    for scores in by_family.values():
        for part, score in scores.items():
            found[part] = max(found.get(part, 0.0), score, key=abs)
    return found


def score_pearson(
    scores: Mapping[str, Mapping[Part, float]], exact: Mapping[str, Mapping[Part, float]], parts: Sequence[Part]
) -> float | None:
    """Correlation of scores with the exact effects of patching the same parts, over all families together.

    None where one side does not vary.
    """
    one, two = (
        np.array([side[family].get(part, 0.0) for family in exact for part in parts]) for side in (scores, exact)
    )
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(np.corrcoef(one, two)[0, 1])


def _sides(
    scores: Mapping[Part, float], true: Collection[Part], parts: Sequence[Part]
) -> tuple[Float[np.ndarray, " _"], Bool[np.ndarray, " _"]]:
    """Sizes of all scores, and which parts are true."""
    if strange := {*scores, *true} - set(parts):
        raise ValueError(f"{len(strange)} parts are none of this model, such as {min(strange, key=str)}; use its names")
    is_true = np.array([part in true for part in parts])
    if not 0 < is_true.sum() < len(parts):
        raise ValueError(f"{is_true.sum()} of {len(parts)} parts are true; there is nothing to tell apart")
    return np.array([abs(scores.get(part, 0.0)) for part in parts]), is_true
