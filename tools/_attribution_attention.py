"""Attention with its pattern held: an affine map from the stream at all keys to the stream at all queries.

The norm in front and, where a family has one, the norm behind are folded in: their weights and centring into the
matrices, their denominators into the pattern. Heads that share values (grouped queries) share one column block of W_V.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import FrozenNorm, working_type
from ._block_parts import BlockWeights


@dataclass(frozen=True)
class FrozenAttention:
    """One block's attention as it was on one prompt."""

    W_V: Float[Tensor, "d_model _"]  # groups side by side
    W_O: Float[Tensor, "_ d_model"]  # heads side by side, those of one group together
    pattern: Float[Tensor, "_ _ pos pos"]  # group, head of the group, query, key
    constant: Float[Tensor, "pos d_model"]

    @classmethod
    def at(
        cls,
        weights: BlockWeights,
        resid: Float[Tensor, "pos d_model"],
        pattern: Float[Tensor, "head pos pos"],
        n_groups: int,
    ) -> "FrozenAttention":
        """The attention of one block as it was on this stream."""
        wide = working_type(resid)
        norm, looks = FrozenNorm.at(weights.norm1, resid), wide(pattern)
        shared_by = len(looks) // n_groups
        W_V, b_V = wide(weights.W_V[::shared_by]), wide(weights.b_V[::shared_by])
        W_O = rearrange(wide(weights.W_O), "head dim model -> (head dim) model")
        grouped = rearrange(looks, "(group head) query key -> group head query key", group=n_groups)
        made = cls(
            W_V=rearrange(norm.pull(W_V.mT), "group dim model -> model (group dim)"),
            W_O=W_O,
            pattern=grouped / norm.scale,
            constant=torch.zeros_like(wide(resid)),
        )
        biases = (norm.bias @ W_V + b_V).flatten()
        constant = _mixed(biases.expand(len(resid), -1)[None], grouped)[0] @ W_O + wide(weights.b_O)
        if weights.post_attention is None:
            return cls(made.W_V, W_O, made.pattern, constant)
        behind = FrozenNorm.at(weights.post_attention, made(wide(resid)[None])[0] + constant)
        return cls(made.W_V, behind.linear(W_O), made.pattern / behind.scale[:, None], behind(constant))

    @property
    def n_groups(self) -> int:
        """Groups of heads with values of their own (count)."""
        return self.pattern.shape[0]

    def __call__(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        return self.linear(resid) + self.constant

    def linear(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The part that what is written before passes through."""
        return _mixed(resid @ self.W_V, self.pattern) @ self.W_O


def _mixed(values: Float[Tensor, "batch pos _"], pattern: Float[Tensor, "_ _ pos pos"]) -> Float[Tensor, "batch pos _"]:
    """Values at keys, as all heads side by side see them at queries."""
    grouped = rearrange(values, "batch key (group dim) -> batch group 1 key dim", group=len(pattern))
    return rearrange(pattern @ grouped, "batch group head query dim -> batch query (group head dim)")
