"""What each layer would answer if the model stopped there: the residual stream read by the model's own unembedding.

nostalgebraist 2020, "interpreting GPT: the logit lens". The stream before the first block and after every block goes
through the final norm, the unembedding and, where the model has one, the cap on its logits. Nothing is trained, so a
layer that writes in another basis than the last one reads as nonsense: an answer that the lens does not show may still
be there (Belrose et al. 2023, tuned lens). The lens observes and shows no cause.

Deviations: the token embedding is read as the first row (`resid_pre.0`), and a token's rank and logit are given beside
its probability. The last row must be the model's own answer; `last_layer_error` says how nearly it is.
"""

from collections.abc import Callable
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._block_parts import soft_capped
from ._positions import token_positions
from ._subject import Subject

BATCH = 8  # every layer of a prompt gets a row over the whole vocabulary


class LogitLensArgs(ToolArgs):
    prompts: tuple[str, ...] = Field(description="Texts to read.", min_length=1)
    track: tuple[str, ...] = Field((), description="Words to follow through the layers, each one token.")
    top_k: int = Field(5, ge=1, le=50, description="Most likely tokens to list per layer (count).")
    position: Literal["last"] | int = Field(
        "last", description="Token whose stream is read: `last`, or its index, from the end where negative."
    )


class TrackedToken(Frozen):
    """A followed word at one layer."""

    word: str = Field(description="The word as given.")
    logit: float = Field(description="Its logit (nats).")
    probability: float = Field(description="Its probability over the whole vocabulary.")
    rank: int = Field(description="Its place; 1 is the most likely token.")


class LensLayer(Frozen):
    """What one layer would answer."""

    site: str = Field(description="Where the stream was read.")
    top: tuple[tuple[str, float], ...] = Field(description="Most likely tokens, best first, with their probability.")
    tracked: tuple[TrackedToken, ...] = Field(description="Per followed word, in the order given.")


class PromptLens(Frozen):
    """One prompt, layer by layer."""

    prompt: str = Field(description="The prompt.")
    token: str = Field(description="Token whose stream was read.")
    position: int = Field(description="Its index, special tokens included.")
    layers: tuple[LensLayer, ...] = Field(description="From the embedding to the last block.")


class LogitLensResult(ToolResult):
    prompts: tuple[PromptLens, ...] = Field(description="Per prompt, in the order given.")
    sites: tuple[str, ...] = Field(description="What was read, first to last.")
    last_layer_error: float = Field(
        description="Largest difference of a last layer's logit from the model's own (nats): 0 but for rounding."
    )


@tool
def logit_lens(subject: Subject, args: LogitLensArgs, progress: Progress = silent) -> LogitLensResult:
    """List the tokens that each layer would put after a prompt, and follow some words through the layers.

    Raises:
        ToolError: a word that the tokenizer splits or lacks, a position outside a prompt, or `top_k` above the
            size of the vocabulary.
    """
    if args.top_k > subject.shape.n_vocab:
        raise ToolError(
            f"`top_k` is {args.top_k}, but the vocabulary has {subject.shape.n_vocab} tokens.",
            mend=f"Pass 1..{subject.shape.n_vocab}.",
        )
    subject.tokenise(args.prompts)
    places = [token_positions(subject, prompt, str(args.position))[0] for prompt in args.prompts]
    followed = [[subject.answer_token(prompt, word) for word in args.track] for prompt in args.prompts]
    sites = ("resid_pre.0", *(f"resid_post.{layer}" for layer in range(subject.shape.n_layers)))
    read: list[PromptLens] = []
    error = 0.0
    for start in range(0, len(args.prompts), BATCH):
        progress(start, len(args.prompts), "reading layers")
        tokens = subject.tokenise(args.prompts[start : start + BATCH])
        run = subject.run(tokens, read=sites)
        device = tokens.ids.device
        rows = torch.arange(len(tokens.lengths), device=device)
        at = torch.tensor(places[start : start + BATCH], device=device)
        streams = torch.stack([run.sites[site][rows, at] for site in sites], dim=1)
        logits = lens_logits(streams, subject.final_norm, subject.W_U, subject.logit_softcap).float()
        error = max(error, (logits[:, -1] - run.logits[rows, at]).abs().max().item())
        for row, prompt in enumerate(args.prompts[start : start + BATCH]):
            i = start + row
            token = subject.token_strings([int(tokens.ids[row, places[i]])])[0]
            layers = tuple(_layer(subject, site, logits[row, k], args, followed[i]) for k, site in enumerate(sites))
            read.append(PromptLens(prompt=prompt, token=token, position=places[i], layers=layers))
    progress(len(args.prompts), len(args.prompts), "read layers")
    return LogitLensResult(prompts=tuple(read), sites=sites, last_layer_error=error)


def lens_logits(
    resid: Float[Tensor, "batch layer d_model"],
    norm: Callable[[Tensor], Tensor],
    W_U: Float[Tensor, "d_model vocab"],
    softcap: float | None = None,
) -> Float[Tensor, "batch layer vocab"]:
    """Logits of every layer's stream, as the model would give them."""
    return soft_capped(einsum(norm(resid), W_U, "batch layer d_model, d_model vocab -> batch layer vocab"), softcap)


def _layer(
    subject: Subject, site: str, logits: Float[Tensor, " vocab"], args: LogitLensArgs, followed: list[int]
) -> LensLayer:
    probabilities = logits.softmax(-1)
    best = probabilities.topk(args.top_k)
    names = subject.token_strings(best.indices.tolist())
    return LensLayer(
        site=site,
        top=tuple(zip(names, best.values.tolist(), strict=True)),
        tracked=tuple(
            TrackedToken(
                word=word,
                logit=logits[token].item(),
                probability=probabilities[token].item(),
                rank=int((logits > logits[token]).sum()) + 1,
            )
            for word, token in zip(args.track, followed, strict=True)
        ),
    )
