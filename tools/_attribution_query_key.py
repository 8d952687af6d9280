"""How heads decide where to look: queries and keys as maps of the stream, with the rotations and masks of one prompt.

The score of a query position q and a key position k, before any cap, is

    scaling * (R_q n(x_q W_Q + b_Q)) . (R_k n(x_k W_K + b_K))

with x the stream behind the block's first norm, n the norm of queries and keys (Qwen 3, Gemma 3; nothing elsewhere)
and R the rotation of a position (nothing in GPT-2, a part of each head in NeoX). Rotations and masks are caught as the
model hands them to its attention modules, so scaled frequencies and sliding windows need no words here. What is said
here is proved whenever it is used: the pattern rebuilt from these parts must be the model's, or the model is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ._attribution_norm import working_type
from ._base import ToolError
from ._block_parts import Norm, soft_capped
from ._proof import TOLERANCE
from ._reader import Tokens
from ._subject import Run, Subject


@dataclass(frozen=True)
class Projection:
    """Queries or keys of one block's heads; heads that share their keys have a copy each."""

    W: Float[Tensor, "head d_model d_head"]
    bias: Float[Tensor, "head d_head"]
    norm: Norm | None  # over each head

    @property
    def gain(self) -> Float[Tensor, " d_head"]:
        """What the norm multiplies with."""
        return torch.ones_like(self.bias[0]) if self.norm is None else self.norm.weight.to(self.bias)

    def __call__(self, normed: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch head pos d_head"]:
        """Before the norm and the rotation."""
        return einsum(normed, self.W, "batch pos model, head model dim -> batch head pos dim") + self.bias[:, None]

    def scale(self, raw: Float[Tensor, "batch head pos d_head"]) -> Float[Tensor, "batch head pos 1"]:
        """Denominators of the norm."""
        return torch.ones_like(raw[..., :1]) if self.norm is None else self.norm.scale(raw)


@dataclass(frozen=True)
class Rotation:
    """What positions do to queries and keys: the first dimensions of a head turn, first half with second half."""

    cos: Float[Tensor, "pos _"]
    sin: Float[Tensor, "pos _"]

    def __call__(self, x: Float[Tensor, "*any pos d_head"]) -> Float[Tensor, "*any pos d_head"]:
        width = self.cos.shape[1]
        first, second, stays = x[..., : width // 2], x[..., width // 2 : width], x[..., width:]
        turned = x[..., :width] * self.cos + torch.cat([-second, first], -1) * self.sin
        return torch.cat([turned, stays], -1)

    def at(self, position: int) -> "Rotation":
        """Of one position alone."""
        here = slice(position, position + 1)
        return Rotation(self.cos[here], self.sin[here])


@dataclass(frozen=True)
class Scales:
    """Denominators of the norms of queries and keys."""

    query: Float[Tensor, "batch head pos 1"]
    key: Float[Tensor, "batch head pos 1"]


@dataclass(frozen=True)
class QueryKey:
    """Where the heads of one block look, on one prompt."""

    query: Projection
    key: Projection
    rotation: Rotation
    mask: Float[Tensor, "pos pos"]  # added to scores: 0, or very low where a query may not look
    scaling: float
    softcap: float | None  # c where scores become c * tanh(score / c)

    @property
    def allowed(self) -> Bool[Tensor, "pos pos"]:
        """Which keys each query may look at."""
        return self.mask > torch.finfo(self.mask.dtype).min / 2

    def scales(self, normed: Float[Tensor, "batch pos d_model"]) -> Scales:
        """Denominators as they are for this stream."""
        return Scales(self.query.scale(self.query(normed)), self.key.scale(self.key(normed)))

    def scores(
        self, normed: Float[Tensor, "batch pos d_model"], scales: Scales | None = None
    ) -> Float[Tensor, "batch head pos pos"]:
        """Before cap and mask; denominators are those of this stream unless given."""
        held = scales or self.scales(normed)
        q, k = (
            self.rotation(part(normed) / scale * part.gain)
            for part, scale in ((self.query, held.query), (self.key, held.key))
        )
        return einsum(q, k, "batch head query dim, batch head key dim -> batch head query key") * self.scaling

    def capped(self, scores: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """What the model makes of scores before it masks them."""
        return soft_capped(scores, self.softcap)

    def pattern(
        self, normed: Float[Tensor, "batch pos d_model"], scales: Scales | None = None
    ) -> Float[Tensor, "batch head pos pos"]:
        """Attention probabilities."""
        return (self.capped(self.scores(normed, scales)) + self.mask).softmax(-1)


def run_with_looks(subject: Subject, tokens: Tokens, read: Sequence[str] = ()) -> tuple[Run, tuple[QueryKey, ...]]:
    """Run one prompt, reading these sites, and find how the heads of every block came to look where they did.

    Raises:
        ToolError: a family whose queries and keys are not known, or a pattern that its parts do not rebuild.
    """
    layers = range(subject.shape.n_layers)
    proof = [f"{kind}.{layer}" for layer in layers for kind in ("resid_pre", "pattern")]
    with _caught(subject) as handed:
        run = subject.run(tokens, read=[*read, *proof])
    looks = tuple(_query_key(subject, layer, handed[layer]) for layer in layers)
    for layer, look in enumerate(looks):
        _prove(subject, layer, look, run.sites[f"resid_pre.{layer}"], run.sites[f"pattern.{layer}"])
    return run, looks


@contextmanager
def _caught(subject: Subject) -> Iterator[dict[int, dict[str, Any]]]:
    """What each attention module is handed by name."""
    handed: dict[int, dict[str, Any]] = {}
    with ExitStack() as stack:
        for layer, modules in enumerate(subject.architecture.blocks()):

            def keep(_: nn.Module, __: Any, kwargs: dict[str, Any], layer: int = layer) -> None:
                handed[layer] = kwargs

            handle = modules.attention.register_forward_pre_hook(keep, with_kwargs=True)
            stack.callback(handle.remove)
        yield handed


def _query_key(subject: Subject, layer: int, handed: dict[str, Any]) -> QueryKey:
    weights = subject.architecture.looks(layer)
    query = _projection(weights.W_Q, weights.b_Q, weights.query_norm)
    key = _projection(weights.W_K, weights.b_K, weights.key_norm)
    wide = working_type(query.W)
    mask, turns = handed["attention_mask"], handed.get("position_embeddings")
    assert mask is not None, f"{subject.name} was not run with eager attention: layer {layer} got no mask"
    nothing = query.W.new_zeros(mask.shape[-1], 0)
    cos, sin = (nothing, nothing) if turns is None else (part[0] for part in turns)
    return QueryKey(
        query=query,
        key=key,
        rotation=Rotation(wide(cos), wide(sin)),
        mask=wide(mask[0, 0]),
        scaling=weights.scaling,
        softcap=weights.softcap,
    )


def _projection(
    W: Float[Tensor, "head d_model d_head"], bias: Float[Tensor, "head d_head"], norm: Norm | None
) -> Projection:
    wide = working_type(W)
    return Projection(wide(W), wide(bias), norm)


def _prove(subject: Subject, layer: int, look: QueryKey, resid: Tensor, pattern: Tensor) -> None:
    """Refuse a model whose pattern is not what these parts make of its stream."""
    wide = working_type(resid)
    error = (look.pattern(wide(subject.weights(layer).norm1(resid))) - wide(pattern)).abs().max().item()
    allowed = TOLERANCE[subject.model.dtype]
    if not error <= allowed:
        raise ToolError(
            f"Where the heads of layer {layer} look is not explained by their queries and keys: a pattern rebuilt from "
            f"them differs by {error:.2g} (allowed {allowed:.0e}).",
            mend="Its attention is not what is known of its family; use a plain checkpoint.",
        )
