"""Features that write nearly what a direction is: the control that tells a concept from its neighbourhood."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._base import ToolError
from ._dictionary import Dictionary

SAME = 1 - 1e-6  # a cosine above it is the direction itself


@dataclass(frozen=True)
class Neighbour:
    """A feature near a direction."""

    name: str  # LAYER/FEATURE
    cosine: float
    writes: Float[Tensor, " d_model"]  # length 1


def refuse_narrow(dictionary: Dictionary, width: int) -> None:
    """
    Raises:
        ToolError: features that write vectors of another width than the site's.
    """
    for layer in dictionary.layers:
        if (written := layer.W_dec.shape[-1]) != width:
            raise ToolError(
                f"Features of `{dictionary.name}` write {written} numbers, and the site has {width}: none is its "
                "neighbour.",
                mend="Steer where the stream is: resid_pre, resid_mid, resid_post, attn_out or mlp_out.",
            )


def neighbours_of(dictionary: Dictionary, direction: Float[Tensor, " d_model"], n: int) -> list[Neighbour]:
    """The features whose write vectors point most nearly where the direction does, the direction itself left out."""
    found: list[Neighbour] = []
    for layer in dictionary.layers:
        W_dec = layer.W_dec.detach().float()
        units = W_dec / W_dec.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        cosines = units @ direction.to(units)
        best = cosines.masked_fill(cosines > SAME, -1).topk(min(n, len(cosines))).indices.tolist()
        found += [Neighbour(f"{layer.layer}/{index}", cosines[index].item(), units[index]) for index in best]
    return sorted(found, key=lambda one: -one.cosine)[:n]
