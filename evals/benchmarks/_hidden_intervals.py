"""How far a mean over organisms would be from that over others: a bootstrap within depth and planting.

Depth and planting are fixed by design, not by chance, so each combination is a stratum of which organisms are drawn
anew. Adapters with the same start are drawn together. From a stratum of n, n - 1 are drawn: then the spread of the
draws is that of the mean, and not half of its variance where n is 2 (Rao and Wu 1988). Ends are percentiles, so the
interval of a share stays within 0 and 1.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from ..metric import LEVEL, Metric
from ._hidden_trials import Outcome

DRAWS = 10_000
FEWEST = 5  # organisms that an interval is given for (count)
SEED = 0


@dataclass(frozen=True)
class Case:
    """One organism."""

    value: float
    stratum: tuple[int, str]  # depth and planting
    cluster: str


def by_organism(pairs: Iterable[tuple[Outcome, float | None]]) -> list[Case]:
    """Each organism's mean over its transcripts; without those that have no value."""
    values: dict[str, list[float]] = {}
    of: dict[str, Outcome] = {}
    for one, value in pairs:
        if value is not None:
            values.setdefault(one.organism, []).append(value)
            of[one.organism] = one
    return [Case(mean(some), (of[name].depth, of[name].planting), of[name].cluster) for name, some in values.items()]


def each(outcomes: Iterable[Outcome], of: Callable[[Outcome], float | None]) -> list[Case]:
    """Each organism's mean of one quantity."""
    return by_organism((one, of(one)) for one in outcomes)


def average(cases: Sequence[Case]) -> float:
    """Over organisms."""
    return mean(case.value for case in cases)


def interval(cases: Sequence[Case]) -> tuple[float, float] | None:
    """Of the average; none of fewer than five organisms, or where a stratum has a single start."""
    strata: dict[tuple[int, str], dict[str, list[float]]] = {}
    for case in cases:
        strata.setdefault(case.stratum, {}).setdefault(case.cluster, []).append(case.value)
    if len(cases) < FEWEST or any(len(clusters) < 2 for clusters in strata.values()):
        return None
    rng, total = np.random.default_rng(SEED), np.zeros(DRAWS)
    for _, clusters in sorted(strata.items()):
        sums, counts = (np.array([f(values) for values in clusters.values()]) for f in (sum, len))
        drawn = rng.integers(len(sums), size=(DRAWS, len(sums) - 1))
        total += counts.sum() * sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(total / len(cases), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def metric(cases: Sequence[Case], at_least: float | None = None) -> Metric:
    """The average; its target is met by the interval's lower end, and not judged where there is no interval."""
    ends = interval(cases)
    low, high = ends or (None, None)
    judged = at_least is not None and low is not None
    return Metric(
        value=average(cases),
        low=low,
        high=high,
        n=len(cases),
        target=f"≥ {at_least:g}" if judged else "",
        met=low >= at_least if at_least is not None and low is not None else None,
    )
