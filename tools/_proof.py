"""Proof at load: a subject's logits, rebuilt from our named parts, equal the model's own.

An adapter that is wrong about one matrix would not crash; it would measure something else. So every part is rebuilt
from the parts before it, and a model whose rebuilt part differs is refused with that part's name.
"""

from typing import TYPE_CHECKING

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ._base import ToolError
from ._block_parts import BlockWeights, Norm, soft_capped
from ._reader import Tokens

if TYPE_CHECKING:
    from ._subject import Subject

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest difference allowed, as a share of the part's largest value, by element type.

Float64 gets no more than float32's digits: Hugging Face computes RMS norms and softmax in float32 whatever the model.
"""

PROOF_PROMPTS, PROOF_TOKENS, PROOF_SEED = 2, 8, 1543


def prove(subject: "Subject") -> None:
    """Rebuild every part of the subject on random tokens.

    Raises:
        ToolError: a part differs by more than `TOLERANCE`; the message names the first such part.
    """
    if subject.model.dtype not in TOLERANCE:
        known = ", ".join(map(str, TOLERANCE))
        raise ToolError(f"Weights of type {subject.model.dtype} are not supported.", mend=f"Load as one of: {known}.")
    shape = subject.shape
    generator = torch.Generator().manual_seed(PROOF_SEED)
    n_tokens = min(PROOF_TOKENS, shape.n_ctx)
    ids = torch.randint(shape.n_vocab, (PROOF_PROMPTS, n_tokens), generator=generator).to(subject.device)
    kinds = ["resid_pre", "attn_out", "mlp_in", "mlp_act", "mlp_out", "resid_post", "pattern"]
    names = ["embed"] + [f"{kind}.{layer}" for layer in range(shape.n_layers) for kind in kinds]
    n_heads = {"q": shape.n_heads, "k": shape.n_kv_heads, "v": shape.n_kv_heads, "head": shape.n_heads}
    names += [f"{k}.{layer}.{head}" for k, n in n_heads.items() for layer in range(shape.n_layers) for head in range(n)]
    run = subject.run(Tokens(ids, (n_tokens,) * PROOF_PROMPTS), read=names)
    read, dtype = run.sites, subject.model.dtype

    _same(dtype, "embed", subject.embed(ids), read["embed"])
    positions = subject.architecture.positions()
    start = read["embed"] if positions is None else read["embed"] + positions[:n_tokens]
    _same(dtype, "resid_pre.0", start, read["resid_pre.0"])
    rebuilt = start
    for layer in range(shape.n_layers):
        rebuilt = _prove_block(subject, layer, rebuilt, read)
    logits = soft_capped(subject.final_norm(rebuilt) @ subject.W_U, subject.logit_softcap)
    _same(dtype, "logits", logits, run.logits)


def _prove_block(subject: "Subject", layer: int, resid_pre: Tensor, read: dict[str, Tensor]) -> Tensor:
    weights, dtype = subject.weights(layer), subject.model.dtype
    _prove_head_inputs(subject, layer, weights.norm1(resid_pre), read)
    heads = _attention(weights, resid_pre, read[f"pattern.{layer}"])
    for head in range(subject.shape.n_heads):
        _same(dtype, f"head.{layer}.{head}", heads[:, :, head], read[f"head.{layer}.{head}"])
    together = einsum(heads, weights.W_O, "batch pos head dim, head dim model -> batch pos model") + weights.b_O
    attn_out = _added(weights.post_attention, together)
    _same(dtype, f"attn_out.{layer}", attn_out, read[f"attn_out.{layer}"])
    mlp_reads = resid_pre if subject.shape.parallel else resid_pre + attn_out
    _same(dtype, f"mlp_in.{layer}", weights.norm2(mlp_reads), read[f"mlp_in.{layer}"])
    mlp_out = _added(weights.post_mlp, read[f"mlp_act.{layer}"] @ weights.W_down + weights.b_down)
    _same(dtype, f"mlp_out.{layer}", mlp_out, read[f"mlp_out.{layer}"])
    resid_post = resid_pre + attn_out + mlp_out
    _same(dtype, f"resid_post.{layer}", resid_post, read[f"resid_post.{layer}"])
    return resid_post


def _prove_head_inputs(subject: "Subject", layer: int, normed: Tensor, read: dict[str, Tensor]) -> None:
    weights, looks, shared = subject.weights(layer), subject.architecture.looks(layer), subject.shared_by
    made = {
        "q": (looks.W_Q, looks.b_Q),
        "k": (looks.W_K[::shared], looks.b_K[::shared]),
        "v": (weights.W_V[::shared], weights.b_V[::shared]),
    }
    for kind, (W, b) in made.items():
        for head, (W_head, b_head) in enumerate(zip(W, b, strict=True)):
            name = f"{kind}.{layer}.{head}"
            _same(subject.model.dtype, name, normed @ W_head + b_head, read[name])


def _attention(
    weights: BlockWeights,
    resid: Float[Tensor, "batch pos d_model"],
    pattern: Float[Tensor, "batch head pos pos"],
) -> Float[Tensor, "batch pos head d_head"]:
    """Each head's output before its output matrix, from the stream and the attention pattern alone."""
    normed = weights.norm1(resid)
    values = einsum(normed, weights.W_V, "batch key model, head model dim -> batch key head dim") + weights.b_V
    return einsum(pattern, values, "batch head query key, batch key head dim -> batch query head dim")


def _added(norm: Norm | None, output: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    """What a part adds to the stream."""
    return output if norm is None else norm(output)


def _same(dtype: torch.dtype, part: str, rebuilt: Tensor, seen: Tensor) -> None:
    size = seen.abs().max().item()
    error = (rebuilt - seen).abs().max().item() / max(size, 1e-6)
    if not error <= TOLERANCE[dtype]:
        raise ToolError(
            f"The model is refused: `{part}` rebuilt from its parts differs by {error:.2g} of its largest value "
            f"(allowed {TOLERANCE[dtype]:.0e}).",
            mend="Its code or configuration is not what the adapter for its family expects; use a plain checkpoint.",
        )
