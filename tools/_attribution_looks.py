"""Why a head looked where it did: the score of a query and a key as a sum over pairs of what wrote them.

With norm denominators held, those of queries and keys too, a query and a key are affine in the stream, and the stream
in front of a block is the sum of what features, errors and tokens wrote, carried there by the frozen attention of lower
blocks, beside constants. So a score is a sum over pairs: a source of the query times a source of the key. After Kamath
et al. 2025, "Tracing Attention Computation Through Feature Interactions".
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_local import LocalModel
from ._attribution_nodes import Sources
from ._attribution_norm import FrozenNorm
from ._attribution_paths import Written, arriving, streams
from ._attribution_query_key import Projection, QueryKey

ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Look:
    """One head at one query and one key, or at one key rather than another, by what wrote them.

    Rows are sources by their number in the engine; the last one is what biases and positions add.
    """

    query: Float[Tensor, "_ d_head"]
    key: Float[Tensor, "_ d_head"]

    @property
    def total(self) -> float:
        """The sum over all pairs."""
        return float(self.query.double().sum(0) @ self.key.double().sum(0))

    @property
    def by_query(self) -> Float[Tensor, " _"]:
        """Per source of the query, its part over all sources of the key."""
        return self.query @ self.key.sum(0)

    @property
    def by_key(self) -> Float[Tensor, " _"]:
        """Per source of the key, its part over all sources of the query."""
        return self.key @ self.query.sum(0)

    def strongest(self, count: int) -> tuple[Int[Tensor, "_ 2"], Float[Tensor, " _"]]:
        """The pairs of largest size, as rows of query and key, and their parts; zeros left out."""
        # No product is larger than the product of two lengths, so short ones need not be multiplied.
        query, key = (side.norm(dim=-1).sort(descending=True) for side in (self.query, self.key))
        best, parts = self.query.new_zeros(0, 2, dtype=torch.long), self.query.new_zeros(0)
        for start in range(0, len(self.query), ROWS_AT_ONCE):
            least = parts[-1].abs() if len(parts) == count else 0
            columns = key.indices[key.values * query.values[start] > least]
            rows = query.indices[start : start + ROWS_AT_ONCE]
            if not len(columns):
                break
            block = self.query[rows] @ self.key[columns].T
            found = block.abs().flatten().topk(min(count, block.numel())).indices
            pairs = torch.stack([rows[found // len(columns)], columns[found % len(columns)]], 1)
            best, parts = torch.cat([best, pairs]), torch.cat([parts, block.flatten()[found]])
            order = parts.abs().sort(descending=True, stable=True).indices[:count]
            best, parts = best[order], parts[order]
        return best[parts != 0], parts[parts != 0]


def look_at(
    local: LocalModel,
    look: QueryKey,
    norm: FrozenNorm,
    normed: Float[Tensor, "batch pos d_model"],
    where: tuple[int, int],
    query: int,
    key: int,
    against: int | None = None,
) -> Look:
    """Take one score apart, or one less another of the same query.

    Args:
        norm: The block's first norm, as it was on the prompt.
        normed: The stream behind it, one row.
        where: Layer and head.
    """
    layer, head = where
    scales, sources = look.scales(normed), Sources(local)
    none = Written(torch.zeros_like(local.embedding), torch.zeros_like(local.written()))
    constant = streams(local, none, constants=True)[layer]

    def side(part: Projection, scale: Float[Tensor, "head pos 1"], at: int) -> Float[Tensor, "_ d_head"]:
        by = part.gain / scale[head, at]
        turn = look.rotation.at(at)
        reads = turn((part.W[head] * by)[:, None])[:, 0]
        listens = norm.pull(reads.T) / norm.scale[at]
        fixed = turn((part.bias[head] * by)[None])[0] + norm.bias @ reads + listens @ constant[at]
        return torch.cat([arriving(local, sources, listens, layer, at).T, fixed[None]])

    keys = side(look.key, scales.key[0], key)
    if against is not None:
        keys = keys - side(look.key, scales.key[0], against)
    return Look(side(look.query, scales.query[0], query) * look.scaling, keys)
