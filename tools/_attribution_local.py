"""The local replacement model of one prompt: the subject with everything that is not linear held as the prompt had it.

After Ameisen et al. 2025, "Circuit Tracing". Attention patterns and norm denominators are constants of the prompt, and
each MLP is its dictionary's features, beside the dictionary's linear skip where it has one, plus an error node that
holds what they miss. What remains is linear from what features, errors and tokens write to what features and logits
read. The mean-centring of LayerNorm is linear and stays. Positions and biases are constants, no nodes.

Deviation from circuit-tracer: the first token keeps its features and errors, because what a node reads from them would
else be unexplained. `skip_first` leaves them out as circuit-tracer does: dictionaries that never saw the first token
read nonsense there.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_attention import FrozenAttention
from ._attribution_norm import FrozenNorm, working_type
from ._base import ToolError
from ._block_parts import BlockWeights
from ._dictionary import NEURONS, Dictionary, FeatureLayer, Transcoder
from ._stand_ins import standing_in
from ._subject import Subject


@dataclass(frozen=True)
class FrozenBlock:
    """One block: its frozen maps, what its MLP wrote, and the features active in it, sorted by position, then index."""

    attention: FrozenAttention
    norm2: FrozenNorm
    features: FeatureLayer
    mlp_in: Float[Tensor, "pos d_model"]
    error: Float[Tensor, "pos d_model"]
    constant: Float[Tensor, "pos d_model"]  # what the MLP writes beside features, errors and skip
    skip: Float[Tensor, "d_model d_model"] | None  # of what the MLP reads
    position: Int[Tensor, " feature"]
    feature: Int[Tensor, " feature"]
    activation: Float[Tensor, " feature"]
    strength: Float[
        Tensor, " feature"
    ]  # the activation over the denominator of the norm behind the MLP, if there is one

    def writes(self, later: int = 0) -> Float[Tensor, "feature d_model"]:
        """What each active feature adds to the stream behind this MLP, or behind that many later ones."""
        decoder = self.features.W_dec if later == 0 else self.features.W_dec_later[later - 1]
        return working_type(decoder)(decoder[self.feature]) * self.strength[:, None]


@dataclass(frozen=True)
class LocalModel:
    """A prompt's local replacement model."""

    ids: tuple[int, ...]
    parallel: bool
    cross_layer: bool
    blocks: tuple[FrozenBlock, ...]
    final_norm: FrozenNorm
    W_U: Float[Tensor, "d_model vocab"]
    embedding: Float[Tensor, "pos d_model"]
    offset: Float[Tensor, "pos d_model"]  # learned positions, or zero
    probabilities: Float[Tensor, " vocab"]  # of each token after the prompt

    @property
    def skips(self) -> bool:
        """Whether anything passes an MLP beside its features."""
        return any(block.skip is not None for block in self.blocks)

    @cached_property
    def between(self) -> tuple[Float[Tensor, "_ _"], ...]:
        """Per layer but the last: what its heads write, as the values of the next layer's attention read it."""
        return tuple(lower.attention.W_O @ upper.attention.W_V for lower, upper in pairwise(self.blocks))

    @property
    def layer(self) -> Int[Tensor, " feature"]:
        """Layer of each active feature."""
        return torch.cat([torch.full_like(block.position, layer) for layer, block in enumerate(self.blocks)])

    @property
    def position(self) -> Int[Tensor, " feature"]:
        """Position of each active feature."""
        return torch.cat([block.position for block in self.blocks])

    @property
    def feature(self) -> Int[Tensor, " feature"]:
        """Index of each active feature in its layer's dictionary."""
        return torch.cat([block.feature for block in self.blocks])

    @property
    def activation(self) -> Float[Tensor, " feature"]:
        """Activation of each active feature."""
        return torch.cat([block.activation for block in self.blocks])

    @property
    def n_active(self) -> int:
        """Active features (count)."""
        return sum(len(block.position) for block in self.blocks)

    @property
    def n_sources(self) -> int:
        """Active features, errors and tokens (count)."""
        return self.n_active + (len(self.blocks) + 1) * len(self.ids)

    def written(self) -> Float[Tensor, "layer pos d_model"]:
        """What features and errors together write behind each MLP."""
        total = torch.stack([block.error for block in self.blocks])
        for source, block in enumerate(self.blocks):
            for later in range(len(self.blocks) - source if self.cross_layer else 1):
                total[source + later].index_add_(0, block.position, block.writes(later))
        return total


def local_model(subject: Subject, dictionary: Dictionary, prompt: str, skip_first: bool = False) -> LocalModel:
    """Run a prompt once and hold what is not linear.

    Args:
        skip_first: whether features and errors at the first token are left out.

    Raises:
        ToolError: a prompt that the subject cannot read, a dictionary that lacks a layer or stands in for no MLP, or
            numbers that are not finite.
    """
    tokens, shape = subject.tokenise([prompt]), subject.shape
    chosen = [standing_in(dictionary.at(layer)) for layer in range(shape.n_layers)]
    kinds = ("resid_pre", "attn_out", "mlp_in", "mlp_out", "pattern")
    names = [f"{kind}.{layer}" for layer in range(shape.n_layers) for kind in kinds]
    names += ["embed", f"resid_post.{shape.n_layers - 1}", *(one.reads for one in chosen)]
    run = subject.run(tokens, read=names)
    seen = {name: value[0] for name, value in run.sites.items()}
    _refuse_what_is_not_finite(subject, seen, run.last_logits)
    wide = working_type(seen["embed"])
    positions = subject.architecture.positions()
    embedding = wide(seen["embed"])
    blocks: list[FrozenBlock] = []
    for one in chosen:
        blocks.append(_block(subject, one, seen, blocks, skip_first))
    if not any(len(block.position) for block in blocks):
        raise ToolError(
            f"No feature of dictionary `{dictionary.name}` is active on this prompt.",
            mend=f"Give a longer prompt, another dictionary, or `{NEURONS}`.",
        )
    return LocalModel(
        ids=tuple(tokens.ids[0].tolist()),
        parallel=shape.parallel,
        cross_layer=any(one.W_dec_later for one in chosen),
        blocks=tuple(blocks),
        final_norm=FrozenNorm.at(subject.final_norm, seen[f"resid_post.{shape.n_layers - 1}"]),
        W_U=wide(subject.W_U),
        embedding=embedding,
        offset=torch.zeros_like(embedding) if positions is None else wide(positions[: len(embedding)]),
        probabilities=wide(run.last_logits[0]).softmax(-1),
    )


def _refuse_what_is_not_finite(subject: Subject, seen: dict[str, Tensor], logits: Tensor) -> None:
    for name, value in (seen | {"logits": logits}).items():
        if not value.isfinite().all():
            raise ToolError(
                f"`{name}` of {subject.name} is not finite on this prompt.",
                mend="Check the weights for NaN, or load the model in float32.",
            )


def _block(
    subject: Subject, features: FeatureLayer, seen: dict[str, Tensor], before: list[FrozenBlock], skip_first: bool
) -> FrozenBlock:
    layer, weights = features.layer, subject.weights(features.layer)
    resid = seen[f"resid_pre.{layer}"]
    wide = working_type(resid)
    mlp_reads = resid if subject.shape.parallel else resid + seen[f"attn_out.{layer}"]
    mlp_in, mlp_out, acts = (
        wide(seen[f"mlp_in.{layer}"]),
        wide(seen[f"mlp_out.{layer}"]),
        wide(features.acts(seen[features.reads])),
    )
    over = _norm_behind(weights, features, acts)
    constant = wide(features.b_dec) / over[:, None]
    skip = None if features.W_skip is None else wide(features.W_skip)
    rest = mlp_out - constant - (0 if skip is None else mlp_in @ skip)
    for source, block in enumerate(before):
        if block.features.W_dec_later:
            rest = rest.index_add(0, block.position, block.writes(layer - source), alpha=-1)
    if skip_first:
        acts, constant = acts.clone(), constant.clone()
        acts[0], constant[0] = 0, constant[0] + rest[0]
        rest = torch.cat([torch.zeros_like(rest[:1]), rest[1:]])
    position, feature = acts.nonzero(as_tuple=True)
    activation = acts[position, feature]
    strength = activation / over[position]
    error = rest.index_add(0, position, wide(features.W_dec[feature]) * strength[:, None], alpha=-1)
    if not (activation.isfinite().all() and error.isfinite().all()):
        raise ToolError(
            f"The features of layer {layer} are not finite on this prompt, or what they write is not.",
            mend="Check the dictionary: its scale, and whether it is for this model.",
        )
    return FrozenBlock(
        attention=FrozenAttention.at(weights, resid, seen[f"pattern.{layer}"], subject.shape.n_kv_heads),
        norm2=FrozenNorm.at(weights.norm2, mlp_reads),
        features=features,
        mlp_in=mlp_in,
        error=error,
        constant=constant,
        skip=skip,
        position=position,
        feature=feature,
        activation=activation,
        strength=strength,
    )


def _norm_behind(weights: BlockWeights, features: FeatureLayer, acts: Tensor) -> Float[Tensor, " pos"]:
    """Denominators of the norm behind the MLP: neurons write in front of it, transcoders stand in for both."""
    if weights.post_mlp is None or isinstance(features, Transcoder):
        return torch.ones_like(acts[:, 0])
    wide = working_type(acts)
    return wide(weights.post_mlp.scale(acts @ wide(weights.W_down) + wide(weights.b_down)))[:, 0]


@dataclass(frozen=True)
class FrozenRun:
    """What targets read in one run of the local replacement model, per intervention."""

    mlp_in: Float[Tensor, "batch layer pos d_model"]
    final: Float[Tensor, "batch pos d_model"]  # the stream after the final norm


def frozen_run(
    local: LocalModel,
    tokens: Float[Tensor, "batch pos d_model"],
    mlps: Float[Tensor, "batch layer pos d_model"],
) -> FrozenRun:
    """Run the local replacement model forwards on what its tokens, and its features and errors, write.

    Forwards and with nothing transposed: adding a source's vector must move each target by the link between them,
    which proves the sweep that found the link.
    """
    resid, read = tokens + local.offset, []
    for layer, block in enumerate(local.blocks):
        middle = resid + block.attention(resid)
        mlp_in = block.norm2(resid if local.parallel else middle)
        read.append(mlp_in)
        resid = middle + block.constant + mlps[:, layer]
        if block.skip is not None:
            resid = resid + mlp_in @ block.skip
    return FrozenRun(torch.stack(read, 1), local.final_norm(resid))
