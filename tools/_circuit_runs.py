"""Runs in which some links carry the base's values and every other link carries the counterfactual's.

Circuit evaluation as in ACDC (Conmy et al. 2023) and MIB (Mueller et al. 2025). Each slot reads the sum of what the
nodes in front of it write: over a kept link what the node writes in this very run, over any other link what it wrote on
the counterfactual prompt. With all links kept the run is the base's, with none the counterfactual's.

Every slot has a stream of its own, so heads of one block read different sums. What is the same in both runs (positions
in front of the first token that differs) is computed once. Where a norm stands behind attention (Gemma), what a head
writes is its part over the denominator that the heads of its run have together; biases of output matrices are shared
out equally among heads.
"""

from collections.abc import Collection, Sequence
from functools import cached_property

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ._base import Progress, silent
from ._block_maps import BlockMaps, SlotKind, normed
from ._circuit_graph import CircuitGraph, Link
from ._pair_answers import Asked, gap_between
from ._part_runs import BlockRun, Direction, PartModel, PartRun
from ._subject import Subject

LARGEST_RUNS = 2**24  # numbers that the nodes of all runs of one pass write: 64 MiB in single precision
HEAD_SLOTS: tuple[SlotKind, ...] = ("q", "k", "v")


def circuit_answers(
    subject: Subject, pairs: Sequence[Asked], links: Sequence[Collection[Link]], progress: Progress = silent
) -> Float[Tensor, "_ batch"]:
    """Logit of the answer less that of the foil (nats) for each set of kept links (rows) and each pair (columns).

    Args:
        links: Sets of (node, slot) as in `_circuit_graph.py`. They run together: ask for all at once, or keep a
            `CircuitRuns` to ask again on the same pairs without running base and counterfactual again.

    Raises:
        ToolError: a link that the model lacks, a prompt or answer that it cannot read, or a pair of unequal lengths.
    """
    return CircuitRuns(subject, pairs).answers(links, progress)


class CircuitRuns:
    """Pairs on a subject, and their answers when only some links carry the base's values.

    Args:
        direction: With `denoising` base and counterfactual change places: kept links carry the counterfactual's values.
    """

    def __init__(self, subject: Subject, pairs: Sequence[Asked], direction: Direction = "noising") -> None:
        """
        Raises:
            ToolError: a prompt or answer that the model cannot read, or a pair of unequal lengths.
        """
        self.graph = CircuitGraph(subject.shape)
        self.models = [PartModel(subject, some, direction) for some in _split(subject, self.graph, pairs)]
        self._parts = [_Part(model) for model in self.models]
        self.clean: Float[Tensor, " batch"] = torch.cat([model.clean for model in self.models])
        self.corrupted: Float[Tensor, " batch"] = torch.cat([model.corrupted for model in self.models])

    @cached_property
    def gap(self) -> float:
        """Mean of clean minus corrupted (nats); a `ToolError` where there is none."""
        return gap_between(self.clean, self.corrupted)

    @cached_property
    def places(self) -> dict[Link, int]:
        """Where each link stands in a row of `answers_of`."""
        return {link: place for place, link in enumerate(self.graph.links)}

    def answers(self, link_sets: Sequence[Collection[Link]], progress: Progress = silent) -> Float[Tensor, "_ batch"]:
        """Logit of the answer less that of the foil (nats): per set of kept links a row, per pair a column."""
        kept = torch.zeros(len(link_sets), len(self.graph.links))
        for row, links in enumerate(link_sets):
            kept[row, [self._place(link) for link in links]] = 1
        return self.answers_of(kept, progress)

    def answers_of(self, kept: Float[Tensor, "_ _"], progress: Progress = silent) -> Float[Tensor, "_ batch"]:
        """The same, from a row of ones and zeros per set, ordered as `graph.links`.

        What lies between is a mixture: the part of the base's value that the link carries.
        """
        columns: list[Tensor] = []
        for done, part in enumerate(self._parts):
            progress(done, len(self._parts), f"{len(kept)} circuits")
            columns.append(part.answers(kept))
        progress(len(self._parts), len(self._parts), f"{len(kept)} circuits")
        return torch.cat(columns, 1)

    def _place(self, link: Link) -> int:
        return self.places[link if link in self.places else self.graph.link("->".join(link))]


def _split(subject: Subject, graph: CircuitGraph, pairs: Sequence[Asked]) -> list[Sequence[Asked]]:
    """Pairs in parts of which one run fits."""
    longest = max((len(subject.reader.encode(pair.base)) for pair in pairs), default=1)
    size = max(1, LARGEST_RUNS // (len(graph.nodes) * longest * subject.shape.d_model))
    return [pairs[start : start + size] for start in range(0, max(1, len(pairs)), size)]


class _Part:
    """As many pairs as fit."""

    def __init__(self, model: PartModel) -> None:
        self._model, self._first = model, model.first_differing
        self._written = parts_written(model, model.donor)[:, :, self._first :]

    def answers(self, kept: Float[Tensor, "_ _"]) -> Float[Tensor, "_ batch"]:
        size = max(1, LARGEST_RUNS // self._written.numel())
        kept = kept.to(self._written)
        return torch.cat([_Pass(self._model, self._written, self._first, some).answers() for some in kept.split(size)])


def parts_written(model: PartModel, run: PartRun) -> Float[Tensor, "_ batch pos d_model"]:
    """What every node adds to the stream, in the order of `CircuitGraph.nodes`."""
    written = [run.blocks[0].resid[None]]
    for maps, block in zip(model.blocks, run.blocks, strict=True):
        written += [maps.parts_of_heads(block.z), block.mlp_out[None]]
    return torch.cat(written)


class _Pass:
    """Some sets of links on some pairs, block by block. Axes without a name of their own: sets, nodes, slots, links."""

    def __init__(
        self, model: PartModel, written: Float[Tensor, "_ batch pos d_model"], first: int, kept: Float[Tensor, "_ _"]
    ) -> None:
        self._model, self._written, self._first, self._kept = model, written, first, kept
        self._of: Int[Tensor, " _"] = model.all_pairs.repeat(len(kept))
        # What each node writes in these runs less what it wrote on the counterfactual [set, node, pair, pos, d_model].
        self._moved = written.new_zeros(len(kept), *written.shape)
        self._n_nodes, self._n_links = 1, 0  # that were seen so far

    def answers(self) -> Float[Tensor, "_ batch"]:
        base, donor = self._model.base, self._model.donor
        self._moved[:, 0] = (base.blocks[0].resid - donor.blocks[0].resid)[:, self._first :]
        for layer, maps in enumerate(self._model.blocks):
            start = self._model.needed(layer, self._first)
            self._heads(maps, base.blocks[layer], donor.blocks[layer], start)
            self._mlp(maps, donor.blocks[layer], start)
        start = self._model.needed(len(self._model.blocks) - 1, self._first)
        end = self._read(donor.end, 1, self._n_nodes, start)
        found = self._model.answers(rearrange(end, "set one pair pos model -> (set one pair) pos model"), self._of)
        return rearrange(found, "(set pair) -> set pair", set=len(self._kept))

    def _heads(self, maps: BlockMaps, base: BlockRun, donor: BlockRun, start: int) -> None:
        made: dict[SlotKind, Tensor] = {}
        for kind in HEAD_SLOTS:
            W, b = maps.makes[kind]
            since = start if kind == "q" else self._first
            reads = normed(maps.weights.norm1, self._read(donor.resid, len(W), self._n_nodes, since))
            flat = rearrange(reads, "set slot pair pos model -> slot (set pair pos) model") @ W + b[:, None]
            raw = rearrange(flat, "slot (row pos) dim -> row slot pos dim", pos=reads.shape[3])
            made[kind] = maps.turned(kind, raw, since)
        k, v = (
            torch.cat([own[self._of, :, : self._first], new], 2)
            for own, new in ((base.turned_k, made["k"]), (base.v, made["v"]))
        )
        z = maps.attend(made["q"], k, v, start)
        self._write(maps.parts_of_heads(z), start)

    def _mlp(self, maps: BlockMaps, donor: BlockRun, start: int) -> None:
        n_read = self._n_nodes - (len(maps.W_O) if maps.parallel else 0)
        reads = self._read(maps.mlp_reads(donor.resid, donor.attn_out), 1, n_read, start)
        self._write(
            maps.mlp_adds(rearrange(reads, "set one pair pos model -> (set pair) (one pos) model"))[None], start
        )

    def _read(self, donor: Tensor, n_slots: int, n_read: int, start: int) -> Float[Tensor, "_ _ batch pos d_model"]:
        """The streams of the next slots, all of which read the same nodes."""
        n_here = n_slots * n_read
        kept = self._kept[:, self._n_links : self._n_links + n_here].reshape(len(self._kept), n_slots, n_read)
        self._n_links += n_here
        moved = self._moved[:, :n_read, :, start - self._first :]
        mixed = kept @ moved.reshape(len(kept), n_read, -1)
        return mixed.reshape(len(kept), n_slots, *moved.shape[2:]) + donor[:, start:]

    def _write(self, parts: Float[Tensor, "_ _ pos d_model"], start: int) -> None:
        """What the next nodes write: [node, set and pair, pos, d_model]."""
        here, since = slice(self._n_nodes, self._n_nodes + len(parts)), start - self._first
        by_set = rearrange(parts, "node (set pair) pos model -> set node pair pos model", set=len(self._kept))
        self._moved[:, here, :, since:] = by_set - self._written[here, :, since:]
        self._n_nodes += len(parts)
