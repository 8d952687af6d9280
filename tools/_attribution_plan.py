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

HELD_NUMBERS = 2**26  # of what was pushed up to the cut: 256 MiB in single precision
CARRIED_NUMBERS = 2**23  # of one stack on its way: 32 MiB
NEARLY = 1.15
ROWS_AT_ONCE = 48  # fewer rows than this at a position go together with those of the next


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
    n_layers, n_pos = len(local.blocks), len(local.ids)
    up = _counted(sources.layer + 1, sources.position, n_layers + 1, n_pos)
    down = _counted(targets.layer, targets.position, n_layers + 1, n_pos)
    fit = [cut for cut in range(n_layers + 1) if cut == 0 or held(local, up, cut) <= HELD_NUMBERS]
    costs = {cut: _cost(local, up, down, cut) for cut in fit}
    # Nearly as cheap and lower holds less: a few per cent of time for a quarter of the memory.
    best = min(cut for cut in fit if costs[cut] <= NEARLY * min(costs.values()))
    return Plan(
        cut=best,
        sources_at=tuple(up[:best].sum(0).tolist()),
        targets_at=tuple(down[best:].sum(0).tolist()),
    )


def count_products(local: LocalModel, sources: Sources, targets: Targets) -> int:
    """Multiplications of one exact sweep at its best cut, as counted for the plan (count)."""
    n_layers, n_pos = len(local.blocks), len(local.ids)
    up = _counted(sources.layer + 1, sources.position, n_layers + 1, n_pos)
    down = _counted(targets.layer, targets.position, n_layers + 1, n_pos)
    return _cost(local, up, down, plan_for(local, sources, targets).cut)


def held(local: LocalModel, up: Int[Tensor, "layer pos"], cut: int) -> int:
    """Numbers that wait at the cut."""
    n_pos, d_model = local.embedding.shape
    return int((up[:cut] * torch.arange(n_pos, 0, -1)).sum()) * d_model


def _counted(
    layers: Int[Tensor, " batch"], positions: Int[Tensor, " batch"], n_layers: int, n_pos: int
) -> Int[Tensor, "layer pos"]:
    return torch.bincount(layers * n_pos + positions, minlength=n_layers * n_pos).view(n_layers, n_pos).cpu()


def _cost(local: LocalModel, up: Int[Tensor, "layer pos"], down: Int[Tensor, "layer pos"], cut: int) -> int:
    """Multiplications; row r of `up` holds the sources of layer r - 1, row r of `down` the targets of layer r."""
    n_layers, (n_pos, d_model) = len(local.blocks), local.embedding.shape
    attention, total = local.blocks[0].attention, 0
    into_values, into_heads = d_model * attention.W_V.shape[1], d_model * attention.W_O.shape[0]
    spread = d_model * attention.pattern.shape[0] * attention.pattern.shape[1]
    down_reach = (down * torch.arange(1, n_pos + 1)).sum(1).tolist()
    up_reach = (up * torch.arange(n_pos, 0, -1)).sum(1).tolist()
    for layer in range(cut, n_layers + 1):
        passes = min(layer, n_layers - 1) - cut + (0 if local.parallel and layer < n_layers else 1)
        total += down_reach[layer] * _passing(passes, spread, into_heads, into_values, not local.skips)
    for row in range(cut):
        total += up_reach[row] * _passing(
            cut - row, spread, into_values, into_heads, not local.skips and not local.cross_layer
        )
    still_to_come = down.flip(1).cumsum(1).flip(1)  # targets at a position or later
    if cut:
        total += d_model * int((still_to_come[cut:].sum(0) * up[:cut].cumsum(1).sum(0)).sum())
    # Lifted sources are read by targets on the way up, the others by all targets above them on the way down.
    for row in range(n_layers + 1):
        readers = still_to_come[row:] if row >= cut else still_to_come[row:cut]
        total += d_model * int((up[row] * readers.sum(0)).sum())
    if local.cross_layer:  # and those below again at every layer down to the cut
        for row in range(max(cut, 2), n_layers + 1):
            total += d_model * int((up[1:row].sum(0) * still_to_come[row:].sum(0)).sum())
    return total


def _passing(passes: int, spread: int, enter: int, leave: int, lean: bool) -> int:
    """Multiplications per position that a row reaches: the first passage spreads, the second, where lean, enters so."""
    if passes == 0:
        return 0
    full = passes - 1
    return spread + full * (enter + leave) - (enter - spread if lean and full else 0)
