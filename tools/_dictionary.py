"""Sparse dictionaries: the features that stand in for an MLP, and where a subject's dictionaries are found.

A transcoder reads an MLP's input and writes its output through sparse features (Dunefsky, Chlenski, Nanda 2024,
"Transcoders Find Interpretable LLM Feature Circuits"), beside a linear skip where it has one (Paulo, Shabalin, Belrose
2025); a sparse autoencoder is the transcoder that reads and writes one site. Features of a cross-layer transcoder
write to all later MLP outputs too (Ameisen et al. 2025). TopK after Gao et al. 2024, "Scaling and evaluating sparse
autoencoders"; JumpReLU after Rajamanoharan et al. 2024, which is also how BatchTopK (Bussmann et al. 2024) reads once
it is trained; matching pursuit after Costa et al. 2025.

The dictionary `neurons` needs no training: the MLP's own neurons are its features, so nothing is left over. A neuron
of a gated MLP is a product of two readings of its input, and no encoder vector says that exactly. So a neuron as a
*target* is read through its tangent at the prompt: the first-order change of its activation. Links into transcoder
features are exact; `exact_targets` says which of the two holds.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from einops import einsum
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ._base import Frozen, ToolError, canonical
from ._subject import Subject

Activation = Literal["relu", "topk", "jumprelu", "mp"]
NEURONS, TRANSCODERS = "neurons", "transcoders"
FOLDER = "dictionaries"


class LayerStats(Frozen):
    """How well one layer's features stand in for the site that they write, on text that they were not trained on."""

    layer: int = Field(description="Layer of the site.")
    variance_unexplained: float = Field(description="Squared error / variance of the site (share).")
    l0: float = Field(description="Mean features active per token (count).")
    dead: float = Field(description="Features that no held-out token and none in the trained buffer activates (share).")
    loss_recovered: float = Field(description="(ablated - spliced) / (ablated - clean) loss; 1 is perfect (share).")
    loss_clean: float = Field(description="Next-token loss of the model itself (nats).")
    loss_spliced: float = Field(description="The same with this site replaced by its features (nats).")
    loss_ablated: float = Field(description="The same with this site set to zero (nats).")
    n_tokens: int = Field(description="Held-out tokens behind these figures (count).")


@runtime_checkable
class FeatureLayer(Protocol):
    """One layer's features: how active each is, what it writes, and what it listens to."""

    @property
    def layer(self) -> int: ...
    @property
    def reads(self) -> str: ...
    @property
    def n_features(self) -> int: ...
    @property
    def W_dec(self) -> Float[Tensor, "feature d_model"]: ...
    @property
    def b_dec(self) -> Float[Tensor, " d_model"]: ...
    @property
    def W_skip(self) -> Float[Tensor, "d_model d_model"] | None: ...
    @property
    def W_dec_later(self) -> tuple[Float[Tensor, "feature d_model"], ...]: ...

    def acts(self, value: Tensor) -> Tensor:
        """Activations from the value of the site that it reads."""
        ...

    def listens(
        self, mlp_in: Float[Tensor, " d_model"], features: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, " batch"]]:
        """Per feature the vector that its target value is linear in, and the constant beside it."""
        ...


@dataclass(frozen=True)
class Transcoder:
    """Reads one site and writes another. Its target value is the pre-activation: what enters the nonlinearity."""

    layer: int
    W_enc: Float[Tensor, "feature d_model"]
    b_enc: Float[Tensor, " feature"]
    W_dec: Float[Tensor, "feature d_model"]
    b_dec: Float[Tensor, " d_model"]
    activation: Activation
    k: int | None = None  # features per token for topk, steps for mp
    threshold: Float[Tensor, " feature"] | None = None
    W_skip: Float[Tensor, "d_model d_model"] | None = None  # adds value @ W_skip to what is written
    W_dec_later: tuple[Float[Tensor, "feature d_model"], ...] = ()  # to the layers after this one, in order
    reads_at: str = "mlp_in"
    writes_at: str = "mlp_out"

    def __post_init__(self) -> None:
        if (self.activation in ("topk", "mp")) != (self.k is not None):
            raise ValueError(f"activation {self.activation} with k={self.k}; topk and mp need k, no other takes it")
        if (self.activation == "jumprelu") != (self.threshold is not None):
            raise ValueError(f"activation {self.activation}: a threshold belongs to jumprelu, and jumprelu needs it")
        if self.k is not None and not 1 <= self.k <= self.n_features:
            raise ValueError(f"k={self.k} of {self.n_features} features")

    @property
    def reads(self) -> str:
        """Site that its activations are computed from."""
        return f"{self.reads_at}.{self.layer}"

    @property
    def writes(self) -> str:
        """Site that it stands in for."""
        return f"{self.writes_at}.{self.layer}"

    @property
    def n_features(self) -> int:
        """Features of this layer (count)."""
        return self.W_enc.shape[0]

    def encode(self, value: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any feature"]:
        """Activations of all features."""
        if self.activation == "mp":
            return self._pursue(value)
        pre = einsum(value, self.W_enc, "... d_model, feature d_model -> ... feature") + self.b_enc
        if self.threshold is not None:
            return pre * (pre > self.threshold)
        acts = pre.relu()
        if self.k is None:
            return acts
        best = acts.topk(self.k, dim=-1)
        return torch.zeros_like(acts).scatter(-1, best.indices, best.values)

    def _pursue(self, value: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any feature"]:
        """Matching pursuit: k times, the feature that fits the rest best takes its part of it."""
        rest = value - self.b_dec
        acts = rest.new_zeros(*rest.shape[:-1], self.n_features)
        for _ in range(self.k or 0):
            fit = einsum(rest, self.W_dec, "... d_model, feature d_model -> ... feature").relu()
            best = fit.max(-1, keepdim=True)
            acts = acts.scatter_add(-1, best.indices, best.values)
            rest = rest - best.values * self.W_dec[best.indices[..., 0]]
        return acts

    def decode(self, acts: Float[Tensor, "*any feature"]) -> Float[Tensor, "*any d_model"]:
        """What these activations write to its own layer's site, without the skip."""
        return einsum(acts, self.W_dec, "... feature, feature d_model -> ... d_model") + self.b_dec

    def skip(self, value: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """What passes beside the features."""
        return torch.zeros_like(value) if self.W_skip is None else value @ self.W_skip

    def rebuild(self, value: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The value of the site that it writes, from the value of the site that it reads."""
        written = self.decode(self.encode(value))
        return written if self.W_skip is None else written + self.skip(value)

    def acts(self, value: Tensor) -> Tensor:
        """Activations from the value of the site that it reads."""
        return self.encode(value)

    def listens(
        self, mlp_in: Float[Tensor, " d_model"], features: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, " batch"]]:
        """Encoder rows and biases: the same for every input."""
        return self.W_enc[features], self.b_enc[features]


@dataclass(frozen=True)
class Neurons:
    """An MLP's own neurons. As a target, a neuron is its tangent at the prompt (see the head of this file)."""

    layer: int
    W_dec: Float[Tensor, "feature d_model"]
    b_dec: Float[Tensor, " d_model"]
    mlp: nn.Module
    mlp_output: nn.Module
    W_skip: None = None
    W_dec_later: tuple[Float[Tensor, "feature d_model"], ...] = ()

    @property
    def reads(self) -> str:
        """Site that its activations are."""
        return f"mlp_act.{self.layer}"

    @property
    def n_features(self) -> int:
        """Neurons of this layer (count)."""
        return self.W_dec.shape[0]

    def acts(self, value: Tensor) -> Tensor:
        """The neurons themselves."""
        return value

    def listens(
        self, mlp_in: Float[Tensor, " d_model"], features: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, " batch"]]:
        """Slope of each activation at this input, and what the tangent has at the origin."""
        seen: list[Tensor] = []
        handle = self.mlp_output.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            with torch.enable_grad():
                at = mlp_in.detach().clone().requires_grad_()
                self.mlp(at[None, None])
                values = seen[0][0, 0, features]
                one_each = torch.eye(len(features), dtype=values.dtype, device=values.device)
                (slopes,) = torch.autograd.grad(values, at, one_each, is_grads_batched=True)
        finally:
            handle.remove()
        return slopes, values.detach() - slopes @ mlp_in


@dataclass(frozen=True)
class Dictionary:
    """The features of a subject, layer by layer."""

    name: str
    trained_on: str  # fingerprint of the weights
    layers: tuple[FeatureLayer, ...]
    stats: tuple[LayerStats, ...] = ()
    forced: bool = False  # used on weights that it was not, or not known to be, trained on

    @property
    def exact_targets(self) -> bool:
        """Whether a feature's target value is linear in its input, so that links into it are exact."""
        return all(isinstance(one, Transcoder) for one in self.layers)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all tensors, activation rules and the fingerprint they were trained on."""
        seen = hashlib.sha256(canonical([self.trained_on, [layer.layer for layer in self.layers]]).encode())
        for one in self.layers:
            if isinstance(one, Transcoder):
                seen.update(f"{one.activation} {one.k} {one.reads_at} {one.writes_at} {len(one.W_dec_later)}".encode())
                optional = [tensor for tensor in (one.threshold, one.W_skip) if tensor is not None]
                for tensor in (one.W_enc, one.b_enc, one.W_dec, one.b_dec, *optional, *one.W_dec_later):
                    seen.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return seen.hexdigest()

    def at(self, layer: int) -> FeatureLayer:
        """The features of one layer.

        Raises:
            ToolError: the dictionary has none for it.
        """
        for one in self.layers:
            if one.layer == layer:
                return one
        covered = ", ".join(str(one.layer) for one in self.layers)
        raise ToolError(f"Dictionary `{self.name}` has no layer {layer}.", mend=f"Its layers: {covered}.")

    def feature(self, name: str) -> tuple[FeatureLayer, int]:
        """The layer of the feature LAYER/FEATURE, and its index there.

        Raises:
            ToolError: written otherwise, or no such layer or feature.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", name.strip())
        if not found:
            raise ToolError(f"`{name}` names no feature.", mend="Write it as LAYER/FEATURE, for example 1/37.")
        layer, index = self.at(int(found[1])), int(found[2])
        if index >= layer.n_features:
            raise ToolError(
                f"Layer {layer.layer} of dictionary `{self.name}` has no feature {index}.",
                mend=f"Features: 0..{layer.n_features - 1}.",
            )
        return layer, index


def neurons_of(subject: Subject) -> Dictionary:
    """The built-in dictionary of a subject's own neurons."""
    layers = []
    for layer, modules in enumerate(subject.architecture.blocks()):
        weights = subject.weights(layer)
        W_dec, b_dec, behind = weights.W_down, weights.b_down, weights.post_mlp
        if behind is not None:  # its denominator depends on the prompt and is no part of the dictionary
            W_dec, b_dec = ((behind.centre(part) * behind.weight).to(part.dtype) for part in (W_dec, b_dec))
        layers.append(Neurons(layer, W_dec, b_dec, modules.mlp, modules.mlp_output))
    return Dictionary(NEURONS, subject.key.fingerprint, tuple(layers))


def dictionary_place(subject: Subject, name: str) -> Path:
    """Where the dictionary of that name, or at that path, is or will be.

    Raises:
        ToolError: neither a plain name nor a path to a safetensors file.
    """
    if name.endswith(".safetensors"):
        path = Path(name)
    elif re.fullmatch(r"[\w-]+", name):
        path = (subject.folder or Path(subject.name)) / FOLDER / f"{name}.safetensors"
    else:
        raise ToolError(
            f"`{name}` names no dictionary.", mend="Give `neurons`, `transcoders`, or a path ending in .safetensors."
        )
    return path
