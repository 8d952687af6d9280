"""What a subject did on some prompts, and the parts that its values are split by."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import working_type
from ._attribution_query_key import QueryKey, run_with_looks
from ._base import ToolError
from ._block_parts import BlockWeights
from ._circuit_graph import START
from ._open_mlp import OpenMlp
from ._reader import Tokens
from ._split_rules import Parts, Rules
from ._subject import Subject


@dataclass(frozen=True)
class SplitBlock:
    """One block, in the type that parts are computed in."""

    weights: BlockWeights
    W_V: Float[Tensor, "head d_model d_head"]
    b_V: Float[Tensor, "head d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_O: Float[Tensor, " d_model"]
    W_down: Float[Tensor, "d_mlp d_model"]
    b_down: Float[Tensor, " d_model"]
    look: QueryKey
    mlp: OpenMlp


@dataclass(frozen=True)
class SplitPrompts:
    """Prompts with the values of all their sites [batch, pos, ...]."""

    subject: Subject
    tokens: Tokens
    blocks: tuple[SplitBlock, ...]
    sites: Mapping[str, Tensor]
    heads: Mapping[int, Float[Tensor, "batch head pos d_head"]]  # by layer

    @property
    def end(self) -> Float[Tensor, "batch pos d_model"]:
        """The stream behind the last block."""
        return self.sites[f"resid_post.{len(self.blocks) - 1}"]

    def read_by(self, slot: str) -> Float[Tensor, "batch pos d_model"]:
        """The stream that a slot reads, in front of its norm."""
        kind, *numbers = slot.split(".")
        if kind == "logits":
            return self.end
        before = self.sites[f"resid_pre.{numbers[0]}"]
        if kind != "mlp_in" or self.subject.shape.parallel:
            return before
        return before + self.sites[f"attn_out.{numbers[0]}"]

    def value(self, place: str) -> Float[Tensor, "batch pos _"]:
        """What a node writes or a slot reads; of the start the stream before block 0."""
        kind, *numbers = place.split(".")
        if kind == START:
            return self.sites["resid_pre.0"]
        if kind not in ("head", "q", "k", "v"):
            return self.sites[place]
        layer, head = map(int, numbers)
        if kind == "head":
            return self.heads[layer][:, head]
        block = self.blocks[layer]
        head = head if kind == "q" else head * self.subject.shared_by
        made = {"q": (block.look.query.W, block.look.query.bias), "k": (block.look.key.W, block.look.key.bias)}
        W, bias = made.get(kind, (block.W_V, block.b_V))
        return block.weights.norm1(self.sites[f"resid_pre.{layer}"]) @ W[head] + bias[head]

    def together(self, layer: int) -> Float[Tensor, "batch pos d_model"]:
        """What the heads of one block write together, in front of a norm behind them."""
        block = self.blocks[layer]
        return einsum(self.heads[layer], block.W_O, "batch head pos dim, head dim model -> batch pos model") + block.b_O

    def added(
        self, rules: Rules, node: str, pair: int, relevant: Float[Tensor, "pos width"]
    ) -> Float[Tensor, "pos d_model"]:
        """What this much of a node's value adds to the stream."""
        if not node.startswith("head"):
            return relevant
        layer, head = map(int, node.split(".")[1:])
        block = self.blocks[layer]
        written = relevant @ block.W_O[head]
        if block.weights.post_attention is None:
            return written
        parts = Parts.of(written, self.together(layer)[pair])
        return rules.norm(block.weights.post_attention, Parts(parts.rel[None], parts.irrel[None])).rel[0]


def run_to_split(subject: Subject, tokens: Tokens) -> SplitPrompts:
    """Run prompts once and keep everything.

    Raises:
        ToolError: how the model makes queries, keys or neurons is not known, or numbers that are not finite.
    """
    shape = subject.shape
    layers = range(shape.n_layers)
    kinds = ("resid_pre", "attn_out", "mlp_in", "mlp_act", "mlp_out", "pattern")
    names = [f"{kind}.{layer}" for layer in layers for kind in kinds]
    names += [f"head.{layer}.{head}" for layer in layers for head in range(shape.n_heads)]
    run, looks = run_with_looks(subject, tokens, [*names, f"resid_post.{layers[-1]}"])
    wide = working_type(run.sites["resid_pre.0"])
    sites = {name: wide(value) for name, value in run.sites.items()}
    sites["logits"] = wide(run.last_logits)
    for name, value in sites.items():
        if not value.isfinite().all():
            raise ToolError(
                f"`{name}` of {subject.name} is not finite on a prompt.",
                mend="Check the weights for NaN, or load the model in float32.",
            )
    blocks: list[SplitBlock] = []
    for layer in layers:
        mlp = OpenMlp.of(subject, layer)
        mlp.prove(subject, layer, sites[f"mlp_in.{layer}"], sites[f"mlp_act.{layer}"])
        weights = subject.weights(layer)
        value, out, down = (
            (wide(W), wide(b))
            for W, b in (
                (weights.W_V, weights.b_V),
                (weights.W_O, weights.b_O),
                (weights.W_down, weights.b_down),
            )
        )
        blocks.append(SplitBlock(weights, *value, *out, *down, looks[layer], mlp))
    heads = {
        layer: torch.stack([sites.pop(f"head.{layer}.{head}") for head in range(shape.n_heads)], 1) for layer in layers
    }
    return SplitPrompts(subject, tokens, tuple(blocks), sites, heads)
