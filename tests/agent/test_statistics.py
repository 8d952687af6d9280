"""Statistics against hand-worked answers, second roads, and simulated data whose truth is known."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from vesalius.agent._statistics import (
    benjamini_hochberg,
    binomial_lower_bound,
    bootstrap_interval,
    minimum_detectable_effect,
    sign_flip,
    sign_flip_p,
)


def names(k: int, per: int = 1) -> list[str]:
    return [f"c{i}" for i in range(k) for _ in range(per)]


def noise(k: int, per: int, seed: int, mean: float = 0.0) -> list[float]:
    """Pairs of `k` clusters with a shared part of spread 1 and a part of their own of spread one half."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(mean, 1, (k, 1))
    return (shared + rng.normal(0, 0.5, (k, per))).ravel().tolist()


def test_three_clusters_worked_by_hand():
    # Sums of the 8 patterns of 1, 2, 3: 6 4 2 0 0 -2 -4 -6. One reaches 6; two are as far from 0.
    one = sign_flip([1.0, 2.0, 3.0], ["a", "b", "c"], seed=0)
    assert (one.p, one.smallest_p, one.exact, one.patterns, one.n_clusters) == (1 / 8, 1 / 8, True, 8, 3)
    assert sign_flip([1.0, 2.0, 3.0], ["a", "b", "c"], seed=0, alternative="two-sided").p == 2 / 8
    # 1, 2, -3: the sum 0 is reached or passed by 6 4 2 0 0.
    assert sign_flip([1.0, 2.0, -3.0], ["a", "b", "c"], seed=0).p == 5 / 8


def test_pairs_of_one_cluster_flip_together():
    # Two clusters with sums 3 and 3: patterns 6 0 0 -6. Four independent pairs would have given 1/16.
    assert sign_flip([1.0, 2.0, 1.0, 2.0], ["a", "a", "b", "b"], seed=0).p == 1 / 4
    assert sign_flip([1.0, 2.0, 1.0, 2.0], ["a", "b", "c", "d"], seed=0).p == 1 / 16


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 2), st.sampled_from("abcdefg")), min_size=1, max_size=12))
def test_exact_p_equals_counting_every_pattern_one_by_one(pairs):
    effects, clusters = [float(e) for e, _ in pairs], [c for _, c in pairs]
    kinds = sorted(set(clusters))
    observed, scale = sum(effects), sum(map(abs, effects))
    totals = [
        sum(e * dict(zip(kinds, signs, strict=True))[c] for e, c in pairs)
        for signs in product((-1, 1), repeat=len(kinds))
    ]
    slack = 1e-9 * sum(abs(sum(e for e, c in pairs if c == kind)) for kind in kinds) + 1e-12 * scale
    count = np.mean([t >= observed - slack for t in totals])
    both = np.mean([abs(t) >= abs(observed) - slack for t in totals])
    assert sign_flip(effects, clusters, seed=0).p == pytest.approx(count)
    assert sign_flip(effects, clusters, seed=0, alternative="two-sided").p == pytest.approx(both)


def test_scipys_permutation_test_gives_the_same_exact_p():
    effects = [0.3, -0.1, 0.5, 0.2, 0.4, -0.2, 0.1]
    other = stats.permutation_test(
        (np.array(effects),), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    # With a single sample scipy flips signs, as if paired with zeros.
    assert sign_flip(effects, names(7), seed=0).p == pytest.approx(other.pvalue)


def test_drawn_patterns_agree_with_the_exact_count():
    effects = noise(18, 1, seed=3, mean=0.3)
    drawn = sign_flip(effects, names(18), seed=1, draws=20000)
    signs = np.array(list(product((-1.0, 1.0), repeat=18)))
    exact = np.mean(signs @ np.array(effects) >= sum(effects) - 1e-9)
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20000))


def test_drawn_patterns_never_give_a_p_of_zero():
    test = sign_flip([1.0] * 40, names(40), seed=0, draws=999)
    assert test.p == test.smallest_p == 1 / 1000


def test_effects_of_exactly_zero_give_a_p_of_one():
    assert sign_flip([0.0] * 8, names(8), seed=0).p == 1
    assert sign_flip([0.0] * 20, names(20), seed=0).p == 1


def test_few_clusters_bound_p_from_below_and_it_says_so():
    test = sign_flip([1.0] * 12, names(4, per=3), seed=0)
    assert test.p == test.smallest_p == 1 / 16
    assert "4 clusters" in test.meaning
    assert "no smaller than 0.062" in test.meaning


def test_p_alone_is_the_one_sided_p():
    effects, clusters = noise(20, 2, seed=5, mean=0.4), names(20, per=2)
    assert sign_flip_p(effects, clusters, seed=2) == sign_flip(effects, clusters, seed=2).p


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(24)), st.integers(0, 5))
def test_the_order_of_pairs_does_not_matter(order, seed):
    effects, clusters = noise(8, 3, seed=seed), names(8, per=3)
    mixed = [effects[i] for i in order], [clusters[i] for i in order]
    assert sign_flip(*mixed, seed=0).p == sign_flip(effects, clusters, seed=0).p
    one, other = bootstrap_interval(*mixed, seed=0), bootstrap_interval(effects, clusters, seed=0)
    assert (one.low, one.high) == (pytest.approx(other.low), pytest.approx(other.high))


@pytest.mark.parametrize("k", [6, 10, 25])
def test_false_positives_on_null_data_are_nominal(k):
    hits = sum(sign_flip(noise(k, 3, seed=s), names(k, per=3), seed=s, draws=999).p <= 0.05 for s in range(400))
    assert stats.binomtest(hits, 400, 0.05, alternative="greater").pvalue > 0.01, f"{hits} of 400"


def test_ignoring_clusters_would_raise_false_positives_well_above_nominal():
    # Why clusters are flipped whole: the same null data, each pair on its own.
    hits = sum(sign_flip(noise(10, 5, seed=s), names(50), seed=s, draws=999).p <= 0.05 for s in range(200))
    assert hits > 30


def test_planted_effects_are_detected():
    hits = sum(sign_flip(noise(16, 3, seed=s, mean=1.0), names(16, per=3), seed=s).p <= 0.05 for s in range(100))
    assert hits >= 90


@pytest.mark.parametrize("k", [8, 20])
def test_intervals_hold_the_true_mean_about_as_often_as_they_claim(k):
    held = 0
    for s in range(400):
        interval = bootstrap_interval(noise(k, 3, seed=s, mean=2.0), names(k, per=3), seed=s, draws=1000)
        held += interval.low <= 2.0 <= interval.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_interval_agrees_with_scipys_bca_at_the_widened_level():
    effects = np.random.default_rng(0).exponential(1, 30)
    tail = stats.norm.cdf(np.sqrt(30 / 29) * stats.t.ppf(0.025, 29))
    other = stats.bootstrap(
        (effects,), np.mean, confidence_level=1 - 2 * tail, n_resamples=20000, method="BCa", rng=1
    ).confidence_interval
    mine = bootstrap_interval(effects.tolist(), names(30), seed=2, draws=20000)
    assert mine.low == pytest.approx(other.low, abs=0.02)
    assert mine.high == pytest.approx(other.high, abs=0.03)


def test_the_interval_of_many_clusters_is_that_of_the_t_distribution():
    effects = noise(200, 1, seed=1)
    expected = stats.t.interval(0.95, 199, np.mean(effects), stats.sem(effects))
    for method in ("bca", "percentile"):
        mine = bootstrap_interval(effects, names(200), seed=0, draws=20000, method=method)
        assert (mine.low, mine.high) == (pytest.approx(expected[0], abs=0.02), pytest.approx(expected[1], abs=0.02))


def test_pairs_that_repeat_their_cluster_add_no_certainty():
    effects = noise(10, 1, seed=4)
    once = bootstrap_interval(effects, names(10), seed=0)
    thrice = bootstrap_interval([e for e in effects for _ in range(3)], names(10, per=3), seed=0)
    assert (thrice.low, thrice.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_equal_effects_have_an_interval_of_no_width_and_a_single_cluster_has_none():
    flat = bootstrap_interval([0.3] * 6, names(6), seed=0)
    assert (flat.low, flat.high) == (pytest.approx(0.3), pytest.approx(0.3))
    zero = bootstrap_interval([0.0] * 6, names(6), seed=0)
    assert (zero.low, zero.high) == (0, 0)
    single = bootstrap_interval([0.1, 0.9], ["a", "a"], seed=0)
    assert (single.mean, single.low, single.high) == (0.5, None, None)


def test_benjamini_hochberg_equals_the_hand_calculation():
    # p * 5 / rank: .05 .05 .0667 .05 .9 -> running minimum from the right: .05 .05 .05 .05 .9
    assert benjamini_hochberg([0.01, 0.02, 0.04, 0.04, 0.9]) == pytest.approx((0.05, 0.05, 0.05, 0.05, 0.9))
    # p * 3 / rank: .03 .045 .05 in the order 2, 3, 1
    assert benjamini_hochberg([0.05, 0.01, 0.03]) == pytest.approx((0.05, 0.03, 0.045))
    assert benjamini_hochberg([0.2]) == (0.2,)


def test_benjamini_hochberg_holds_the_false_discovery_rate():
    rng, shares = np.random.default_rng(0), []
    for _ in range(300):
        p = np.concatenate([rng.uniform(size=40), stats.norm.sf(rng.normal(3.5, 1, 10))])
        found = np.array(benjamini_hochberg(p.tolist())) <= 0.05
        shares.append(found[:40].sum() / max(1, found.sum()))
    assert np.mean(shares) < 0.055


def test_the_binomial_bound_inverts_the_binomial_tail():
    # 5 of 5: the rate r with r^5 = .05.
    assert binomial_lower_bound(5, 5) == pytest.approx(0.05 ** (1 / 5))
    assert binomial_lower_bound(0, 5) == 0
    bound = binomial_lower_bound(7, 20)
    assert stats.binom.sf(6, 20, bound) == pytest.approx(0.05)


def test_the_detectable_effect_is_detected_four_times_in_five():
    spread = minimum_detectable_effect(noise(20, 3, seed=0), names(20, per=3))
    assert spread == pytest.approx((2.093 + 0.861) * np.sqrt(1 + 0.25 / 3) / np.sqrt(20), rel=0.35)
    true = (2.093 + 0.861) * np.sqrt(1 + 0.25 / 3) / np.sqrt(20)
    hits = sum(
        bootstrap_interval(noise(20, 3, seed=s, mean=true), names(20, per=3), seed=s, draws=1000).low > 0
        for s in range(200)
    )
    assert 0.7 <= hits / 200 <= 0.9


def test_the_detectable_effect_is_worked_by_hand_for_two_pairs_and_moves_with_the_bar():
    # Effects 0 and 1: error of the mean 1/2; t quantiles with one degree of freedom 12.706 and 1.376.
    assert minimum_detectable_effect([0.0, 1.0], ["a", "b"]) == pytest.approx(0.5 * (12.706 + 1.376), rel=1e-3)
    above = minimum_detectable_effect([0.0, 1.0], ["a", "b"], beyond=0.05)
    assert above == pytest.approx(0.05 + 0.5 * (12.706 + 1.376), rel=1e-3)
    assert minimum_detectable_effect([0.0, 1.0], ["a", "a"]) is None


def test_unusable_data_are_refused_with_the_mend():
    for statistic in (sign_flip, bootstrap_interval):
        with pytest.raises(ValueError, match="pass one cluster for each"):
            statistic([], [], seed=0)
        with pytest.raises(ValueError, match="pass one cluster for each"):
            statistic([1.0], ["a", "b"], seed=0)
        with pytest.raises(ValueError, match="Mend the measurement"):
            statistic([1.0, float("nan")], ["a", "b"], seed=0)
    with pytest.raises(ValueError, match="at least 999"):
        sign_flip([1.0], ["a"], seed=0, draws=100)
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        benjamini_hochberg([0.1, 1.2])
    with pytest.raises(ValueError, match="at least one"):
        benjamini_hochberg([])
    with pytest.raises(ValueError, match="n >= 1"):
        binomial_lower_bound(0, 0)
