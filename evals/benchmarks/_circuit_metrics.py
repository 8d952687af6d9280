"""How well scores of links find a circuit that is known.

Written for themselves and not taken from the code of MIB (Mueller et al. 2025), whose comparison counts a true link
that a method did not score as found: here it has the score 0. Links of one score share their place: a method that says
nothing gets an area of one half, not whatever the order of its output happens to give.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ...tools import Link

SHARE_OF_GAP = 0.05  # an effect below this share of the gap between clean and corrupted is no finding


class Found(NamedTuple):
    """What a threshold finds."""

    recall: float  # of the true links (share)
    false: int  # links that are not true (count)
    n_true: int
    n_others: int


def link_auroc(scores: Mapping[Link, float], true: Collection[Link], links: Sequence[Link]) -> float:
    """Chance that a true link has a larger |score| than another one, ties counting half.

    Args:
        links: All links there are; one that `scores` lacks has the score 0.

    Raises:
        ValueError: links that are not among all of them, or none on one side.
    """
    sizes, is_true = _sides(scores, true, links)
    higher = sizes[is_true][:, None] - sizes[~is_true][None]
    return float(((higher > 0) + (higher == 0) / 2).mean())


def average_precision(scores: Mapping[Link, float], true: Collection[Link], links: Sequence[Link]) -> float:
    """Mean over the true links of the precision at their score; links of one score are taken together.

    Raises:
        ValueError: links that are not among all of them, or none on one side.
    """
    sizes, is_true = _sides(scores, true, links)
    at_least = sizes[None] >= sizes[is_true][:, None]
    return float(((at_least & is_true[None]).sum(1) / at_least.sum(1)).mean())


def found_at(
    scores: Mapping[Link, float], true: Collection[Link], links: Sequence[Link], threshold: float = SHARE_OF_GAP
) -> Found:
    """True and false links among those whose |score| is at least the threshold (share of the gap).

    Raises:
        ValueError: links that are not among all of them, or none on one side.
    """
    sizes, is_true = _sides(scores, true, links)
    taken = sizes >= threshold
    return Found(float(taken[is_true].mean()), int(taken[~is_true].sum()), int(is_true.sum()), int((~is_true).sum()))


def score_pearson(scores: Mapping[Link, float], exact: Mapping[Link, float], links: Sequence[Link]) -> float | None:
    """Correlation of scores with the exact effects of patching the same links; none where one side does not vary."""
    one, two = (np.array([side.get(link, 0.0) for link in links]) for side in (scores, exact))
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return None
    return float(np.corrcoef(one, two)[0, 1])


def _sides(
    scores: Mapping[Link, float], true: Collection[Link], links: Sequence[Link]
) -> tuple[Float[np.ndarray, " _"], Bool[np.ndarray, " _"]]:
    """Sizes of all scores, and which links are true."""
    if strange := sorted({*scores, *true} - set(links)):
        raise ValueError(f"{len(strange)} links are none of this model, such as {'->'.join(strange[0])}; use its names")
    is_true = np.array([link in true for link in links])
    if not 0 < is_true.sum() < len(links):
        raise ValueError(f"{is_true.sum()} of {len(links)} links are true; there is nothing to tell apart")
    return np.array([abs(scores.get(link, 0.0)) for link in links]), is_true
