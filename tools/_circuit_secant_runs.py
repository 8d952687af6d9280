"""The runs behind secants (`_circuit_secants.py`): what parts write with one link exchanged, and what that does.

For each family these are the two runs of its prompts, one pass backwards, for each node one pass through each block
behind it alone, and for each slot a few runs from its block to the end: none of them is for one link.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ._block_maps import BlockMaps, SlotKind, normed
from ._circuit_graph import END
from ._circuit_runs import HEAD_SLOTS, CircuitRuns
from ._circuit_secants import First, Slots, planned, told
from ._part_runs import BlockRun, PartModel
from ._path_runs import LARGEST_ROWS, PathRuns

NEGLIGIBLE = 0.05  # share of the gap that the gradient may be wrong by before it is scaled down


class _Slopes(NamedTuple):
    """How far the answer moves with what the parts of one block write, on the base prompts (nats per unit)."""

    together: Float[Tensor, "batch pos d_model"]  # the sum of the heads' parts, in front of a norm behind attention
    mlp_out: Float[Tensor, "batch pos d_model"]


def secant_drops(runs: CircuitRuns, per_slot: int, first: First) -> Float[Tensor, "batch _"]:
    """How far each pair's logit difference falls when each link carries the counterfactual (nats), in graph order.

    Args:
        per_slot: Runs for each slot and pair, 1 or more (count).
        first: What the first of them exchanges.
    """
    return torch.cat([-SecantRuns(model, per_slot, first, abs(runs.gap)).moved() for model in runs.models], 1).T.cpu()


class SecantRuns(PathRuns):
    """Some pairs, and how far single links would move their answers.

    Args:
        gap: Mean of clean minus corrupted, its size (nats).
    """

    def __init__(self, model: PartModel, per_slot: int, first: First, gap: float) -> None:
        super().__init__(model)
        self._per_slot, self._gap = per_slot, gap
        self._begins_with: First = first

    def moved(self) -> Float[Tensor, "_ batch"]:
        """Change of the answers (nats): per link of the graph a row, per pair a column."""
        found: dict[tuple[str, int], Tensor] = {}  # [slot, node, batch]
        for layer, slopes in enumerate(self._slopes()):
            slots = {kind: self._of_heads(kind, layer, slopes.together) for kind in HEAD_SLOTS}
            by_kind: dict[str, Slots] = {**slots, "mlp_in": self._of_mlp(layer, slopes.mlp_out)}
            plans = {kind: planned(some, self._per_slot, self._begins_with) for kind, some in by_kind.items()}
            for kind, measured in self._measured(layer, {kind: plan.moves for kind, plan in plans.items()}).items():
                by_slot = told(plans[kind], measured, NEGLIGIBLE * self._gap)
                found[kind, layer] = rearrange(by_slot, "slot batch node -> slot node batch")
        links = [link for link in self._graph.links if link[1] == END]
        ends = self.answers(links) - self._model.unchanged
        rows = [found[kind, layer][head] for kind, layer, head in map(_place, self._graph.slots) if kind != END]
        return torch.cat([*rows, ends])

    def _of_heads(self, kind: SlotKind, layer: int, slope: Float[Tensor, "batch pos d_model"]) -> Slots:
        model, first = self._model, self._first
        maps, block, start = model.blocks[layer], model.base.blocks[layer], model.needed(layer, first)
        n_slots = len(maps.makes[kind][0])
        W_O = rearrange(maps.W_O, "(slot shared) dim model -> slot (shared dim) model", slot=n_slots)
        heard = [self._heads_heard(kind, maps, block, some, start) for some in self._nodes(kind, layer)]
        every = self._heard_of_donor(kind, layer, start)
        moves, whole = (
            rearrange(
                (z - block.z[:, :, start:]) * self._counted(layer)[:, None, :, None],
                "node batch (slot shared) pos dim -> slot batch node pos (shared dim)",
                slot=n_slots,
            )
            for z in (torch.cat(heard), every[None])
        )
        slope = einsum(slope, W_O, "batch pos model, slot dim model -> slot batch pos dim")
        return Slots(moves, whole[:, :, 0], slope, W_O @ W_O.mT)

    def _heard_of_donor(self, kind: SlotKind, layer: int, start: int) -> Float[Tensor, "batch head pos d_head"]:
        """What every head makes when its slot of this kind reads the donor's stream."""
        base, donor = self._model.base.blocks[layer], self._model.donor.blocks[layer]
        q, k, v = ((donor if one == kind else base).turned(one) for one in HEAD_SLOTS)
        return self._model.blocks[layer].attend(q[:, :, start:], k, v, start)

    def _of_mlp(self, layer: int, slope: Float[Tensor, "batch pos d_model"]) -> Slots:
        model, first = self._model, self._first
        maps, block, start = model.blocks[layer], model.base.blocks[layer], model.needed(layer, first)
        reads = maps.mlp_reads(block.resid, block.attn_out)[:, start:]
        parts: list[Tensor] = []
        for some in self._nodes("mlp_in", layer):
            exchanged = (reads + self._moves[some, :, start - first :]).flatten(0, 1)
            written = rearrange(
                maps.mlp_adds(exchanged), "(node batch) pos model -> batch node pos model", node=len(some)
            )
            parts.append(written - block.mlp_out[:, None, start:])
        counted = self._counted(layer)[:, :, None]
        whole = (model.donor.blocks[layer].mlp_out - block.mlp_out)[:, start:] * counted
        return Slots((torch.cat(parts, 1) * counted[:, None])[None], whole[None], slope[None], None)

    def _measured(self, layer: int, moves: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "_ _ batch"]]:
        """How far each of these moves, run to the end, moves the answers: by kind [run, slot, batch]."""
        model, start = self._model, self._model.needed(layer, self._first)
        maps, block = model.blocks[layer], model.base.blocks[layer]
        heads: list[Tensor] = []
        for kind in HEAD_SLOTS:
            slots = torch.arange(moves[kind].shape[1], device=self._moves.device).repeat(len(moves[kind]))
            heads.append(maps.slots_add(kind, slots, moves[kind].flatten(0, 1)))
        together = (block.together[:, start:] + torch.cat(heads)).flatten(0, 1)
        resid = block.resid[:, start:].repeat(len(together) // len(model.pairs), 1, 1)
        by_mlp = (block.resid + block.attn_out + block.mlp_out)[:, start:] + moves["mlp_in"].flatten(0, 1)
        behind = torch.cat([maps.from_attention(resid, maps.attention_adds(together)), by_mlp.flatten(0, 1)])
        of = model.all_pairs.repeat(len(behind) // len(model.pairs))
        size = self._at_once * len(model.pairs)
        ends = [
            model.to_the_end(layer + 1, some, whose, self._first)
            for some, whose in zip(behind.split(size), of.split(size), strict=True)
        ]
        moved = self._by_link(torch.cat(ends)) - model.unchanged
        parts = moved.split([whole.shape[0] * whole.shape[1] for whole in moves.values()])
        return {
            kind: part.reshape(*whole.shape[:2], -1) for (kind, whole), part in zip(moves.items(), parts, strict=True)
        }

    def _counted(self, layer: int) -> Bool[Tensor, "batch pos"]:
        """Positions that reach the answer: none behind a prompt's end, and in the last block that end alone."""
        positions = torch.arange(self._model.needed(layer, self._first), self._model.n_pos, device=self._moves.device)
        last = self._model.last[:, None]
        return positions == last if layer == len(self._model.blocks) - 1 else positions <= last

    @property
    def _at_once(self) -> int:
        """Runs of all pairs that go on together."""
        shape, n_pos = self._model.subject.shape, self._model.n_pos
        widest = max(shape.d_model, shape.n_heads * n_pos) * (n_pos - self._first)
        return max(1, LARGEST_ROWS // (widest * len(self._model.pairs)))

    def _nodes(self, kind: str, layer: int) -> Iterator[Int[Tensor, " _"]]:
        """The nodes in front of these slots, as many at a time as fit."""
        slot = f"{kind}.{layer}" if kind == "mlp_in" else f"{kind}.{layer}.0"
        nodes = torch.arange(len(self._graph.read_by(slot)), device=self._moves.device)
        yield from nodes.split(self._at_once)

    def _slopes(self) -> list[_Slopes]:
        """Of every block, by one pass backwards."""
        model = self._model
        start = model.needed(len(model.blocks) - 1, self._first)
        (behind,) = _pulled(lambda end: model.answers(end, model.all_pairs), model.base.end[:, start:])
        found: list[_Slopes] = []
        for layer in reversed(range(len(model.blocks))):
            maps, block, start = model.blocks[layer], model.base.blocks[layer], model.needed(layer, self._first)
            together, resid = _pulled(
                lambda t, r, maps=maps: maps.from_attention(r, maps.attention_adds(t)),
                block.together[:, start:],
                block.resid[:, start:],
                behind=behind,
            )
            found.insert(0, _Slopes(together, behind))
            (behind,) = _pulled(
                lambda r, maps=maps, block=block, start=start: self._attended(maps, block, r, start),
                block.resid[:, self._first :],
                behind=together,
            )
            behind[:, start - self._first :] += resid
        return found

    def _attended(
        self, maps: BlockMaps, block: BlockRun, resid: Float[Tensor, "batch _ d_model"], start: int
    ) -> Float[Tensor, "batch pos d_model"]:
        """The sum of the heads' parts, from the stream at every position from the first that differs on."""
        first, reads = self._first, normed(maps.weights.norm1, resid)
        k, v = (
            torch.cat([block.turned(kind)[:, :, :first], maps.turned(kind, maps.project(kind, reads), first)], 2)
            for kind in ("k", "v")
        )
        q = maps.turned("q", maps.project("q", reads[:, start - first :]), start)
        return maps.together(maps.attend(q, k, v, start))


def _place(slot: str) -> tuple[str, int, int]:
    """Kind, layer and number of a slot, zeros where it has none."""
    kind, *numbers = slot.split(".")
    layer, head, *_ = (*map(int, numbers), 0, 0)
    return kind, layer, head


def _pulled(function: Callable[..., Tensor], *at: Tensor, behind: Tensor | None = None) -> tuple[Tensor, ...]:
    """The gradients at a function's arguments, from the one at its value (ones if not given)."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in at]
        value = function(*leaves)
        return torch.autograd.grad(value, leaves, torch.ones_like(value) if behind is None else behind)
