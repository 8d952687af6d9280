"""Runs in which one link alone carries the counterfactual's value: all links of a model, a few rows each.

Path patching with all that lies behind the slot live (Wang et al. 2022; Goldowsky-Dill et al. 2023): the slot reads the
base's stream with the sender's part exchanged, everything else is what follows. The same as a circuit of all links but
that one (`_circuit_runs.py`), which is the second road to each number; here what the links have in common is shared:

- blocks below the slot, and positions in front of the first token that differs, are the base's;
- a sender's exchanged stream goes through the block's norm and matrices once, for all slots of the block;
- heads do not hear each other, so one pass of attention serves every head's queries, one its keys, one its values.

Where a norm stands behind attention (Gemma), a head's part is over the denominator of the run that it comes from.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ._base import Progress, silent
from ._block_maps import BlockMaps, SlotKind, normed
from ._circuit_graph import END, CircuitGraph, Link
from ._circuit_runs import HEAD_SLOTS, parts_written
from ._part_runs import BlockRun, PartModel

LARGEST_ROWS = 2**22  # numbers of the streams that go on together: 16 MiB in single precision


@dataclass(frozen=True)
class _Asked:
    """Links into the slots of one kind in one block: whose part is exchanged, and in which head's slot."""

    links: Int[Tensor, " _"]  # their places among those asked
    nodes: Int[Tensor, " _"]
    heads: Int[Tensor, " _"]

    def split(self, size: int) -> "Iterator[_Asked]":
        parts = zip(self.links.split(size), self.nodes.split(size), self.heads.split(size), strict=True)
        return (_Asked(*part) for part in parts)


class PathRuns:
    """Some pairs, and their answers when single links are exchanged.

    Args:
        share: Of the way from the base's part to the donor's; nothing for runs that rounding alone moves.
    """

    def __init__(self, model: PartModel, share: float = 1.0) -> None:
        self._model, self._first = model, model.first_differing
        self._graph = CircuitGraph(model.subject.shape)
        base, donor = (parts_written(model, run)[:, :, self._first :] for run in (model.base, model.donor))
        self._moves = share * (
            donor - base
        )  # what exchanging each node's part does to the stream: [node, batch, pos, d_model]

    def answers(self, links: Sequence[Link], progress: Progress = silent) -> Float[Tensor, "_ batch"]:
        """Logit of the answer less that of the foil (nats): per link a row, per pair a column."""
        found = self._model.unchanged.new_empty(len(links), len(self._model.pairs))
        by_slot = self._by_slot(links)
        for done, ((kind, layer), asked) in enumerate(by_slot.items()):
            progress(done, len(by_slot), f"links into {kind}" + ("" if kind == END else f" of block {layer}"))
            shape = self._model.subject.shape
            widest = max(shape.d_model, shape.n_heads * self._model.n_pos) * (self._model.n_pos - self._first)
            for part in asked.split(max(1, LARGEST_ROWS // (widest * len(self._model.pairs)))):
                found[part.links] = self._exchanged(kind, layer, part)
        return found

    def _by_slot(self, links: Sequence[Link]) -> Mapping[tuple[str, int], _Asked]:
        places = {node: place for place, node in enumerate(self._graph.nodes)}
        rows: dict[tuple[str, int], list[tuple[int, int, int]]] = defaultdict(list)
        for place, (node, slot) in enumerate(links):
            kind, *numbers = slot.split(".")
            layer, head, *_ = (*map(int, numbers), 0, 0)
            rows[kind, layer].append((place, places[node], head))
        device = self._moves.device
        return {key: _Asked(*torch.tensor(some, device=device).T) for key, some in rows.items()}

    def _exchanged(self, kind: str, layer: int, asked: _Asked) -> Float[Tensor, "_ batch"]:
        model, first = self._model, self._first
        n_layers = len(model.blocks)
        of = model.all_pairs.repeat(len(asked.nodes))
        if kind == END:
            start = model.needed(n_layers - 1, first)
            end = model.base.end[:, start:] + self._moves[asked.nodes, :, start - first :]
            return self._by_link(model.answers(_rows(end), of))
        start, maps, block = model.needed(layer, first), model.blocks[layer], model.base.blocks[layer]
        if kind == "mlp_in":
            reads = maps.mlp_reads(block.resid, block.attn_out)[:, start:]
            mlp_out = maps.mlp_adds(_rows(reads + self._moves[asked.nodes, :, start - first :]))
            behind = (block.resid + block.attn_out)[of, start:] + mlp_out
        else:
            assert kind in HEAD_SLOTS, kind
            together = block.together[:, start:] + self._heads_move(kind, maps, block, asked, start)
            behind = maps.from_attention(block.resid[of, start:], maps.attention_adds(_rows(together)))
        # In the last block `behind` is the end already.
        return self._by_link(model.to_the_end(layer + 1, behind, of, first))

    def _heads_move(
        self, kind: SlotKind, maps: BlockMaps, block: BlockRun, asked: _Asked, start: int
    ) -> Float[Tensor, "_ batch pos d_model"]:
        """By how much each link moves the sum of all heads' parts, in front of the norm behind attention."""
        nodes, rows = asked.nodes.unique(return_inverse=True)
        moved = self._heads_heard(kind, maps, block, nodes, start) - block.z[:, :, start:]
        by_slot = rearrange(
            moved,
            "node batch (slot shared) pos dim -> node slot batch pos (shared dim)",
            slot=len(maps.makes[kind][0]),
        )
        return maps.slots_add(kind, asked.heads, by_slot[rows, asked.heads])

    def _heads_heard(
        self, kind: SlotKind, maps: BlockMaps, block: BlockRun, nodes: Int[Tensor, " _"], start: int
    ) -> Float[Tensor, "_ batch head pos d_head"]:
        """What every head makes of its slot of this kind, with each node's part exchanged."""
        first, of = self._first, self._model.all_pairs.repeat(len(nodes))
        since = start if kind == "q" else first
        reads = block.resid[:, since:] + self._moves[nodes, :, since - first :]
        raw = maps.project(kind, normed(maps.weights.norm1, _rows(reads)))
        parts = {"q": block.turned_q[of, :, start:], "k": block.turned_k[of], "v": block.v[of]}
        parts[kind] = torch.cat([block.turned(kind)[of, :, :since], maps.turned(kind, raw, since)], 2)
        parts["q"] = parts["q"][:, :, -(self._model.n_pos - start) :]
        z = maps.attend(parts["q"], parts["k"], parts["v"], start)
        return rearrange(z, "(node batch) head pos dim -> node batch head pos dim", node=len(nodes))

    def _by_link(self, answers: Float[Tensor, " _"]) -> Float[Tensor, "_ batch"]:
        return rearrange(answers, "(link batch) -> link batch", batch=len(self._model.pairs))


def _rows(x: Float[Tensor, "_ batch pos d_model"]) -> Float[Tensor, "_ pos d_model"]:
    return rearrange(x, "link batch pos model -> (link batch) pos model")
