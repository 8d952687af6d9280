"""The parts of one block under our names: its norms, what is linear in it, and where to hook it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


def wide(x: Tensor) -> Tensor:
    """In the element type that Hugging Face computes norms in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class Norm:
    """LayerNorm (`centred`) or RMSNorm, split into the part that depends on the input and the part that does not."""

    weight: Float[Tensor, " d_model"]  # what is multiplied with: 1 + w where a family stores w
    bias: Float[Tensor, " d_model"] | None
    eps: float
    centred: bool

    def scale(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any 1"]:
        """The denominator, in single precision at least: what an attribution graph freezes."""
        return (self.centre(wide(x)).pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def centre(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The input less its mean, or as it is for RMSNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def __call__(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        scaled = self.centre(wide(x)) / self.scale(x) * self.weight
        return (scaled if self.bias is None else scaled + self.bias).to(x.dtype)


@dataclass(frozen=True)
class BlockWeights:
    """The parts of one block that are linear once patterns and norm scales are known."""

    norm1: Norm
    norm2: Norm
    W_V: Float[Tensor, "head d_model d_head"]
    b_V: Float[Tensor, "head d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_O: Float[Tensor, " d_model"]
    W_down: Float[Tensor, "d_mlp d_model"]
    b_down: Float[Tensor, " d_model"]
    post_attention: Norm | None = None  # of attention's output, before it is added to the stream
    post_mlp: Norm | None = None  # of the MLP's output, before it is added to the stream


@dataclass(frozen=True)
class QueryKeyWeights:
    """How the heads of one block make queries and keys; heads that share their keys have a copy each."""

    W_Q: Float[Tensor, "head d_model d_head"]
    b_Q: Float[Tensor, "head d_head"]
    W_K: Float[Tensor, "head d_model d_head"]
    b_K: Float[Tensor, "head d_head"]
    scaling: float  # what scores are multiplied with
    query_norm: Norm | None = None  # over each head
    key_norm: Norm | None = None
    softcap: float | None = None  # c where scores become c * tanh(score / c)


@dataclass(frozen=True)
class HeadColumns:
    """Which columns of a module's output are one head's query, key or value."""

    module: nn.Module
    first: int  # column where head 0 begins
    stride: int  # columns from one head to the next

    def of(self, head: int, d_head: int) -> slice:
        """The columns of one head."""
        start = self.first + head * self.stride
        return slice(start, start + d_head)


@dataclass(frozen=True)
class BlockModules:
    """Where to hook one block."""

    block: nn.Module
    norm2: nn.Module
    attention: nn.Module
    attention_output: nn.Module  # takes all heads side by side: [batch, pos, head * d_head]
    mlp: nn.Module
    mlp_output: nn.Module  # takes the neurons: [batch, pos, d_mlp]
    query: HeadColumns
    key: HeadColumns
    value: HeadColumns
    post_attention: nn.Module | None = None
    post_mlp: nn.Module | None = None

    @property
    def attention_adds(self) -> nn.Module:
        """The module whose output, or the first of its outputs, attention adds to the stream."""
        return self.attention if self.post_attention is None else self.post_attention

    @property
    def mlp_adds(self) -> nn.Module:
        """The module whose output the MLP adds to the stream."""
        return self.mlp if self.post_mlp is None else self.post_mlp


def zeros_if_none(bias: Tensor | None, like: Tensor) -> Tensor:
    """A bias, or zeros of the given tensor's last axis where the model has none."""
    return torch.zeros(like.shape[-1], dtype=like.dtype, device=like.device) if bias is None else bias


def soft_capped(logits: Float[Tensor, "*any vocab"], cap: float | None) -> Float[Tensor, "*any vocab"]:
    """The model's logits from what its unembedding gives: monotone, and never beyond the cap where there is one."""
    return logits if cap is None else (logits / cap).tanh() * cap
