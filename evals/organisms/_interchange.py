"""Interchange interventions on a Llama decoder, differentiable: run to a layer, swap part of the residual, run on.

An interchange (Geiger et al. 2021, "Causal Abstractions of Neural Networks") puts what a model computed on a *source*
prompt into its run on a *base* prompt. If the answer becomes what a causal model predicts for that swap, the swapped
part carries the variable. Training on the same swaps (Geiger et al. 2022, interchange intervention training) makes it
carry the variable. Both use the functions here, so what is verified is what was trained.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM


def embed(model: LlamaForCausalLM, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream before the first block."""
    return model.model.embed_tokens(ids)


def run_blocks(
    model: LlamaForCausalLM, resid: Float[Tensor, "batch pos d_model"], first: int, stop: int
) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream after blocks `first` to `stop - 1`, from what stood before block `first`.

    Prompts are padded on the right: attention is causal, so no word sees the padding and no mask is needed.
    """
    implementation = model.config._attn_implementation
    assert implementation == "sdpa", f"without a mask `{implementation}` attention is not causal; load with sdpa"
    positions = torch.arange(resid.shape[1])[None]
    rotary = model.model.rotary_emb(resid, position_ids=positions)
    for block in model.model.layers[first:stop]:
        resid = block(resid, attention_mask=None, position_embeddings=rotary)
    return resid


def logits_at(
    model: LlamaForCausalLM, resid: Float[Tensor, "batch pos d_model"], pos: Int[Tensor, " batch"]
) -> Float[Tensor, "batch vocab"]:
    """The logits at one position of each row, from the residual stream after the last block."""
    return model.lm_head(model.model.norm(take(resid, pos)))


def take(resid: Float[Tensor, "batch pos d_model"], pos: Int[Tensor, " batch"]) -> Float[Tensor, "batch d_model"]:
    """The residual vectors at one position of each row."""
    return resid[torch.arange(len(pos)), pos]


def put(
    resid: Float[Tensor, "batch pos d_model"], pos: Int[Tensor, " batch"], value: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of the residual stream with other vectors at one position of each row."""
    changed = resid.clone()
    changed[torch.arange(len(pos)), pos] = value
    return changed


def swap_inside(
    base: Float[Tensor, "batch d_model"],
    source: Float[Tensor, "batch d_model"],
    basis: Float[Tensor, "d_model feature"],
) -> Float[Tensor, "batch d_model"]:
    """The base with its component inside a subspace replaced by the source's.

    Args:
        basis: Orthonormal columns that span the subspace.
    """
    return base + (source - base) @ basis @ basis.T
