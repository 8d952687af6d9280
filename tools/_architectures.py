"""One adapter per architecture family: where its modules are, and its weights under our names.

Only this file and `_subject.py` know Hugging Face's module names. What is said here is proved at load
(`_proof.py`): an adapter that is wrong about a model refuses the model instead of measuring something else.
"""

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from ._base import ToolError
from ._block_parts import BlockModules, BlockWeights, HeadColumns, Norm, QueryKeyWeights, wide, zeros_if_none


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
    def looks(self, layer: int) -> QueryKeyWeights: ...
    def final_norm(self) -> Norm: ...


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
        return [self._modules(block) for block in self.body.h]

    def _modules(self, b: Any) -> BlockModules:
        joint, d_model = b.attn.c_attn, b.attn.c_attn.weight.shape[0]  # columns are queries, keys, values
        q, k, v = (HeadColumns(joint, part * d_model, d_model // self.n_heads) for part in range(3))
        return BlockModules(b, b.ln_2, b.attn, b.attn.c_proj, b.mlp, b.mlp.c_proj, query=q, key=k, value=v)

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

    def looks(self, layer: int) -> QueryKeyWeights:
        attention = self.body.h[layer].attn
        joint, n_heads = attention.c_attn, self.n_heads
        W = rearrange(joint.weight, "model (three head dim) -> three head model dim", three=3, head=n_heads)
        b = rearrange(joint.bias, "(three head dim) -> three head dim", three=3, head=n_heads)
        return QueryKeyWeights(W[0], b[0], W[1], b[1], attention.scaling)

    def final_norm(self) -> Norm:
        return _layer_norm(self.body.ln_f)


class LlamaLike(_Plain):
    """Llama, Mistral, Qwen2, Qwen3: RMSNorm, rotary positions, grouped-query attention, gated MLP."""

    attention_softcap: float | None = None

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
        return [self._modules(block) for block in self.body.layers]

    def _modules(self, b: Any) -> BlockModules:
        a, norm2, d_head = b.self_attn, b.post_attention_layernorm, b.self_attn.head_dim
        q, k, v = (HeadColumns(linear, 0, d_head) for linear in (a.q_proj, a.k_proj, a.v_proj))
        return BlockModules(b, norm2, a, a.o_proj, b.mlp, b.mlp.down_proj, query=q, key=k, value=v)

    def weights(self, layer: int) -> BlockWeights:
        block = self.body.layers[layer]
        attention, down = block.self_attn, block.mlp.down_proj
        W_V, b_V = self._by_head(attention.v_proj, self.n_kv)
        return BlockWeights(
            norm1=self.norm(block.input_layernorm),
            norm2=self.norm(block.post_attention_layernorm),
            W_V=W_V,
            b_V=b_V,
            W_O=rearrange(attention.o_proj.weight, "model (head dim) -> head dim model", head=self.n_heads),
            b_O=zeros_if_none(attention.o_proj.bias, attention.o_proj.weight.T),
            W_down=down.weight.T,
            b_down=zeros_if_none(down.bias, down.weight.T),
        )

    def looks(self, layer: int) -> QueryKeyWeights:
        attention = self.body.layers[layer].self_attn
        W_Q, b_Q = self._by_head(attention.q_proj, self.n_heads)
        W_K, b_K = self._by_head(attention.k_proj, self.n_kv)
        behind = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
        norms = (None if norm is None else self.norm(norm) for norm in behind)
        return QueryKeyWeights(W_Q, b_Q, W_K, b_K, attention.scaling, *norms, softcap=self.attention_softcap)

    def _by_head(self, linear: Any, groups: int) -> tuple[Tensor, Tensor]:
        """Weights and biases of every head; heads that share theirs have a copy each."""
        W = rearrange(linear.weight, "(group dim) model -> group model dim", group=groups)
        b = rearrange(zeros_if_none(linear.bias, linear.weight.T), "(group dim) -> group dim", group=groups)
        shared = self.n_heads // groups
        return (
            repeat(W, "group model dim -> (group shared) model dim", shared=shared),
            repeat(b, "group dim -> (group shared) dim", shared=shared),
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
        if model.config.model_type == "gemma2":  # Gemma 3 carries the name of the cap and does not use it
            self.attention_softcap = model.config.attn_logit_softcapping

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
        return Norm(1 + wide(module.weight), None, module.eps, centred=False)


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
        return [self._modules(block) for block in self.body.layers]

    def _modules(self, b: Any) -> BlockModules:
        a, norm2, d_head = b.attention, b.post_attention_layernorm, b.attention.head_size
        # Columns are grouped by head first, then query, key, value.
        q, k, v = (HeadColumns(a.query_key_value, part * d_head, 3 * d_head) for part in range(3))
        return BlockModules(b, norm2, a, a.dense, b.mlp, b.mlp.dense_4h_to_h, query=q, key=k, value=v)

    def weights(self, layer: int) -> BlockWeights:
        block = self.body.layers[layer]
        dense, down = block.attention.dense, block.mlp.dense_4h_to_h
        W, b = self._by_head(block.attention.query_key_value)
        return BlockWeights(
            norm1=_layer_norm(block.input_layernorm),
            norm2=_layer_norm(block.post_attention_layernorm),
            W_V=W[2],
            b_V=b[2],
            W_O=rearrange(dense.weight, "model (head dim) -> head dim model", head=self.n_heads),
            b_O=zeros_if_none(dense.bias, dense.weight.T),
            W_down=down.weight.T,
            b_down=zeros_if_none(down.bias, down.weight.T),
        )

    def looks(self, layer: int) -> QueryKeyWeights:
        attention = self.body.layers[layer].attention
        W, b = self._by_head(attention.query_key_value)
        return QueryKeyWeights(W[0], b[0], W[1], b[1], attention.scaling)

    def _by_head(self, joint: Any) -> tuple[Tensor, Tensor]:
        """Weights and biases of queries, keys and values; rows are grouped by head first."""
        bias = zeros_if_none(joint.bias, joint.weight.T)
        return (
            rearrange(joint.weight, "(head three dim) model -> three head model dim", head=self.n_heads, three=3),
            rearrange(bias, "(head three dim) -> three head dim", head=self.n_heads, three=3),
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
