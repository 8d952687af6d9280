"""How many multiplications an exact sweep needs, by the cut at which targets and sources meet.

What is counted is what no exact sweep that meets at this cut does without: a passage's products and its mix over the
positions that see one another, the meeting, and the reading on both ways. What a sweep does beyond that, because
neighbouring positions go together, is not.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from ._attribution_attention import FrozenAttention
from ._attribution_local import LocalModel


def products(local: LocalModel, up: Int[Tensor, "layer pos"], down: Int[Tensor, "layer pos"], cut: int) -> int:
    """Multiplications of a sweep (count).

    Args:
        up: Sources by layer (tokens first) and position.
        down: Targets by layer (logits last) and position.
        cut: Layer in front of whose attention they meet.
    """
    n_layers, n_pos = len(local.blocks), len(local.ids)
    attention, lean = local.blocks[0].attention, not local.skips
    lowered = _Carried.down(attention, lean)
    lifted = _Carried.up(attention, lean and not local.cross_layer)
    total, reach = 0, torch.arange(1, n_pos + 1)
    for layer in range(cut, n_layers + 1):
        passes = min(layer, n_layers - 1) - cut + (0 if local.parallel and layer < n_layers else 1)
        total += lowered.cost(passes, down[layer], reach)
    for row in range(cut):
        total += lifted.cost(cut - row, up[row], reach.flip(0))
    if local.skips:  # one product more for each MLP on the way
        beside = sum((layer - cut) * (down[layer] * reach).sum() for layer in range(cut, n_layers + 1))
        beside += sum((cut - row) * (up[row] * reach.flip(0)).sum() for row in range(cut))
        total += local.embedding.shape[1] ** 2 * int(beside)
    return total + local.embedding.shape[1] * _pairs(up, down, cut, local.cross_layer)


@dataclass(frozen=True)
class _Carried:
    """The sizes that decide what one row costs on its way."""

    d_model: int
    n_heads: int
    within: int  # size of all heads together
    enter: int
    leave: int
    lean: bool  # whether it enters its second passage as its first has spread it

    @classmethod
    def down(cls, attention: FrozenAttention, lean: bool) -> "_Carried":
        within, d_model = attention.W_O.shape
        return cls(d_model, attention.pattern.shape[:2].numel(), within, within, attention.W_V.shape[1], lean)

    @classmethod
    def up(cls, attention: FrozenAttention, lean: bool) -> "_Carried":
        within, d_model = attention.W_O.shape
        return cls(d_model, attention.pattern.shape[:2].numel(), within, attention.W_V.shape[1], within, lean)

    def cost(self, passes: int, rows: Int[Tensor, " pos"], reach: Int[Tensor, " pos"]) -> int:
        """Of all rows that start at each position.

        Args:
            passes: Layers of attention that they pass.
            reach: Positions that a row from there is carried over.
        """
        if passes == 0:
            return 0
        n_rows, reached = int(rows.sum()), int((rows * reach).sum())
        seen = int((rows * reach * (reach + 1)).sum()) // 2  # pairs of positions of which one looks at the other
        total = n_rows * self.d_model * (self.enter + self.within) + reached * self.n_heads * self.d_model
        total += (passes - 1) * (reached * self.d_model * (self.enter + self.leave) + seen * self.within)
        if self.lean and passes > 1:
            total += n_rows * self.enter * (self.d_model + self.within)
            total += reached * self.enter * (self.n_heads - self.d_model)
        return total


def _pairs(up: Int[Tensor, "layer pos"], down: Int[Tensor, "layer pos"], cut: int, cross_layer: bool) -> int:
    """How often a target reads a source, at the cut and on both ways (count)."""
    total, still_to_come = 0, down.flip(1).cumsum(1).flip(1)  # targets at a position or later
    if cut:
        total += int((still_to_come[cut:].sum(0) * up[:cut].cumsum(1).sum(0)).sum())
    # Lifted sources are read by targets on the way up, the others by all targets above them on the way down.
    for row in range(len(up)):
        readers = still_to_come[row:] if row >= cut else still_to_come[row:cut]
        total += int((up[row] * readers.sum(0)).sum())
    if cross_layer:  # and those below again at every layer down to the cut, the tokens left out
        for row in range(max(cut, 2), len(up)):
            total += int((up[1:row].sum(0) * still_to_come[row:].sum(0)).sum())
    return total
