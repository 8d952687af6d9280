"""The published rules behind probe prompting, on figures worked by hand."""

from collections import Counter

import pytest
from vesalius.tools._probe_groups import FeatureMetrics, Reading, Thresholds, decide, metrics_of
from vesalius.tools._probe_tokens import content_words, is_functional, target_of, whole_words


@pytest.mark.parametrize(
    ("token", "functional"),
    [
        *((token, True) for token in ("the", " of", ",", "", "big", "And", "between")),
        *((token, False) for token in ("USA", "state", "16", " w1")),
    ],
)
def test_functional_tokens_are_grammar_punctuation_and_short_words(token, functional):
    assert is_functional(token, short=3) == functional


@pytest.mark.parametrize(
    ("text", "place", "target"),
    [
        ("the capital of Texas", 1, 1),  # semantic: itself
        ("the capital of Texas", 2, 3),
        ("the capital of", 2, None),  # forward only
        ("Texas , the state", 1, 0),  # both ways, the one before is nearer
        ("the Texas and Ohio", 2, 1),  # equally near: the one before
        ("is of of of of of of of Texas", 0, None),  # eight away
        ("of of of of of of of Texas", 0, 7),
    ],
)
def test_a_functional_token_introduces_the_nearest_semantic_one(text, place, target):
    assert target_of(text.split(), place, window=7, short=3) == target


def test_content_words_are_the_semantic_ones_once_each():
    assert content_words("The state, the capital of the state is", short=3) == ("state", "capital")


def reading(probe: int, peak: float, token: str, functional: bool, sparsity: float) -> Reading:
    return Reading(
        probe=probe,
        peak=peak,
        position=1,
        token=token,
        functional=functional,
        target=None,
        sparsity=sparsity,
        density=1,
    )


def test_metrics_are_those_worked_by_hand():
    texts = ["Texas is big , Texas is far", "the state of Texas", "Ohio is near"]
    readings = [
        reading(0, 4.0, " Texas", False, 0.5),
        reading(1, 2.0, "Texas", False, 0.7),
        reading(2, 8.0, "is", True, 0.6),
    ]
    metrics = metrics_of(readings, whole_words(texts))
    assert metrics.peak_consistency == pytest.approx(2 / 3)  # two probes peak at a word that stands three times
    assert metrics.distinct_peaks == 2
    assert metrics.functional_share == pytest.approx(1 / 3)
    assert metrics.functional_vs_semantic == pytest.approx(50)  # (8 - 4) / 8
    assert metrics.sparsity == pytest.approx(0.6)
    assert metrics_of(readings[:2], whole_words(texts)).functional_vs_semantic == -100
    assert metrics_of(readings[2:], whole_words(texts)).functional_vs_semantic == 100
    assert metrics_of([], Counter()).n_active == 0


def metrics(**more) -> FeatureMetrics:
    plain = {"n_active": 5, "peak_consistency": 0.5, "distinct_peaks": 3}
    return FeatureMetrics.model_validate(
        {**plain, "functional_share": 0.6, "functional_vs_semantic": 60, "sparsity": 0.8, **more}
    )


@pytest.mark.parametrize(
    ("change", "layer", "group", "rule"),
    [
        ({"peak_consistency": 0.8, "distinct_peaks": 1}, 20, "Semantic", "dictionary"),
        ({"peak_consistency": 0.8, "distinct_peaks": 2}, 20, "Ambiguous", "ambiguous"),
        ({"peak_consistency": 0.79, "distinct_peaks": 1}, 20, "Ambiguous", "ambiguous"),
        ({"functional_share": 0.9, "functional_vs_semantic": 50}, 7, "Say X", "say"),
        ({"functional_share": 0.9, "functional_vs_semantic": 50}, 6, "Ambiguous", "ambiguous"),
        ({"functional_share": 0.9, "functional_vs_semantic": 49}, 7, "Semantic", "concept"),
        ({"sparsity": 0.44}, 2, "Relationship", "relationship"),
        ({"sparsity": 0.45}, 3, "Semantic", "early layer"),
        ({"sparsity": 0.45}, 4, "Ambiguous", "ambiguous"),
        ({"functional_share": 0.5}, 4, "Semantic", "concept"),
        ({"n_active": 0, "sparsity": 0.0}, 4, "Ambiguous", "inactive"),
    ],
)
def test_the_published_rules_decide_in_order(change, layer, group, rule):
    decision = decide(metrics(**change), layer, 26, Thresholds())
    assert (decision.group, decision.rule) == (group, rule)


def test_layers_are_compared_as_shares_of_the_depth():
    saying = metrics(functional_share=1.0)
    got = [decide(saying, layer, 4, Thresholds()).rule for layer in range(4)]
    assert got == ["early layer", "ambiguous", "say", "say"]  # 7 of 26 lies between layers 1 and 2 of 4
    unscaled = [decide(saying, layer, 4, Thresholds(of_layers=4)).rule for layer in range(4)]
    assert unscaled == ["early layer"] * 4
