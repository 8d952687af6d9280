"""Random groups beside one that is taken out: as many features, as large, each group another."""

import numpy as np
import pytest
from vesalius.tools import ToolError
from vesalius.tools._supernode_random import NEAREST, LayerSizes, random_groups


def layer(own: tuple[float, ...], sizes: list[float]) -> LayerSizes:
    """Others are numbered from 100, so that a place taken for an index would show."""
    return LayerSizes(own, np.arange(100, 100 + len(sizes)), np.array(sizes))


def total(one: LayerSizes, drawn: tuple[int, ...]) -> float:
    return float(one.sizes[[number - 100 for number in drawn]].sum())


def test_one_feature_is_replaced_by_those_of_about_its_size_each_in_turn():
    one = layer((8.0,), [2.0 ** (i / 10) for i in range(80)])  # 8 is the one of place 30
    drawn = [group[1] for group in random_groups({1: one}, NEAREST, seed=0)]
    alone = sorted(group[0] - 100 for group in drawn if len(group) == 1)
    assert len(set(drawn)) == NEAREST
    assert all(20 <= place <= 40 for place in alone)
    assert len(set(alone)) > 5
    assert all(0.8 * 8 <= total(one, group) <= 2 * 8 for group in drawn)


def test_where_the_group_has_the_largest_there_are_more_are_drawn_until_they_write_as_much():
    one = layer((100.0, 1.0), [10.0 + i / 2 for i in range(60)])
    sums = [total(one, group[0]) for group in random_groups({0: one}, 50, seed=0)]
    assert all(len(group[0]) >= 3 for group in random_groups({0: one}, 50, seed=0))
    assert all(0.8 * 101 <= found < 1.2 * 101 for found in sums)


def test_a_group_gets_no_feature_twice_and_as_many_in_each_layer_as_are_due():
    layers = {0: layer((5.0, 5.0, 5.0), [5.0] * 30), 2: layer((1.0,), [1.0] * 30)}
    for group in random_groups(layers, 100, seed=3):
        assert {number: len(set(drawn)) for number, drawn in group.items()} == {0: 3, 2: 1}


def test_a_group_that_is_silent_is_replaced_by_the_smallest():
    one = layer((0.0,), [float(i) for i in range(1, 61)])
    assert all(group[0][0] < 100 + NEAREST and len(group[0]) == 1 for group in random_groups({0: one}, 20, seed=0))


def test_the_seed_says_which():
    one = layer((8.0, 3.0), [2.0 ** (i / 10) for i in range(80)])
    first, again, other = (random_groups({1: one}, 20, seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("own", "sizes", "says"),
    [
        ((1.0,), [1.0] * 19, r"Layer 4 has 19 other features .* need 20. Pass more prompts, or a smaller group"),
        ((1.0,) * 11, [1.0] * 21, "controls of 11 features need 22"),
        ((30.0,), [1.0] * 40, r"layer 4 together write 1.3 times .* need 2 times as much. Pass more prompts, or a"),
    ],
)
def test_without_enough_to_draw_from_there_is_no_control(own, sizes, says):
    with pytest.raises(ToolError, match=says):
        random_groups({4: layer(own, sizes)}, 20, seed=0)
    assert random_groups({4: layer(own, sizes)}, 0, seed=0) == ()
