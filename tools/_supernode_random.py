"""Random groups of features that are fit to stand beside a group that is taken out: the same layers, number and size.

A feature's size is the summed length of what it writes, over all prompts and tokens. In every layer a random group has
one feature for each of the group's, drawn from those nearest to it in size. Where these write clearly less, because the
group has the largest there are, it gets more, each drawn from those nearest in size to what is missing, as long as that
brings the sum nearer. So neither the number of features nor how much they write can be why the group does more.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ._base import ToolError

MIN_DRAWS = 20  # random groups that a control is made of
NEAREST = 20  # features of about one size, of which one is drawn
TIMES = 2  # what could stand in has to be as large as the group that often, in number and in sum, or groups are alike
AS_MUCH = 0.8  # of what the group writes, from which on no more features are drawn (share)
TRIES = 200  # draws to find a group that is not drawn yet

Drawn = dict[int, tuple[int, ...]]
"""A group: features by layer."""


@dataclass(frozen=True)
class LayerSizes:
    """One layer: how large the group's features are, and who could stand in for them."""

    own: tuple[float, ...]
    others: Int[np.ndarray, " feature"]  # index of each
    sizes: Float[np.ndarray, " feature"]  # of the others; all above 0

    @cached_property
    def _logs(self) -> Float[np.ndarray, " feature"]:
        return np.log(self.sizes)

    def nearest(self, size: float, taken: set[int]) -> list[int]:
        """Places of those others that are nearest in size, by ratio, without those taken."""
        order = np.argsort(abs(self._logs - np.log(max(size, self.sizes.min()))), kind="stable")
        return [place for place in order[: NEAREST + len(taken)].tolist() if place not in taken][:NEAREST]


def random_groups(layers: Mapping[int, LayerSizes], n_draws: int, seed: int) -> tuple[Drawn, ...]:
    """Random groups, no two alike as far as there are so many.

    Args:
        layers: by number, those that the group has features in.

    Raises:
        ToolError: a layer with too few other features, or too small ones, for groups of this size.
    """
    if not n_draws:
        return ()
    for layer, one in layers.items():
        refuse_few(layer, len(one.own), len(one.others))
        _refuse_small(layer, sum(one.own), float(one.sizes.sum()))
    rng = random.Random(seed)
    seen: set[tuple[tuple[int, ...], ...]] = set()
    found: list[Drawn] = []
    for _ in range(n_draws):
        group = _group(layers, rng)
        for _ in range(TRIES):
            if tuple(group.values()) not in seen:
                break
            group = _group(layers, rng)
        seen.add(tuple(group.values()))
        found.append(group)
    return tuple(found)


def refuse_few(layer: int, n_own: int, n_others: int) -> None:
    """Refuse a control that there are not features enough for.

    Raises:
        ToolError: fewer than a control's number of groups, or than twice the group's own.
    """
    due = max(MIN_DRAWS, TIMES * n_own)
    if n_others < due:
        raise ToolError(
            f"Layer {layer} has {n_others} other features that fire on these prompts; controls of {n_own} features "
            f"need {due}.",
            mend="Pass more prompts, or a smaller group.",
        )


def _refuse_small(layer: int, own: float, others: float) -> None:
    if others < TIMES * own:
        raise ToolError(
            f"All other features of layer {layer} together write {others / own:.2g} times what the group's write on "
            f"these prompts; random groups of its size need {TIMES} times as much.",
            mend="Pass more prompts, or a smaller group.",
        )


def _group(layers: Mapping[int, LayerSizes], rng: random.Random) -> Drawn:
    return {layer: _drawn(one, rng) for layer, one in layers.items()}


def _drawn(one: LayerSizes, rng: random.Random) -> tuple[int, ...]:
    taken: set[int] = set()
    for size in sorted(one.own, reverse=True):
        taken.add(rng.choice(one.nearest(size, taken)))
    missing = sum(one.own) - one.sizes[list(taken)].sum()
    while missing > (1 - AS_MUCH) * sum(one.own):
        helping = [place for place in one.nearest(missing, taken) if one.sizes[place] < 2 * missing]
        if not helping:
            break
        another = rng.choice(helping)
        taken.add(another)
        missing -= one.sizes[another]
    return tuple(sorted(one.others[list(taken)].tolist()))
