"""One adapter per architecture family: where its modules are, and its weights under our names.

Only this file and `_subject.py` know Hugging Face's module names. What is said here is proved at load
(`_proof.py`): an adapter that is wrong about a model refuses the model instead of measuring something else.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from ._base import ToolError


def _wide(x: Tensor) -> Tensor:
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
        return (self.centre(_wide(x)).pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def centre(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """The input less its mean, or as it is for RMSNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def __call__(self, x: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        scaled = self.centre(_wide(x)) / self.scale(x) * self.weight
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
class BlockModules:
    """Where to hook one block."""

    block: nn.Module
    norm2: nn.Module
    attention: nn.Module
    attention_output: nn.Module  # takes all heads side by side: [batch, pos, head * d_head]
    mlp: nn.Module
    mlp_output: nn.Module  # takes the neurons: [batch, pos, d_mlp]
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


@runtime_checkable
class Architecture(Protocol):
    """What a family must tell."""

    parallel: bool  # attention and MLP read the same residual stream
    embedding_scale: float  # what the embedding's rows are multiplied with on their way into the stream
    logit_softcap: float | None  # c where the logits are c * tanh(x / c) of what the unembedding gives

    def n_kv_heads(self) -> int: ...
    def embedding(self) -> nn.Module: ...
    def positions(self) -> Float[Tensor, "pos d_model"] | None: ...
    def blocks(self) -> list[BlockModules]: ...
    def weights(self, layer: int) -> BlockWeights: ...
    def final_norm(self) -> Norm: ...


def zeros_if_none(bias: Tensor | None, like: Tensor) -> Tensor:
    """A bias, or zeros of the given tensor's last axis where the model has none."""
    return torch.zeros(like.shape[-1], dtype=like.dtype, device=like.device) if bias is None else bias


def soft_capped(logits: Float[Tensor, "*any vocab"], cap: float | None) -> Float[Tensor, "*any vocab"]:
    """The model's logits from what its unembedding gives: monotone, and never beyond the cap where there is one."""
    return logits if cap is None else (logits / cap).tanh() * cap


def _layer_norm(module: Any) -> Norm:
    return Norm(module.weight, module.bias, module.eps, centred=True)


class _Plain:
    """What most families do: blocks in sequence, embeddings and logits as the matrices give them."""

    parallel = False
    embedding_scale = 1.0
    logit_softcap: float | None = None


class Gpt2(_Plain):
    """GPT-2: LayerNorm, learned positions, one matrix for queries, keys and values."""

    def __init__(self, model: Any) -> None:
        self.body, self.n_heads = model.transformer, model.config.n_head

    def n_kv_heads(self) -> int:
        return self.n_heads

    def embedding(self) -> nn.Module:
        return self.body.wte

    def positions(self) -> Float[Tensor, "pos d_model"] | None:
        return self.body.wpe.weight

    def blocks(self) -> list[BlockModules]:
        return [BlockModules(b, b.ln_2, b.attn, b.attn.c_proj, b.mlp, b.mlp.c_proj) for b in self.body.h]

    def weights(self, layer: int) -> BlockWeights:
        block = self.body.h[layer]
        d_model = block.attn.c_attn.weight.shape[0]
        value = slice(2 * d_model, 3 * d_model)  # columns are queries, keys, values
        return BlockWeights(
            norm1=_layer_norm(block.ln_1),
            norm2=_layer_norm(block.ln_2),
            W_V=rearrange(block.attn.c_attn.weight[:, value], "model (head dim) -> head model dim", head=self.n_heads),
            b_V=rearrange(block.attn.c_attn.bias[value], "(head dim) -> head dim", head=self.n_heads),
            W_O=rearrange(block.attn.c_proj.weight, "(head dim) model -> head dim model", head=self.n_heads),
            b_O=block.attn.c_proj.bias,
            W_down=block.mlp.c_proj.weight,
            b_down=block.mlp.c_proj.bias,
        )

    def final_norm(self) -> Norm:
        return _layer_norm(self.body.ln_f)


class LlamaLike(_Plain):
    """Llama, Mistral, Qwen2, Qwen3: RMSNorm, rotary positions, grouped-query attention, gated MLP."""

    def __init__(self, model: Any) -> None:
        self.body, config = model.model, model.config
        self.n_heads, self.n_kv = config.num_attention_heads, config.num_key_value_heads

    def n_kv_heads(self) -> int:
        return self.n_kv

    def embedding(self) -> nn.Module:
        return self.body.embed_tokens

    def positions(self) -> Float[Tensor, "pos d_model"] | None:
        return None

    def blocks(self) -> list[BlockModules]:
        return [
            BlockModules(b, b.post_attention_layernorm, b.self_attn, b.self_attn.o_proj, b.mlp, b.mlp.down_proj)
            for b in self.body.layers
        ]

    def weights(self, layer: int) -> BlockWeights:
        block = self.body.layers[layer]
        attention, down = block.self_attn, block.mlp.down_proj
        values = rearrange(attention.v_proj.weight, "(group dim) model -> group model dim", group=self.n_kv)
        v_bias = zeros_if_none(attention.v_proj.bias, attention.v_proj.weight.T)
        shared_by = self.n_heads // self.n_kv
        return BlockWeights(
            norm1=self.norm(block.input_layernorm),
            norm2=self.norm(block.post_attention_layernorm),
            W_V=repeat(values, "group model dim -> (group shared) model dim", shared=shared_by),
            b_V=repeat(v_bias, "(group dim) -> (group shared) dim", group=self.n_kv, shared=shared_by),
            W_O=rearrange(attention.o_proj.weight, "model (head dim) -> head dim model", head=self.n_heads),
            b_O=zeros_if_none(attention.o_proj.bias, attention.o_proj.weight.T),
            W_down=down.weight.T,
            b_down=zeros_if_none(down.bias, down.weight.T),
        )

    def final_norm(self) -> Norm:
        return self.norm(self.body.norm)

    def norm(self, module: Any) -> Norm:
        return Norm(module.weight, None, module.variance_epsilon, centred=False)


class Gemma(LlamaLike):
    """Gemma 2 and 3, text: as Llama, with a norm behind attention and MLP too, scaled embeddings and capped logits."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        if model.config.use_bidirectional_attention:
            raise ToolError(
                "This model's tokens attend to what follows them.",
                mend="Give a causal language model: one whose configuration has no `use_bidirectional_attention`.",
            )
        table = self.body.embed_tokens
        self.embedding_scale = table.embed_scale.to(table.weight.dtype).item()  # rounded as the model rounds it
        self.logit_softcap = model.config.final_logit_softcapping

    def blocks(self) -> list[BlockModules]:
        return [
            replace(
                modules,
                norm2=block.pre_feedforward_layernorm,
                post_attention=block.post_attention_layernorm,
                post_mlp=block.post_feedforward_layernorm,
            )
            for modules, block in zip(super().blocks(), self.body.layers, strict=True)
        ]

    def weights(self, layer: int) -> BlockWeights:
        block = self.body.layers[layer]
        return replace(
            super().weights(layer),
            norm2=self.norm(block.pre_feedforward_layernorm),
            post_attention=self.norm(block.post_attention_layernorm),
            post_mlp=self.norm(block.post_feedforward_layernorm),
        )

    def norm(self, module: Any) -> Norm:
        # The model adds in single precision; in half, the sum would lose most of the stored weight's digits.
        return Norm(1 + _wide(module.weight), None, module.eps, centred=False)


class GptNeox(_Plain):
    """GPT-NeoX: LayerNorm, rotary positions, attention and MLP in parallel unless the configuration says otherwise."""

    def __init__(self, model: Any) -> None:
        self.body, self.n_heads = model.gpt_neox, model.config.num_attention_heads
        self.parallel = model.config.use_parallel_residual

    def n_kv_heads(self) -> int:
        return self.n_heads

    def embedding(self) -> nn.Module:
        return self.body.embed_in

    def positions(self) -> Float[Tensor, "pos d_model"] | None:
        return None

    def blocks(self) -> list[BlockModules]:
        return [
            BlockModules(b, b.post_attention_layernorm, b.attention, b.attention.dense, b.mlp, b.mlp.dense_4h_to_h)
            for b in self.body.layers
        ]

    def weights(self, layer: int) -> BlockWeights:
        block = self.body.layers[layer]
        joint, dense, down = block.attention.query_key_value, block.attention.dense, block.mlp.dense_4h_to_h
        # Rows are grouped by head first, then query, key, value.
        values = rearrange(joint.weight, "(head three dim) model -> three head model dim", head=self.n_heads, three=3)
        joint_bias = zeros_if_none(joint.bias, joint.weight.T)
        return BlockWeights(
            norm1=_layer_norm(block.input_layernorm),
            norm2=_layer_norm(block.post_attention_layernorm),
            W_V=values[2],
            b_V=rearrange(joint_bias, "(head three dim) -> three head dim", head=self.n_heads, three=3)[2],
            W_O=rearrange(dense.weight, "model (head dim) -> head dim model", head=self.n_heads),
            b_O=zeros_if_none(dense.bias, dense.weight.T),
            W_down=down.weight.T,
            b_down=zeros_if_none(down.bias, down.weight.T),
        )

    def final_norm(self) -> Norm:
        return _layer_norm(self.body.final_layer_norm)


FAMILIES: dict[str, Any] = {
    "gpt2": Gpt2,
    "llama": LlamaLike,
    "mistral": LlamaLike,
    "qwen2": LlamaLike,
    "qwen3": LlamaLike,
    "gemma2": Gemma,
    "gemma3_text": Gemma,
    "gpt_neox": GptNeox,
}


def adapter_for(model: Any) -> Architecture:
    """The adapter of a loaded Hugging Face causal language model.

    Raises:
        ToolError: no adapter for its family.
    """
    family = model.config.model_type
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ToolError(f"Models of type `{family}` are not supported.", mend=f"Supported types: {known}.")
    return FAMILIES[family](model)
