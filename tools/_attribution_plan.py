"""Where targets pulled down and sources pushed up meet, and how much is carried at a time: chosen by counting products.

Carrying a row through an attention layer costs a product into heads and one back at each position that the row reaches;
meeting costs one product per pair and position. More layers below the cut make the way down shorter and the way up
longer. What was pushed up is held until all targets have met it, so memory bounds the cut from above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from ._attribution_local import LocalModel
from ._attribution_nodes import Sources, Targets
from ._attribution_products import products

HELD_NUMBERS = 2**26  # of what was pushed up to the cut: 256 MiB in single precision
CARRIED_NUMBERS = 2**23  # of one stack on its way: 32 MiB
NEARLY = 1.15
ROWS_AT_ONCE = 96  # fewer rows than this at a position go together with those of the next


@dataclass(frozen=True)
class Plan:
    """A cut in front of the attention of that layer, and how many rows start where."""

    cut: int
    sources_at: tuple[int, ...]  # rows to push up, by position
    targets_at: tuple[int, ...]  # rows to pull down, by position


def chunks(counts: Sequence[int], alone: bool = False) -> list[range]:
    """Neighbouring positions together until there are enough rows for products of a good size.

    Args:
        alone: Every position by itself.
    """
    made, start, held = [], 0, 0
    for at, count in enumerate(counts):
        held += count
        if alone or held >= ROWS_AT_ONCE or at == len(counts) - 1:
            made.append(range(start, at + 1))
            start, held = at + 1, 0
    return made


def plan_for(local: LocalModel, sources: Sources, targets: Targets) -> Plan:
    """The lowest cut that is nearly as cheap as the cheapest that memory allows."""
    up, down = _by_place(local, sources, targets)
    costs = _costs(local, up, down)
    # Nearly as cheap and lower holds less: a few per cent of time for a quarter of the memory.
    best = min(cut for cut, cost in costs.items() if cost <= NEARLY * min(costs.values()))
    return Plan(
        cut=best,
        sources_at=tuple(up[:best].sum(0).tolist()),
        targets_at=tuple(down[best:].sum(0).tolist()),
    )


def count_products(local: LocalModel, sources: Sources, targets: Targets) -> int:
    """Multiplications that an exact sweep needs: at the cheapest cut that memory allows, planned or not (count)."""
    return min(_costs(local, *_by_place(local, sources, targets)).values())


def _costs(local: LocalModel, up: Int[Tensor, "layer pos"], down: Int[Tensor, "layer pos"]) -> dict[int, int]:
    """Multiplications by cut."""
    cuts = range(len(local.blocks) + 1)
    fit = [cut for cut in cuts if cut == 0 or held(local, up, cut) <= HELD_NUMBERS]
    return {cut: products(local, up, down, cut) for cut in fit}


def _by_place(
    local: LocalModel, sources: Sources, targets: Targets
) -> tuple[Int[Tensor, "layer pos"], Int[Tensor, "layer pos"]]:
    """How many sources and targets there are by layer, tokens first and logits last, and position."""
    n_layers, n_pos = len(local.blocks), len(local.ids)
    return (
        _counted(sources.layer + 1, sources.position, n_layers + 1, n_pos),
        _counted(targets.layer, targets.position, n_layers + 1, n_pos),
    )


def held(local: LocalModel, up: Int[Tensor, "layer pos"], cut: int) -> int:
    """Numbers that wait at the cut."""
    n_pos, d_model = local.embedding.shape
    return int((up[:cut] * torch.arange(n_pos, 0, -1)).sum()) * d_model


def _counted(
    layers: Int[Tensor, " batch"], positions: Int[Tensor, " batch"], n_layers: int, n_pos: int
) -> Int[Tensor, "layer pos"]:
    return torch.bincount(layers * n_pos + positions, minlength=n_layers * n_pos).view(n_layers, n_pos).cpu()
