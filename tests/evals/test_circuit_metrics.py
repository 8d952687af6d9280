"""Metrics of known circuits, by hand: ties count half, what a method does not name is not found."""

import pytest
from vesalius.evals.benchmarks._circuit_metrics import (
    auroc,
    average_precision,
    found_at,
    score_pearson,
    union,
    verdict,
)

LINKS = [("embed", slot) for slot in "abcdef"]
A, B, C, D, E, F = LINKS


def test_a_perfect_order_has_an_area_of_one_whatever_the_signs():
    scores = {A: -0.9, B: 0.8, C: 0.1, D: -0.2}
    assert auroc(scores, {A, B}, LINKS) == 1
    assert average_precision(scores, {A, B}, LINKS) == 1
    assert auroc(scores, {E, F}, LINKS) == 0


def test_ties_count_half():
    assert auroc({}, {A, B}, LINKS) == 0.5
    assert average_precision({}, {A, B}, LINKS) == pytest.approx(2 / 6)
    # a is above all; b is tied with two of the four others and below none of the rest
    assert auroc({A: 1.0, B: 0.5, C: 0.5, D: 0.5}, {A, B}, LINKS) == pytest.approx((4 + 2 + 1) / 8)
    assert average_precision({A: 1.0, B: 0.5, C: 0.5, D: 0.5}, {A, B}, LINKS) == pytest.approx((1 + 2 / 4) / 2)


def test_a_true_link_that_a_method_does_not_name_is_not_found():
    scores = {A: 1.0, C: 0.5, D: 0.4, E: 0.3, F: 0.2}
    assert auroc(scores, {A, B}, LINKS) == pytest.approx(4 / 8)
    assert found_at(scores, {A, B}, LINKS).recall == 0.5
    assert average_precision(scores, {A, B}, LINKS) == pytest.approx((1 + 2 / 6) / 2)


def test_the_order_in_which_links_are_given_does_not_matter():
    scores = {A: 1.0, B: 0.5, C: 0.5}
    assert auroc(scores, {B}, LINKS) == auroc(scores, {B}, LINKS[::-1])
    assert average_precision(scores, {B}, LINKS) == average_precision(scores, {B}, LINKS[::-1])


def test_at_a_threshold_true_and_false_links_are_counted():
    found = found_at({A: 0.05, B: 0.049, C: -0.3, D: 0.04}, {A, B}, LINKS)
    assert found == (0.5, 1, 2, 4)


def test_correlation_counts_missing_links_as_nothing():
    assert score_pearson({"f": {A: 1.0, B: 2.0}}, {"f": {A: 2.0, B: 4.0}}, LINKS) == pytest.approx(1)
    assert score_pearson({"f": {A: 1.0}}, {"f": {A: -3.0}}, LINKS) == pytest.approx(-1)
    assert score_pearson({"f": {}}, {"f": {A: 1.0}}, LINKS) is None


def test_correlation_is_over_all_families_together_and_pairs_each_with_its_own():
    one, two = {"f": {A: 1.0}, "g": {B: 2.0}}, {"g": {B: 2.0}, "f": {A: 1.0}}
    assert score_pearson(one, two, [A, B]) == pytest.approx(1)
    # of the rows (f, a), (f, b), (g, a), (g, b): 1 0 0 2 against 0 2 1 0
    turned = {"f": {B: 2.0}, "g": {A: 1.0}}
    assert score_pearson(one, turned, [A, B]) == pytest.approx(-9 / 11)


def test_the_union_of_families_keeps_the_largest_in_size_with_its_sign():
    assert union({"f": {A: 0.5, B: -0.1}, "g": {A: -0.7, C: 0.2}}) == {A: -0.7, B: -0.1, C: 0.2}


def test_nodes_are_measured_as_links_are():
    nodes = ["head.0.0", "head.0.1", "mlp_out.0"]
    said = verdict({"head.0.1": 0.5, "mlp_out.0": 0.01}, {"head.0.1", "mlp_out.0"}, nodes, 0.1, None)
    assert (said.auroc, said.precision, said.recall, said.false) == (1.0, 1.0, 0.5, 0)
    with pytest.raises(ValueError, match="such as logits; use its names"):
        auroc({"logits": 1.0}, {"head.0.1"}, nodes)


@pytest.mark.parametrize(
    ("call", "mend"),
    [
        (lambda: auroc({("embed", "z"): 1.0}, {A}, LINKS), "use its names"),
        (lambda: auroc({}, {("embed", "z")}, LINKS), "use its names"),
        (lambda: auroc({}, set(), LINKS), "nothing to tell apart"),
        (lambda: found_at({}, set(LINKS), LINKS), "nothing to tell apart"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_mend(call, mend):
    with pytest.raises(ValueError, match=mend):
        call()
