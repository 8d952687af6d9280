"""Direct effects by one explicit sweep from the top of the local replacement model to its tokens.

The model is linear, so no autograd graph is needed (circuit-tracer back-propagates through one). What each target
listens to is a vector at one position. A block of targets that stand at the same position is carried down together:
at each layer the features, errors and biases there are read off with one product per position, the layer's own
targets join, and the transpose of its frozen attention is added. Targets at position p never see a later one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_local import FrozenBlock, LocalModel, working_type

CARRIED_NUMBERS = 2**25  # per block of targets: 128 MiB in single precision


@dataclass(frozen=True)
class Targets:
    """What is explained: values that are linear in what an MLP, or behind the last block the unembedding, reads."""

    layer: Int[Tensor, " batch"]  # number of layers for logits
    position: Int[Tensor, " batch"]
    vector: Float[Tensor, "batch d_model"]
    constant: Float[Tensor, " batch"]

    def take(self, chosen: Int[Tensor, " feature"]) -> "Targets":
        """Some of these targets, in that order."""
        return Targets(self.layer[chosen], self.position[chosen], self.vector[chosen], self.constant[chosen])


def logit_targets(local: LocalModel, vectors: Float[Tensor, "batch d_model"]) -> Targets:
    """Directions of the normed stream at the last position."""
    everywhere = torch.ones(len(vectors), dtype=torch.long, device=vectors.device)
    return Targets(
        everywhere * len(local.blocks), everywhere * (len(local.ids) - 1), vectors, torch.zeros_like(vectors[:, 0])
    )


def feature_targets(local: LocalModel, chosen: Int[Tensor, " batch"]) -> Targets:
    """Some of the active features, as targets, in that order."""
    layer, position, feature = local.layer[chosen], local.position[chosen], local.feature[chosen]
    wide = working_type(local.embedding)
    vector = local.embedding.new_zeros(len(chosen), local.embedding.shape[1])
    constant = local.embedding.new_zeros(len(chosen))
    for at_layer, block in enumerate(local.blocks):
        native = block.features.W_dec.dtype
        for at in range(len(local.ids)):
            mine = ((layer == at_layer) & (position == at)).nonzero()[:, 0]
            if len(mine):
                slopes, offsets = block.features.listens(block.mlp_in[at].to(native), feature[mine])
                vector[mine], constant[mine] = wide(slopes), wide(offsets)
    return Targets(layer, position, vector, constant)


def direct_effects(
    local: LocalModel, targets: Targets
) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, " batch"]]:
    """What each source adds to each target, and what constants add.

    Returns:
        One row per target and one column per source (see `LocalModel`), and per target what biases and positions add:
        a row's sum plus that is the target's value.
    """
    effects = local.embedding.new_zeros(len(targets.layer), local.n_sources)
    constants = targets.constant.clone()
    for position in targets.position.unique().tolist():
        members = (targets.position == position).nonzero()[:, 0]
        top_first = members[torch.sort(targets.layer[members], descending=True, stable=True).indices]
        room = max(1, CARRIED_NUMBERS // ((position + 1) * targets.vector.shape[1]))
        for some in top_first.split(room):
            effects[some], constants[some] = _sweep(local, targets.take(some), position)
    return effects, constants


def _sweep(
    local: LocalModel, targets: Targets, position: int
) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, " batch"]]:
    """The block of targets at one position, sorted from the top layer down."""
    n_layers, n_pos = len(local.blocks), len(local.ids)
    effects = local.embedding.new_zeros(len(targets.layer), local.n_sources)
    constants = targets.constant.clone()
    grad = local.embedding.new_zeros(len(targets.layer), position + 1, targets.vector.shape[1])
    errors, features = local.n_active + n_layers * n_pos, local.n_active
    joined = 0
    for layer in reversed(range(n_layers + 1)):
        carried = grad[:joined]
        if layer < n_layers:
            block = local.blocks[layer]
            features -= len(block.position)
            errors -= n_pos
            _read_features(block, carried, effects[:joined, features : features + len(block.position)])
            effects[:joined, errors : errors + position + 1] = (carried * block.error[: position + 1]).sum(-1)
            constants[:joined] += (carried @ working_type(carried)(block.features.b_dec)).sum(-1)
            if local.parallel:  # attention reads what the MLP reads, so what listens to the MLP does not pass it
                _pull_through_attention(block, carried, constants[:joined])
        newcomers = int((targets.layer == layer).sum())
        fresh = slice(joined, joined + newcomers)
        norm = local.final_norm if layer == n_layers else local.blocks[layer].norm2
        grad[fresh, position] = norm.pull(targets.vector[fresh], position)
        constants[fresh] += targets.vector[fresh] @ norm.bias
        joined += newcomers
        if layer < n_layers and not local.parallel:
            _pull_through_attention(local.blocks[layer], grad[:joined], constants[:joined])
    assert joined == len(grad), f"{len(grad) - joined} targets joined at no layer"
    effects[:, -n_pos:][:, : position + 1] = (grad * local.embedding[: position + 1]).sum(-1)
    constants += (grad * local.offset[: position + 1]).sum((1, 2))
    return effects, constants


def _read_features(
    block: FrozenBlock, grad: Float[Tensor, "batch pos d_model"], into: Float[Tensor, "batch feature"]
) -> None:
    """Write the direct effects of one layer's features, position by position: they are sorted that way."""
    start = 0
    for position, count in enumerate(torch.bincount(block.position, minlength=grad.shape[1])[: grad.shape[1]].tolist()):
        here = slice(start, start + count)
        into[:, here] = grad[:, position] @ block.writes(here).T
        start += count


def _pull_through_attention(
    block: FrozenBlock, grad: Float[Tensor, "batch pos d_model"], constants: Float[Tensor, " batch"]
) -> None:
    """In place: what listens to the stream behind attention listens to the stream before it too, and to its biases."""
    constants += (grad * block.attention.constant[: grad.shape[1]]).sum((1, 2))
    grad += block.attention.pull(grad)
