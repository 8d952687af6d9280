"""Statistics of a claim, each a pure function of numbers and a seed.

Pairs that share an entity or a template are not independent, so every test here works on clusters: a cluster is flipped
or drawn as a whole. Sources:

* Sign flipping: Winkler, Ridgway, Webster, Smith & Nichols 2014, whole-block exchangeability; the +1 of random draws
  after Phipson & Smyth 2010.
* Cluster bootstrap: Davison & Hinkley 1997 section 3.8; BCa interval: Efron 1987. Deviation: its tail probability is
  widened as Hesterberg 2015 does for the percentile interval, or a handful of clusters gives too short an interval.
* False discovery rate: Benjamini & Hochberg 1995. Exact binomial bound: Clopper & Pearson 1934.
* Minimum detectable effect: Bloom 1995.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy
from pydantic import Field

from ..tools import Frozen

Alternative = Literal["greater", "two-sided"]

EXACT_CLUSTERS = 14  # 2^14 flips are enumerated faster than they are drawn
FEWEST_DRAWS = 999
FLIPS_AT_ONCE = 1 << 20  # signs in memory at a time
TIE = 1e-9  # flips closer than this share of the largest possible sum count as equal

MEANING_OF_Q = (
    "q: were every unit with a q this small reported, about this share of those reports would be false (at most)"
)
MEANING_OF_INTERVAL = (
    "interval: over clusters drawn again and again from where these came from, 95 % of such intervals hold the mean"
)


class SignFlip(Frozen):
    """Outcome of a cluster sign-flip permutation test of the mean against zero."""

    p: float = Field(description="Share of sign patterns with a mean at least as large as seen (probability).")
    smallest_p: float = Field(description="Smallest p that so many clusters and draws can reach (probability).")
    alternative: Alternative = Field(description="Whether only a positive mean counts, or either sign.")
    exact: bool = Field(description="Every sign pattern was counted, none drawn at random.")
    patterns: int = Field(description="Sign patterns counted or drawn (count).")
    n_clusters: int = Field(description="Independent clusters (count).")

    @property
    def meaning(self) -> str:
        """What this p says, in one sentence."""
        side = "as large" if self.alternative == "greater" else "as far from zero"
        how = f"all {self.patterns}" if self.exact else f"{self.patterns} randomly drawn"
        return (
            f"p = {self.p:.3g}: if each of the {self.n_clusters} clusters were as likely to show its effect with the "
            f"opposite sign, a mean {side} would come up this often ({how} sign patterns; p can be no smaller than "
            f"{self.smallest_p:.2g} here)"
        )


class Interval(Frozen):
    """A mean with the range it is known to lie in."""

    mean: float = Field(description="Mean over pairs.")
    low: float | None = Field(description="Lower end; none with a single cluster, which has no spread to draw from.")
    high: float | None = Field(description="Upper end; none with a single cluster.")
    n_clusters: int = Field(description="Independent clusters (count).")


def sign_flip(
    effects: Sequence[float],
    clusters: Sequence[str],
    *,
    seed: int,
    alternative: Alternative = "greater",
    draws: int = 9999,
) -> SignFlip:
    """Ask how often a mean as large would arise if each cluster's effect were as likely to have the other sign.

    Args:
        effects: effect per pair.
        clusters: name of each pair's cluster; pairs with equal names are flipped together.
        seed: of the random sign patterns; unused where all patterns are counted.
        alternative: `greater` counts positive means, `two-sided` either sign.
        draws: random sign patterns where there are too many to count (count; at least 999).

    Raises:
        ValueError: no pairs, a number that is not finite, unequal lengths, or too few draws.
    """
    if draws < FEWEST_DRAWS:
        raise ValueError(f"`draws` is {draws}; a permutation test needs at least {FEWEST_DRAWS}. Pass more.")
    sums, _ = _per_cluster(effects, clusters)
    k = len(sums)
    exact = k <= EXACT_CLUSTERS
    observed = sums.sum() if alternative == "greater" else abs(sums.sum())
    bar = observed - TIE * np.abs(sums).sum()
    reached, patterns = 0, 2**k if exact else draws
    rng = np.random.default_rng(seed)
    step = max(1, FLIPS_AT_ONCE // k)
    for start in range(0, patterns, step):
        stop = min(start + step, patterns)
        if exact:
            up = (np.arange(start, stop)[:, None] >> np.arange(k)) & 1
        else:
            up = rng.integers(0, 2, size=(stop - start, k))
        flipped = (2.0 * up - 1.0) @ sums
        reached += int(((flipped if alternative == "greater" else np.abs(flipped)) >= bar).sum())
    by_count = (1 if alternative == "greater" else 2) / 2**k
    return SignFlip(
        p=reached / patterns if exact else (reached + 1) / (draws + 1),
        smallest_p=by_count if exact else max(by_count, 1 / (draws + 1)),
        alternative=alternative,
        exact=exact,
        patterns=patterns,
        n_clusters=k,
    )


def sign_flip_p(effects: Sequence[float], clusters: Sequence[str], *, seed: int, draws: int = 9999) -> float:
    """The one-sided p of `sign_flip` alone, for counting the units that were looked at."""
    return sign_flip(effects, clusters, seed=seed, draws=draws).p


def bootstrap_interval(
    effects: Sequence[float],
    clusters: Sequence[str],
    *,
    seed: int,
    level: float = 0.95,
    draws: int = 4000,
    method: Literal["bca", "percentile"] = "bca",
) -> Interval:
    """Draw clusters with replacement and read off where the mean over pairs falls.

    Args:
        effects: effect per pair.
        clusters: name of each pair's cluster; a cluster is drawn whole.
        seed: of the draws.
        level: share of such intervals that should hold the true mean.
        draws: bootstrap samples (count).
        method: `bca` corrects the percentiles for bias and skewness (Efron 1987).

    Raises:
        ValueError: no pairs, a number that is not finite, or unequal lengths.
    """
    sums, counts = _per_cluster(effects, clusters)
    k, mean = len(sums), float(sums.sum() / counts.sum())
    if k == 1:
        return Interval(mean=mean, low=None, high=None, n_clusters=1)
    picks = np.random.default_rng(seed).integers(0, k, size=(draws, k))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    if np.ptp(means) <= TIE * max(float(np.abs(means).max()), TIE):  # no spread: BCa would divide nought by nought
        return Interval(mean=mean, low=mean, high=mean, n_clusters=k)
    # Hesterberg 2015: a percentile interval is too short by about sqrt(k / (k - 1)) and by normal in place of t tails.
    reach = math.sqrt(k / (k - 1)) * float(scipy.stats.t.ppf((1 + level) / 2, k - 1))
    z = np.array([-reach, reach])
    if method == "bca":
        z = _bca_shift(z, mean, means, sums, counts)
    low, high = np.quantile(means, scipy.stats.norm.cdf(z))
    return Interval(mean=mean, low=float(low), high=float(high), n_clusters=k)


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """The q of each p: the smallest false discovery rate at which it would still be reported.

    Raises:
        ValueError: no p, or one outside 0..1.
    """
    if not p_values or not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must be within 0..1 and at least one; got {list(p_values)[:5]}.")
    return tuple(scipy.stats.false_discovery_control(np.asarray(p_values, dtype=float), method="bh").tolist())


def binomial_lower_bound(successes: int, n: int, level: float = 0.95) -> float:
    """The lowest success rate that still makes so many successes plausible (exact, one-sided).

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes in {n} trials is no count; pass 0 <= successes <= n, n >= 1.")
    test = scipy.stats.binomtest(successes, n, alternative="greater")
    return float(test.proportion_ci(confidence_level=level, method="exact").low)


def minimum_detectable_effect(
    effects: Sequence[float],
    clusters: Sequence[str],
    *,
    beyond: float = 0.0,
    alpha: float = 0.025,
    power: float = 0.8,
) -> float | None:
    """The smallest true mean that data with this spread would usually tell from `beyond` (Bloom 1995).

    Args:
        effects: effect per pair; only their spread between clusters matters.
        clusters: name of each pair's cluster.
        beyond: value that the lower bound has to exceed.
        alpha: one-sided error rate of that bound.
        power: how often the true mean should be told from `beyond`.

    Returns:
        In the unit of the effects, or none with a single cluster.
    """
    sums, counts = _per_cluster(effects, clusters)
    k = len(sums)
    if k == 1:
        return None
    residuals = sums - counts * (sums.sum() / counts.sum())
    error = math.sqrt(k / (k - 1) * float(residuals @ residuals)) / float(counts.sum())
    return beyond + error * float(scipy.stats.t.ppf(1 - alpha, k - 1) + scipy.stats.t.ppf(power, k - 1))


def _per_cluster(effects: Sequence[float], clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum of effects and number of pairs of each cluster, in the order of the clusters' names."""
    values = np.asarray(effects, dtype=float)
    if len(values) == 0 or len(values) != len(clusters):
        raise ValueError(f"{len(values)} effects with {len(clusters)} clusters; pass one cluster for each, at least 1.")
    if not np.isfinite(values).all():
        raise ValueError("An effect is not finite, so no statistic means anything. Mend the measurement.")
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    order = np.lexsort((values, index))  # one order of adding up, so that the order of pairs cannot change the last bit
    return np.bincount(index[order], values[order], len(names)), np.bincount(index).astype(float)


def _bca_shift(z: np.ndarray, mean: float, means: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Normal quantiles to read in place of `z`, shifted for the bias and the skewness of the mean."""
    slack = TIE * float(np.ptp(means))
    below = ((means < mean - slack).sum() + 0.5 * (np.abs(means - mean) <= slack).sum()) / len(means)
    bias = scipy.stats.norm.ppf(np.clip(below, 1 / (len(means) + 1), len(means) / (len(means) + 1)))
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    away = left_out.mean() - left_out
    skew = float((away**3).sum() / (6 * (away**2).sum() ** 1.5)) if away.any() else 0.0
    return bias + (bias + z) / (1 - skew * (bias + z))  # |skew| < 1/6 by algebra, so the divisor stays positive
