"""The links of an attribution graph as dense blocks: the targets of one layer at one position, and all their sources.

A target sees only what was written in lower layers at positions up to its own, so about four fifths of the square
matrix between all nodes are zero; here they are not stored. No method builds that square but `square`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Block:
    """Links into some targets of one layer and position, from each of the sources below them."""

    layer: int
    targets: Int[Tensor, " batch"]
    sources: Int[Tensor, " feature"]
    values: Float[Tensor, "batch feature"]


@dataclass(frozen=True)
class Links:
    """Blocks that share no target, over nodes 0, ..., n_nodes - 1."""

    n_nodes: int
    blocks: tuple[Block, ...]

    @cached_property
    def top_first(self) -> tuple[tuple[Int[Tensor, " batch"], tuple[Block, ...]], ...]:
        """Per layer its targets and its blocks in that order, logits first: all that leads on from them came before."""
        ordered = groupby(sorted(self.blocks, key=lambda block: -block.layer), key=lambda block: block.layer)
        layers = [(*blocks,) for _, blocks in ordered]
        return tuple((torch.cat([block.targets for block in blocks]), blocks) for blocks in layers)

    @cached_property
    def incoming(self) -> Float[Tensor, " batch"]:
        """Per node the sum of the absolute links into it."""
        total = self.zeros()
        for block in self.blocks:
            total[block.targets] = block.values.abs().sum(1)
        return total

    @property
    def count(self) -> int:
        """Links other than zero."""
        return sum(int(block.values.count_nonzero()) for block in self.blocks)

    def zeros(self) -> Float[Tensor, " batch"]:
        """A number for every node."""
        return self.blocks[0].values.new_zeros(self.n_nodes)

    def join(self, more: "Links") -> "Links":
        """These links and those into other targets."""
        return Links(self.n_nodes, self.blocks + more.blocks)

    def within(self, kept: Bool[Tensor, " batch"]) -> "Links":
        """The links between the nodes that a mask keeps."""
        return Links(self.n_nodes, tuple(self._restricted(kept)))

    def _restricted(self, kept: Bool[Tensor, " batch"]) -> Iterator[Block]:
        for block in self.blocks:
            rows, columns = kept[block.targets], kept[block.sources]
            if rows.any() and columns.any():
                picked = block.values if bool(rows.all()) else block.values[rows]
                yield Block(block.layer, block.targets[rows], block.sources[columns], picked[:, columns])

    def into(self, targets: Int[Tensor, " batch"], sources: Int[Tensor, " feature"]) -> Float[Tensor, "batch feature"]:
        """The links between some sources and some targets, as a matrix."""
        row, column = (torch.full((self.n_nodes,), -1, device=targets.device) for _ in range(2))
        row[targets], column[sources] = (torch.arange(len(x), device=x.device) for x in (targets, sources))
        found = self.zeros().new_zeros(len(targets), len(sources))
        for block in self.blocks:
            rows, columns = row[block.targets], column[block.sources]
            picked = block.values[rows >= 0][:, columns >= 0]
            found[rows[rows >= 0][:, None], columns[columns >= 0]] = picked
        return found

    def pairs(self) -> tuple[Int[Tensor, " feature"], Int[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Targets, sources and weights of all links other than zero."""
        found = [(block, *block.values.nonzero(as_tuple=True)) for block in self.blocks]
        return (
            torch.cat([block.targets[rows] for block, rows, _ in found]),
            torch.cat([block.sources[columns] for block, _, columns in found]),
            torch.cat([block.values[rows, columns] for block, rows, columns in found]),
        )

    def square(self, nodes: Int[Tensor, " batch"]) -> Float[Tensor, "batch batch"]:
        """The links between some nodes as a dense matrix, for other programs: rows are targets, columns sources."""
        return self.into(nodes, nodes)
