"""What features add to the stream when their activations change, and how long it is."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ._dictionary import FeatureLayer, Neurons, Transcoder


def written(
    features: FeatureLayer, own: Sequence[int], delta: Float[Tensor, "batch pos _"], writers: Sequence[int]
) -> Iterator[tuple[str, Tensor]]:
    """Per site what these writers add when they change as a group does, as long at every token as what it adds.

    Args:
        own: the group.
        delta: new minus clean activation of its features.
        writers: as many features of the layer, in their place; the group itself for what it adds.
    """
    mine, other = list(own), list(writers)
    for site, decoder in _decoders(features):
        value = delta.to(decoder.dtype)
        added = value @ decoder[mine]
        ratio = None
        if other != mine:
            length = (value @ decoder[other]).norm(dim=-1, keepdim=True)
            ratio = added.norm(dim=-1, keepdim=True) / length.clamp(min=1e-20)
            added = (value @ decoder[other]) * ratio
        if isinstance(features, Neurons):  # enters where a neuron does, in front of any norm behind the MLP
            scaled = value if ratio is None else value * ratio
            yield site, _placed(scaled, other, features.n_features)
        else:
            yield site, added


def lengths(features: FeatureLayer) -> Float[Tensor, " feature"]:
    """Length of what each feature writes at an activation of 1, summed over the sites that it writes to."""
    return torch.stack([decoder.float().norm(dim=-1) for _, decoder in _decoders(features)]).sum(0)


def _placed(
    value: Float[Tensor, "batch pos _"], columns: Sequence[int], n_features: int
) -> Float[Tensor, "batch pos feature"]:
    whole = value.new_zeros(*value.shape[:-1], n_features)
    whole[..., list(columns)] = value
    return whole


def _decoders(features: FeatureLayer) -> Iterator[tuple[str, Float[Tensor, "feature d_model"]]]:
    """Where a layer's features write, and what."""
    if isinstance(features, Transcoder):
        yield features.writes, features.W_dec
        for later, decoder in enumerate(features.W_dec_later, start=features.layer + 1):
            yield f"mlp_out.{later}", decoder
    else:
        yield features.reads, features.W_dec
