"""One figure of the scoreboard, with its uncertainty and its target."""

from collections.abc import Sequence
from statistics import mean, median, stdev

import scipy
from pydantic import Field

from ..tools import Frozen

LEVEL = 0.95


class Metric(Frozen):
    """A measured figure."""

    value: float = Field(description="What was measured.")
    low: float | None = Field(description="Lower end of its 95 % interval; none where it is no estimate.")
    high: float | None = Field(description="Upper end of its 95 % interval; none where it is no estimate.")
    n: int = Field(description="Cases behind it (count).")
    least: float | None = Field(default=None, description="Smallest of the single runs, where there were several.")
    most: float | None = Field(default=None, description="Largest of them.")
    target: str = Field(description="What it should be.")
    met: bool | None = Field(description="Whether the value is what it should be; none where there is no target.")


def share_metric(successes: int, n: int, at_least: float | None = None, at_most: float | None = None) -> Metric:
    """A share of cases, with its exact binomial interval (Clopper and Pearson 1934).

    Raises:
        ValueError: no cases, or more successes than cases.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is no share; count at least one case, and successes among the cases")
    interval = scipy.stats.binomtest(successes, n).proportion_ci(LEVEL, method="exact")
    value = successes / n
    bounds: Sequence[tuple[str, float | None, bool]] = (
        ("≥", at_least, at_least is None or value >= at_least),
        ("≤", at_most, at_most is None or value <= at_most),
    )
    named = [f"{sign} {bound:g}" for sign, bound, _ in bounds if bound is not None]
    return Metric(
        value=value,
        low=float(interval.low),
        high=float(interval.high),
        n=n,
        target=" and ".join(named),
        met=all(holds for _, _, holds in bounds) if named else None,
    )


def mean_metric(values: Sequence[float], more_than: float | None = None) -> Metric:
    """A mean over independent cases, with its interval by Student's t; the target is met by the interval's lower end.

    Raises:
        ValueError: fewer than two cases.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} cases have no spread; measure two or more")
    middle = mean(values)
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    target = "" if more_than is None else f"> {more_than:g}"
    met = None if more_than is None else middle - half > more_than
    return Metric(value=middle, low=middle - half, high=middle + half, n=len(values), target=target, met=met)


def middle_metric(values: Sequence[float], at_most: float | None = None, at_least: float | None = None) -> Metric:
    """The median of single runs, with the smallest and the largest of them; at most one bound."""
    value, target, met = median(values), "", None
    if at_most is not None:
        target, met = f"≤ {at_most:g}", value <= at_most
    if at_least is not None:
        target, met = f"≥ {at_least:g}", value >= at_least
    return spread_metric(value, values, target, met)


def spread_metric(value: float, runs: Sequence[float], target: str, met: bool | None) -> Metric:
    """A figure of several runs, with the smallest and the largest of them."""
    return Metric(
        value=value, low=None, high=None, n=len(runs), target=target, met=met, least=min(runs), most=max(runs)
    )
