"""The local replacement model of one prompt: the subject with everything that is not linear held as the prompt had it.

After Ameisen et al. 2025, "Circuit Tracing". Attention patterns and norm denominators are constants of the prompt, and
each MLP is its dictionary's features plus an error node that holds what they miss. What remains is linear from what
features, errors and tokens write to what features and logits read. The mean-centring of LayerNorm is linear and stays.
Positions and biases are constants, no nodes.

Deviation from the paper: its features write to all later layers, ours (per-layer transcoders, neurons) to their own.
Deviation from circuit-tracer: the first token keeps its features and errors; zeroing them would leave part of what a
node reads unexplained.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from ._architectures import BlockWeights, Norm
from ._dictionary import Dictionary, FeatureLayer
from ._subject import Subject


@dataclass(frozen=True)
class FrozenNorm:
    """A norm whose denominator is a constant of the prompt, hence an affine map."""

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

    def __call__(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        return self.centre(resid) / self.scale[:, None] * self.weight + self.bias

    def pull(self, vector: Float[Tensor, "batch d_model"], position: int) -> Float[Tensor, "batch d_model"]:
        """The transpose: what listens to the norm's output, as what listens to its input."""
        return self.centre(vector * self.weight) / self.scale[position]


@dataclass(frozen=True)
class FrozenAttention:
    """Attention with its pattern held: an affine map from the stream at all keys to the stream at all queries."""

    W_V: Float[Tensor, "head d_model d_head"]  # with the norm's centring and weight folded in
    W_O: Float[Tensor, "head d_head d_model"]
    pattern: Float[Tensor, "head pos pos"]  # divided by the norm's denominator at the key
    constant: Float[Tensor, "pos d_model"]

    @classmethod
    def at(
        cls, weights: BlockWeights, resid: Float[Tensor, "pos d_model"], pattern: Float[Tensor, "head pos pos"]
    ) -> "FrozenAttention":
        """The attention of one block as it was on this stream."""
        wide = working_type(resid)
        norm, W_V, W_O, looks = FrozenNorm.at(weights.norm1, resid), *map(wide, (weights.W_V, weights.W_O, pattern))
        by_bias = einsum(norm.bias, W_V, "model, head model dim -> head dim") + wide(weights.b_V)
        constant = einsum(looks.sum(-1), by_bias, W_O, "head pos, head dim, head dim model -> pos model")
        folded = norm.centre((norm.weight[:, None] * W_V).mT).mT
        return cls(folded, W_O, looks / norm.scale, constant + wide(weights.b_O))

    def __call__(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        values = einsum(resid, self.W_V, "batch key model, head model dim -> batch head key dim")
        mixed = einsum(self.pattern, values, "head query key, batch head key dim -> batch head query dim")
        return einsum(mixed, self.W_O, "batch head query dim, head dim model -> batch query model") + self.constant

    def pull(self, grad: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The transpose, over the first positions alone: under causal attention nothing later matters."""
        seen = grad.shape[1]
        back = einsum(grad, self.W_O, "batch query model, head dim model -> batch head query dim")
        mixed = einsum(
            back, self.pattern[:, :seen, :seen], "batch head query dim, head query key -> batch head key dim"
        )
        return einsum(mixed, self.W_V, "batch head key dim, head model dim -> batch key model")


@dataclass(frozen=True)
class FrozenBlock:
    """One block: its frozen maps, what its MLP wrote, and the features active in it, sorted by position, then index."""

    attention: FrozenAttention
    norm2: FrozenNorm
    features: FeatureLayer
    mlp_in: Float[Tensor, "pos d_model"]
    mlp_out: Float[Tensor, "pos d_model"]
    error: Float[Tensor, "pos d_model"]
    position: Int[Tensor, " feature"]
    feature: Int[Tensor, " feature"]
    activation: Float[Tensor, " feature"]

    def writes(self, chosen: Int[Tensor, " feature"] | slice) -> Float[Tensor, "feature d_model"]:
        """What each of these active features adds to the stream."""
        decoder = self.features.W_dec[self.feature[chosen]]
        return working_type(decoder)(decoder) * self.activation[chosen, None]


@dataclass(frozen=True)
class LocalModel:
    """A prompt's local replacement model. Sources are numbered: active features, then errors, then tokens."""

    ids: tuple[int, ...]
    parallel: bool
    blocks: tuple[FrozenBlock, ...]
    final_norm: FrozenNorm
    W_U: Float[Tensor, "d_model vocab"]
    embedding: Float[Tensor, "pos d_model"]
    offset: Float[Tensor, "pos d_model"]  # learned positions, or zero
    logits: Float[Tensor, " vocab"]

    @property
    def probabilities(self) -> Float[Tensor, " vocab"]:
        """Of each token after the prompt."""
        return self.logits.softmax(-1)

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


def working_type(like: Tensor) -> Callable[[Tensor], Tensor]:
    """Casts to the element type that links are computed in: that of the subject, single precision at least."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return lambda tensor: tensor.to(dtype)


def local_model(subject: Subject, dictionary: Dictionary, prompt: str) -> LocalModel:
    """Run a prompt once and hold what is not linear.

    Raises:
        ToolError: a prompt that the subject cannot read, or a dictionary that lacks a layer.
    """
    tokens, shape = subject.tokenise([prompt]), subject.shape
    chosen = [dictionary.at(layer) for layer in range(shape.n_layers)]
    kinds = ("resid_pre", "attn_out", "mlp_in", "mlp_out", "pattern")
    names = [f"{kind}.{layer}" for layer in range(shape.n_layers) for kind in kinds]
    names += ["embed", f"resid_post.{shape.n_layers - 1}", *(one.reads for one in chosen)]
    run = subject.run(tokens, read=names)
    seen = {name: value[0] for name, value in run.sites.items()}
    wide = working_type(seen["embed"])
    positions = subject.architecture.positions()
    embedding = wide(seen["embed"])
    return LocalModel(
        ids=tuple(tokens.ids[0].tolist()),
        parallel=shape.parallel,
        blocks=tuple(_block(subject, one, seen) for one in chosen),
        final_norm=FrozenNorm.at(subject.final_norm, seen[f"resid_post.{shape.n_layers - 1}"]),
        W_U=wide(subject.W_U),
        embedding=embedding,
        offset=torch.zeros_like(embedding) if positions is None else wide(positions[: len(embedding)]),
        logits=wide(run.last_logits[0]),
    )


def _block(subject: Subject, features: FeatureLayer, seen: dict[str, Tensor]) -> FrozenBlock:
    layer, weights = features.layer, subject.weights(features.layer)
    resid = seen[f"resid_pre.{layer}"]
    mlp_reads = resid if subject.shape.parallel else resid + seen[f"attn_out.{layer}"]
    wide = working_type(resid)
    acts, mlp_out = wide(features.acts(seen[features.reads])), wide(seen[f"mlp_out.{layer}"])
    position, feature = acts.nonzero(as_tuple=True)
    return FrozenBlock(
        attention=FrozenAttention.at(weights, resid, seen[f"pattern.{layer}"]),
        norm2=FrozenNorm.at(weights.norm2, mlp_reads),
        features=features,
        mlp_in=wide(seen[f"mlp_in.{layer}"]),
        mlp_out=mlp_out,
        error=mlp_out - acts @ wide(features.W_dec) - wide(features.b_dec),
        position=position,
        feature=feature,
        activation=acts[position, feature],
    )


@dataclass(frozen=True)
class FrozenRun:
    """What targets read in one run of the local replacement model, per intervention."""

    mlp_in: Float[Tensor, "batch layer pos d_model"]
    final: Float[Tensor, "batch pos d_model"]  # the stream after the final norm
    logits: Float[Tensor, "batch pos vocab"]


def frozen_run(
    local: LocalModel,
    to_tokens: Float[Tensor, "batch pos d_model"],
    to_mlps: Float[Tensor, "batch layer pos d_model"],
) -> FrozenRun:
    """Run the local replacement model forwards with vectors added to what tokens and MLPs write.

    Forwards and with nothing transposed: adding a source's vector must move each target by the link between them,
    which proves the sweep that found the link.
    """
    resid, read = to_tokens + local.embedding + local.offset, []
    for layer, block in enumerate(local.blocks):
        middle = resid + block.attention(resid)
        read.append(block.norm2(resid if local.parallel else middle))
        resid = middle + block.mlp_out + to_mlps[:, layer]
    final = local.final_norm(resid)
    return FrozenRun(torch.stack(read, 1), final, final @ local.W_U)
