"""Patching every part at every position, exactly, with what the patched runs have in common computed once.

A run with one part patched at one position is the base's below the patched block and in front of the patched position.
So a row starts behind its block with one changed position, needs queries, keys and values at that position alone in the
next block, and from there on the positions behind it; in the last block the last position alone. Rows of all blocks
climb together, one position at a time. Where nothing can reach the last token, nothing is run.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ._base import Progress, silent
from ._block_maps import SlotKind
from ._part_runs import PartModel, PartRun

SweptKind = Literal["resid_pre", "attn_out", "mlp_out", "head", "q", "k", "v"]
SWEPT: tuple[SweptKind, ...] = get_args(SweptKind)
LARGEST_SWEEP = 2**24  # numbers of the streams that climb together: 64 MiB in single precision


@dataclass(frozen=True)
class Lane:
    """A kind of part and, where it has heads, which: patched in every block."""

    kind: SweptKind
    head: int = 0


def lanes_of(model: PartModel, kinds: Sequence[SweptKind]) -> list[Lane]:
    """All lanes of these kinds."""
    shape = model.subject.shape
    counts = {"head": shape.n_heads, "q": shape.n_heads, "k": shape.n_kv_heads, "v": shape.n_kv_heads}
    return [Lane(kind, head) for kind in kinds for head in range(counts.get(kind, 1))]


class SweepRuns:
    """Some pairs of prompts of one length, and their answers when one part is patched at one position."""

    def __init__(self, model: PartModel) -> None:
        self._model = model

    def answers(
        self, lanes: Sequence[Lane], positions: Sequence[int], progress: Progress = silent
    ) -> Float[Tensor, "_ layer pos batch"]:
        """Logit of the answer less that of the foil (nats): per lane, block, position asked for, and pair."""
        model = self._model
        n_layers, n_pairs = len(model.blocks), len(model.pairs)
        found = model.unchanged.expand(len(lanes), n_layers, len(positions), n_pairs).clone()
        for done, position in enumerate(positions):
            progress(done, len(positions), f"position {position}")
            if position < model.first_differing:
                continue  # both runs are one here
            size = self._lanes_at_once(position)
            for start in range(0, len(lanes), size):
                some = slice(start, start + size)
                found[some, :, done] = self._at(lanes[some], position, model.donor)
        return found

    def unpatched(self, kinds: Sequence[SweptKind], position: int) -> Float[Tensor, "_ layer batch"]:
        """The same with the base's own values written, one head of each kind: what is left is rounding."""
        return self._at([Lane(kind) for kind in kinds], position, self._model.base)

    def _lanes_at_once(self, position: int) -> int:
        shape, model = self._model.subject.shape, self._model
        widest = (model.n_pos - position) * max(shape.d_model, shape.n_heads * model.n_pos)
        return max(1, LARGEST_SWEEP // (widest * len(model.pairs) * shape.n_layers))

    def _at(self, lanes: Sequence[Lane], position: int, donor: PartRun) -> Float[Tensor, "_ layer batch"]:
        return _Climb(self._model, lanes, position, donor).answers()


class _Climb:
    """Some lanes at one position: rows that start in each block and climb to the end together."""

    def __init__(self, model: PartModel, lanes: Sequence[Lane], position: int, donor: PartRun) -> None:
        self._model, self._position, self._donor = model, position, donor
        self._lanes: dict[SweptKind, list[int]] = defaultdict(list)
        for place, lane in enumerate(lanes):
            self._lanes[lane.kind].append(place)
        self._heads = torch.tensor([one.head for one in lanes], device=model.subject.device)
        n_layers = len(model.blocks)
        self._found = model.unchanged.expand(len(lanes), n_layers, len(model.pairs)).clone()
        # Lane and block of the rows on their way, each of them for all pairs; `_narrow` changed at one position so far.
        self._wide_names: list[tuple[int, int]] = []
        self._narrow_names: list[tuple[int, int]] = []
        d_model = model.subject.shape.d_model
        self._wide = model.base.end.new_zeros(0, model.n_pos - position, d_model)
        self._narrow = model.base.end.new_zeros(0, 1, d_model)

    def answers(self) -> Float[Tensor, "_ layer batch"]:
        last = len(self._model.blocks) - 1
        for layer in range(last + 1):
            self._enter(layer, "resid_pre")
            behind = [self._through(layer, rows, names) for rows, names in self._on_their_way()]
            names = [*self._wide_names, *self._narrow_names]
            self._narrow, self._narrow_names = self._narrow[:0], []
            for kind in ("k", "v"):
                if lanes := self._lanes.get(kind):
                    behind.append(self._keys_or_values(layer, kind, lanes))
                    names += [(lane, layer) for lane in lanes]
            self._wide, self._wide_names = torch.cat(behind), names
            if layer < last or self._position >= self._model.first_last:
                for kind in ("q", "head", "attn_out", "mlp_out"):
                    self._enter(layer, kind)
        for rows, names in self._on_their_way():
            if names:
                found = self._model.answers(rows, self._of(len(names)))
                lanes, layers = torch.tensor(names, device=rows.device).T
                self._found[lanes, layers] = rearrange(found, "(name pair) -> name pair", name=len(names))
        return self._found

    def _on_their_way(self) -> tuple[tuple[Tensor, list[tuple[int, int]]], ...]:
        return (self._wide, self._wide_names), (self._narrow, self._narrow_names)

    def _of(self, n_rows: int) -> Int[Tensor, " _"]:
        return self._model.all_pairs.repeat(n_rows)

    def _through(self, layer: int, rows: Tensor, names: list[tuple[int, int]]) -> Float[Tensor, "_ pos d_model"]:
        if names:
            return self._model.through(layer, rows, self._of(len(names)), self._position)
        return rows.new_zeros(0, self._model.n_pos - self._model.needed(layer, self._position), rows.shape[-1])

    def _enter(self, layer: int, kind: SweptKind) -> None:
        """Rows that change at the patched position alone, when they leave their part."""
        if not (lanes := self._lanes.get(kind)):
            return
        self._narrow = torch.cat([self._narrow, self._changed(layer, kind, lanes)])
        self._narrow_names += [(lane, layer) for lane in lanes]

    def _changed(self, layer: int, kind: SweptKind, lanes: list[int]) -> Float[Tensor, "_ 1 d_model"]:
        maps, base, donor = self._model.blocks[layer], self._model.base.blocks[layer], self._donor.blocks[layer]
        here = slice(self._position, self._position + 1)
        if kind == "resid_pre":
            return donor.resid[:, here]
        if kind == "attn_out":
            return maps.from_attention(base.resid[:, here], donor.attn_out[:, here])
        if kind == "mlp_out":
            return (base.resid + base.attn_out)[:, here] + donor.mlp_out[:, here]
        z = donor.z[:, :, here]
        if kind == "q":
            z = maps.attend(donor.turned_q[:, :, here], base.turned_k, base.v, self._position)
        return self._from_heads(layer, "q", lanes, z - base.z[:, :, here], self._position)

    def _keys_or_values(self, layer: int, kind: SlotKind, lanes: list[int]) -> Float[Tensor, "_ pos d_model"]:
        model, start = self._model, self._model.needed(layer, self._position)
        base, donor = model.base.blocks[layer], self._donor.blocks[layer]
        parts = {"k": base.turned_k, "v": base.v}
        parts[kind] = parts[kind].clone()
        parts[kind][:, :, self._position] = donor.turned(kind)[:, :, self._position]
        z = model.blocks[layer].attend(base.turned_q[:, :, start:], parts["k"], parts["v"], start)
        return self._from_heads(layer, kind, lanes, z - base.z[:, :, start:], start)

    def _from_heads(
        self, layer: int, kind: SlotKind, lanes: list[int], moved: Float[Tensor, "batch head pos d_head"], start: int
    ) -> Float[Tensor, "_ pos d_model"]:
        """The stream behind the block from `start` on, one slot's heads moved in each row."""
        maps, base = self._model.blocks[layer], self._model.base.blocks[layer]
        slots, here = self._heads[lanes], slice(start, start + moved.shape[2])
        by_slot = "batch (slot shared) pos dim -> slot batch pos (shared dim)"
        split = rearrange(moved, by_slot, slot=len(maps.makes[kind][0]))
        together = base.together[:, here] + maps.slots_add(kind, slots, split[slots])
        rows = rearrange(together, "lane batch pos model -> (lane batch) pos model")
        return maps.from_attention(base.resid[self._of(len(lanes)), here], maps.attention_adds(rows))
