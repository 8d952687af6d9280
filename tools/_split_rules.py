"""How a value in two parts, relevant and irrelevant, passes what is linear and what is not.

The rules of contextual decomposition (Hsu et al. 2024, after Murdoch, Liu, Yu 2018). With r and i the two parts:

| what they pass | relevant | irrelevant |
| --- | --- | --- |
| a matrix W | W r | W i |
| a constant c: a bias, or what a curve makes of nothing | c |r| / (|r| + |i|) | the rest |
| a curve f, `difference` | f(r + i) - f(i) | f(i) |
| a curve f, `shapley` | half of f(r) + f(r + i) - f(i) | half of f(i) + f(r + i) - f(r) |
| a norm, `frozen` | r less its own mean, over the denominator of r + i | the same of i |
| a norm, `live` | as any other curve | as any other curve |

Nothing relevant stays exactly nothing, and the two parts always add up to the model's own value.

With norms and attention live, differences, and constants counted as irrelevant, the irrelevant part is the model run
without what is relevant: then contextual decomposition is activation patching.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ._block_parts import Norm

Order = Literal["difference", "shapley"]


@dataclass(frozen=True)
class Parts:
    """A value as the sum of what is relevant and what is not."""

    rel: Float[Tensor, "*any"]
    irrel: Float[Tensor, "*any"]

    @property
    def whole(self) -> Float[Tensor, "*any"]:
        """The value."""
        return self.rel + self.irrel

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.rel + other.rel, self.irrel + other.irrel)

    def through(self, linear: Callable[[Tensor], Tensor]) -> "Parts":
        """Both parts through one linear map."""
        return Parts(linear(self.rel), linear(self.irrel))

    @classmethod
    def of(cls, relevant: Float[Tensor, "*any"], value: Float[Tensor, "*any"]) -> "Parts":
        """A value of which this much is relevant."""
        return cls(relevant, value - relevant)


@dataclass(frozen=True)
class Rules:
    """How parts pass what is not linear."""

    live_norms: bool
    live_attention: bool
    order: Order
    share_constants: bool  # else they are irrelevant
    absorb: bool  # where the parts have opposite signs, the larger takes the smaller

    def constant(self, parts: Parts, constant: Float[Tensor, "*any"]) -> Parts:
        """The parts with a constant that belongs to neither; it may lack the first axes."""
        if not constant.any():
            return parts
        if not self.share_constants:
            return Parts(parts.rel, parts.irrel + constant)
        relevant, rest = parts.rel.abs(), parts.irrel.abs()
        both = relevant + rest
        share = torch.where(both > 0, relevant / both.clamp(min=torch.finfo(both.dtype).tiny), 0)
        mine = constant * share
        # The whole of it where nothing else is there: subtracting would leave a rounding error instead of nothing.
        others = torch.where(rest > 0, constant - mine, torch.where(both > 0, 0, constant))
        return Parts(parts.rel + mine, parts.irrel + others)

    def curve(self, f: Callable[..., Tensor], *inputs: Parts) -> Parts:
        """Parts of what a function that is not linear makes of some values; of nothing it makes a constant."""
        nothing = f(*(torch.zeros_like(one.rel[:1]) for one in inputs))
        together = f(*(one.whole for one in inputs))
        alone = f(*(one.irrel for one in inputs))
        rel, irrel = together - alone, alone - nothing
        if self.order == "shapley":
            mine = f(*(one.rel for one in inputs))
            rel, irrel = (mine - nothing + rel) / 2, (irrel + together - mine) / 2
        return self.constant(Parts(rel, irrel), nothing)

    def norm(self, norm: Norm | None, parts: Parts) -> Parts:
        """Parts of a norm's output; as they are where there is no norm."""
        if norm is None:
            return parts
        scale = norm.scale(parts.whole)
        weight = norm.weight.to(scale.dtype)
        if self.live_norms:
            out = self.curve(lambda x: norm.centre(x) / norm.scale(x) * weight, parts)
        else:
            out = parts.through(lambda x: norm.centre(x) / scale * weight)
        return out if norm.bias is None else self.constant(out, norm.bias.to(scale.dtype))

    def settled(self, parts: Parts) -> Parts:
        """Parts of opposite signs made one, where that is asked for."""
        if not self.absorb:
            return parts
        whole, against = parts.whole, parts.rel * parts.irrel < 0
        larger = parts.rel.abs() >= parts.irrel.abs()
        rel = torch.where(against, torch.where(larger, whole, 0), parts.rel)
        irrel = torch.where(against, torch.where(larger, 0, whole), parts.irrel)
        return Parts(rel, irrel)
