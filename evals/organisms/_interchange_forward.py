"""A transformer run link by link, differentiable: every reader gets its own stream, in which any link may carry a value
from another prompt.

What a slot reads is the sum of what all earlier nodes wrote. Where a link is swapped, that one summand is the source's
own. So one pass runs a batch in which every row has other links swapped, at little more than the price of a plain pass.
"""

from dataclasses import dataclass
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GPT2LMHeadModel, LlamaForCausalLM
from transformers.models.llama.modeling_llama import rotate_half

from ._interchange_causal import Build

Stream = Float[Tensor, "batch pos d_model"]


@dataclass(frozen=True)
class Swap:
    """For each row of a batch the links that carry what the source's own run wrote."""

    nodes: Float[Tensor, "_ batch pos d_model"]  # what the sources' nodes wrote, in the order of `Build.nodes`
    carried: Float[Tensor, "batch _ _"]  # 1 where a slot (second axis) gets a node (third axis) from the source


@dataclass(frozen=True)
class Pass:
    """What a pass gives."""

    logits: Float[Tensor, "batch vocab"]  # after the last word
    nodes: Float[Tensor, "_ batch pos d_model"]  # what every node wrote
    patterns: Float[Tensor, "layer head batch pos pos"]  # attention: from (fourth axis) to (fifth)


class LinkModel:
    """A GPT-2 or Llama decoder whose weights are read anew at each pass, so that gradients reach them."""

    def __init__(self, model: GPT2LMHeadModel | LlamaForCausalLM, build: Build) -> None:
        self.model, self.build = model, build
        self.family: Any = _Gpt2(model, build) if build.family == "gpt2" else _Llama(model, build)

    def run(
        self, ids: Int[Tensor, "batch pos"], swap: Swap | None = None, faded: Float[Tensor, "_ _"] | None = None
    ) -> Pass:
        """A batch of prompts of one length.

        Args:
            swap: Which links carry another prompt's values; none where it is absent.
            faded: What share of a node (second axis) a slot (first axis) does not get; nothing where it is absent.
        """
        built, family = self.build, self.family
        slots = iter(range(len(built.slots)))

        def read(number: int) -> Float[Tensor, "head batch pos d_model"]:
            """The streams of the next slots."""
            chosen = [next(slots) for _ in range(number)]
            if swap is None and faded is None:
                return total.expand(number, *total.shape)
            here, stream = torch.stack(nodes), total.expand(number, *total.shape)
            lost = torch.zeros(number, len(nodes)) if faded is None else faded[chosen, : len(nodes)]
            if faded is not None:
                stream = stream - einsum(lost, here, "slot node, node batch pos model -> slot batch pos model")
            if swap is not None:
                carried = (1 - lost) * swap.carried[:, chosen, : len(nodes)]
                moved = swap.nodes[: len(nodes)] - here
                stream = stream + einsum(
                    carried, moved, "batch slot node, node batch pos model -> slot batch pos model"
                )
            return stream

        total = family.embed(ids)
        nodes, patterns = [total], []
        for layer in range(built.n_layers):
            part = family.block(layer)
            streams = part.norm1(read(built.n_heads + 2 * built.n_kv_heads))
            q, k, v = streams.split([built.n_heads, built.n_kv_heads, built.n_kv_heads])
            heads, pattern = _attend(part, q, k, v, built.n_heads // built.n_kv_heads)
            nodes += heads.unbind()
            patterns.append(pattern)
            total = total + heads.sum(0) + part.b_O
            nodes.append(part.mlp(part.norm2(read(1)[0])))
            total = total + nodes[-1]
        return Pass(family.logits(read(1)[0][:, -1]), torch.stack(nodes), torch.stack(patterns))


def _attend(
    part: "_Part", q: Tensor, k: Tensor, v: Tensor, shared: int
) -> tuple[Float[Tensor, "head batch pos d_model"], Float[Tensor, "head batch pos pos"]]:
    """What each head writes, and its attention, from the normed stream of each of its slots.

    Args:
        shared: Heads that share a key and a value (count).
    """
    queries = part.rotate(_project(q, part.W_Q, part.b_Q))
    keys = part.rotate(_project(k, part.W_K, part.b_K)).repeat_interleave(shared, 0)
    values = _project(v, part.W_V, part.b_V).repeat_interleave(shared, 0)
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
    return einsum(pattern @ values, part.W_O, "head batch pos dim, head dim model -> head batch pos model"), pattern


def _project(
    streams: Float[Tensor, "head batch pos d_model"],
    weight: Float[Tensor, "head d_model d_head"],
    bias: Float[Tensor, "head d_head"],
) -> Float[Tensor, "head batch pos d_head"]:
    return einsum(streams, weight, "head batch pos model, head model dim -> head batch pos dim") + bias[:, None, None]


@dataclass(frozen=True)
class _Part:
    """One block under our names."""

    norm1: Any
    norm2: Any
    mlp: Any
    rotate: Any
    W_Q: Float[Tensor, "head d_model d_head"]
    W_K: Float[Tensor, "_ d_model d_head"]
    W_V: Float[Tensor, "_ d_model d_head"]
    W_O: Float[Tensor, "head d_head d_model"]
    b_Q: Float[Tensor, "head d_head"]
    b_K: Float[Tensor, "_ d_head"]
    b_V: Float[Tensor, "_ d_head"]
    b_O: Float[Tensor, " d_model"]


class _Gpt2:
    def __init__(self, model: Any, build: Build) -> None:
        self.model, self.body, self.n_heads = model, model.transformer, build.n_heads

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Stream:
        return self.body.wte(ids) + self.body.wpe.weight[: ids.shape[1]]

    def block(self, layer: int) -> _Part:
        block = self.body.h[layer]
        weight = rearrange(
            block.attn.c_attn.weight, "m (three head dim) -> three head m dim", three=3, head=self.n_heads
        )
        bias = rearrange(block.attn.c_attn.bias, "(three head dim) -> three head dim", three=3, head=self.n_heads)
        output = rearrange(block.attn.c_proj.weight, "(head dim) m -> head dim m", head=self.n_heads)
        (W_Q, W_K, W_V), (b_Q, b_K, b_V), b_O = weight, bias, block.attn.c_proj.bias
        return _Part(block.ln_1, block.ln_2, block.mlp, lambda x: x, W_Q, W_K, W_V, output, b_Q, b_K, b_V, b_O)

    def logits(self, last: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch vocab"]:
        return self.model.lm_head(self.body.ln_f(last))


class _Llama:
    def __init__(self, model: Any, build: Build) -> None:
        self.model, self.body, self.build = model, model.model, build

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Stream:
        return self.body.embed_tokens(ids)

    def block(self, layer: int) -> _Part:
        block = self.body.layers[layer]
        attention = block.self_attn

        def split(weight: Tensor, number: int) -> Tensor:
            return rearrange(weight, "(head dim) m -> head m dim", head=number)

        W_Q = split(attention.q_proj.weight, self.build.n_heads)
        W_K, W_V = (split(p.weight, self.build.n_kv_heads) for p in (attention.k_proj, attention.v_proj))
        W_O = rearrange(attention.o_proj.weight, "m (head dim) -> head dim m", head=self.build.n_heads)
        b_Q, b_K, b_V = (torch.zeros(len(w), w.shape[-1]) for w in (W_Q, W_K, W_V))
        norms, b_O = (block.input_layernorm, block.post_attention_layernorm), torch.zeros(self.build.d_model)
        return _Part(*norms, block.mlp, self._rotate, W_Q, W_K, W_V, W_O, b_Q, b_K, b_V, b_O)

    def _rotate(self, x: Float[Tensor, "head batch pos d_head"]) -> Float[Tensor, "head batch pos d_head"]:
        cos, sin = self.body.rotary_emb(x, torch.arange(x.shape[2])[None])
        return x * cos + rotate_half(x) * sin

    def logits(self, last: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch vocab"]:
        return self.model.lm_head(self.body.norm(last))
