"""A norm whose denominator is a constant of the prompt, hence an affine map."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._block_parts import Norm


def working_type(like: Tensor) -> Callable[[Tensor], Tensor]:
    """Casts to the element type that links are computed in: that of the subject, single precision at least."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return lambda tensor: tensor.to(dtype)


@dataclass(frozen=True)
class FrozenNorm:
    """LayerNorm or RMSNorm with its denominator held."""

    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    scale: Float[Tensor, " pos"]
    centred: bool

    @classmethod
    def at(cls, norm: Norm, resid: Float[Tensor, "pos d_model"]) -> "FrozenNorm":
        """The norm as it was on this stream."""
        wide = working_type(resid)
        weight = wide(norm.weight)
        bias = torch.zeros_like(weight) if norm.bias is None else wide(norm.bias)
        return cls(weight, bias, wide(norm.scale(resid))[:, 0], norm.centred)

    def centre(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """Less its mean, or as it is for RMSNorm. Symmetric, so its transpose is itself."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def __call__(self, resid: Float[Tensor, "*any pos d_model"]) -> Float[Tensor, "*any pos d_model"]:
        return self.linear(resid) / self.scale[:, None] + self.bias

    def linear(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The linear part, before the denominator."""
        return self.centre(x) * self.weight

    def pull(self, vector: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The transpose of the linear part: what listens to the norm's output, as what listens to its input."""
        return self.centre(vector * self.weight)
