"""How much B lost of a claim, pair of prompts by pair of prompts: of its effect, and of the answers it is about.

The same prompts were measured on both models, so the two are held against each other on each (a paired test is blind to
what differs between prompts alone), over clusters as everywhere, and corrected over all claims of a comparison.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...tools import canonical
from .._evidence import Sample
from .._statistics import Interval, benjamini_hochberg, bootstrap_interval, sign_flip

Pairs = Sequence[Mapping[str, object]]
Measured = Mapping[str, tuple[Pairs, Sample]]
"""By counterfactual family, the pairs and what was measured on them."""
DRAWS = 99_999  # of the sign flips: enough for a p that survives a correction over hundreds of claims


class Difference(NamedTuple):
    """How much less something is on B than on A."""

    interval: Interval
    p: float  # that it is not less
    smallest_p: float  # that so many clusters can reach


class Corrected(NamedTuple):
    """A difference with what it is worth among all of a comparison."""

    found: Difference
    q: float
    smallest_q: float  # that it could have had, among the others as they are


class Loss(NamedTuple):
    """What B lost of a claim; none of either where nothing was measured on both."""

    effect: Corrected | None = None  # share of the gap
    answers: Corrected | None = None  # share of the prompts that are answered right
    right: tuple[int, int, int] = (0, 0, 0)  # prompts that both were asked; answered right by A, and by B (counts)


class _Both(NamedTuple):
    """A pair of prompts that was measured on both."""

    cluster: str
    effects: tuple[float, float]
    right: tuple[bool, bool]


def effect_lost(a: Measured, b: Measured, seed: int) -> Difference | None:
    """The effect on A less the effect on B over the pairs of prompts that both were measured on.

    Args:
        b: pairs may be missing, and are matched by what they say.
    """
    both = [*_both(a, b)]
    return _difference([one.effects[0] - one.effects[1] for one in both], both, seed)


def answers_lost(a: Measured, b: Measured, seed: int) -> Difference | None:
    """The share of prompts that A answers right less the share that B does; arguments as of `effect_lost`."""
    both = [*_both(a, b)]
    return _difference([float(one.right[0]) - float(one.right[1]) for one in both], both, seed)


def right_on(a: Measured, b: Measured) -> tuple[int, int, int]:
    """Pairs that both were measured on, and how many of them A and B answer right (counts)."""
    both = [*_both(a, b)]
    return len(both), sum(one.right[0] for one in both), sum(one.right[1] for one in both)


def corrected(differences: Sequence[Difference | None]) -> list[Corrected | None]:
    """Each difference with its q among all of a comparison."""
    there = [one.p for one in differences if one is not None]
    found = iter(benjamini_hochberg(there) if there else ())
    return [
        None if one is None else Corrected(one, next(found), _smallest_q(one, position, differences))
        for position, one in enumerate(differences)
    ]


def _smallest_q(one: Difference, position: int, differences: Sequence[Difference | None]) -> float:
    """As if its p were the smallest that its clusters allow."""
    others = [other.p for i, other in enumerate(differences) if other is not None and i != position]
    return benjamini_hochberg([one.smallest_p, *others])[0]


def _both(a: Measured, b: Measured) -> Iterator[_Both]:
    for family in a.keys() & b.keys():
        (ours, before), (theirs, after) = a[family], b[family]
        found = {canonical(pair): at for at, pair in enumerate(theirs)}
        for at, pair in enumerate(ours):
            if (other := found.get(canonical(pair))) is not None:
                yield _Both(
                    before.clusters[at],
                    (before.effects[at], after.effects[other]),
                    (before.clean_correct[at], after.clean_correct[other]),
                )


def _difference(lost: Sequence[float], both: Sequence[_Both], seed: int) -> Difference | None:
    if not both:
        return None
    clusters = [one.cluster for one in both]
    test = sign_flip(lost, clusters, seed=seed, draws=DRAWS)
    return Difference(bootstrap_interval(lost, clusters, seed=seed), test.p, test.smallest_p)
