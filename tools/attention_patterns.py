"""Where heads look: their attention patterns on one prompt, and how much of each is of a kind that has a name.

A pattern says how a head divides its attention at each token (the query) among that token and those before it (the
keys). It shows where a head reads, not what it carries from there nor whether the answer needs it: patch the head to
learn that (Jain & Wallace 2019, "Attention is not Explanation"). The kinds:

- to the token before, to the first token, and entropy: Clark et al. 2019, "What Does BERT Look At?"; that much goes to
  the first token where a head finds nothing: Xiao et al. 2023, "Efficient Streaming Language Models with Attention
  Sinks";
- to the same token earlier: the duplicate token heads of Wang et al. 2022, "Interpretability in the Wild";
- to the token that followed the same token earlier: the induction heads of Olsson et al. 2022, "In-context Learning and
  Induction Heads".

Deviations: scores are of the given prompt, not of repeated random tokens, so a kind that needs a token to come again
has no score on a prompt where none does. The first token can look at nothing but itself and is in no score. What a
uniform head would score is given beside them, because on a short prompt it scores high. Layers with a sliding window
give keys beyond it nothing.
"""

from typing import Annotated

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._subject import Subject

LARGEST = 2**17  # numbers of all patterns: 2 MB of JSON
HeadName = Annotated[str, Field(pattern=r"^\d{1,9}\.\d{1,9}$")]


class AttentionPatternsArgs(ToolArgs):
    prompt: str = Field(description="Text to read.")
    heads: tuple[HeadName, ...] = Field(
        (), description="Heads to show, LAYER.HEAD; all heads of `layers` if none is named."
    )
    layers: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="Layers whose heads to show, beside `heads`; every layer if neither is named."
    )


class LookScores(Frozen):
    """How much of a head's attention is of a kind that has a name; means over the tokens behind the first."""

    to_previous: float | None = Field(description="To the token before (share); none for a prompt of one token.")
    to_first: float | None = Field(description="To the first token of the prompt (share); none for one token.")
    to_itself: float | None = Field(description="To the token that looks (share); none for one token.")
    to_same_token: float | None = Field(
        description="To the same token earlier (share), over tokens that stood there before; none where none did."
    )
    induction: float | None = Field(
        description="To what followed the same token earlier (share), over tokens that have such; none where none has."
    )
    entropy: float | None = Field(description="Of the pattern's rows (nats): 0 looks at one token; none for one token.")


class HeadPattern(LookScores):
    """Where one head looks."""

    head: str = Field(description="LAYER.HEAD.")
    pattern: tuple[tuple[float, ...], ...] = Field(
        description="By query token, then key token: share of attention. Keys behind the query have 0."
    )


class AttentionPatternsResult(ToolResult):
    tokens: tuple[str, ...] = Field(description="Tokens of the prompt, special ones included.")
    heads: tuple[HeadPattern, ...] = Field(description="By layer, then head.")
    uniform: LookScores = Field(
        description="For comparison: a head that looks at its own token and all before it alike, without a window."
    )
    row_sum_error: float = Field(description="Largest difference of a row's sum from 1: rounding (share).")


@tool
def attention_patterns(
    subject: Subject, args: AttentionPatternsArgs, progress: Progress = silent
) -> AttentionPatternsResult:
    """Show where heads look on a prompt, token by token, and how much of it is of a kind that has a name.

    Raises:
        ToolError: a prompt that the model cannot read, a layer or head that it lacks, or more patterns than one
            result holds.
    """
    wanted = _wanted(subject, args)
    tokens = subject.tokenise([args.prompt])
    ids = tokens.ids[0]
    _refuse_too_many(len(wanted), len(ids))
    layers = sorted({layer for layer, _ in wanted})
    progress(0, 1, "running the prompt")
    seen = subject.run(tokens, read=[f"pattern.{layer}" for layer in layers]).sites
    patterns = torch.stack([seen[f"pattern.{layer}"][0, head] for layer, head in wanted]).float().cpu()
    ids = ids.cpu()
    scores = look_scores(patterns, ids)
    heads = [
        HeadPattern(head=f"{layer}.{head}", pattern=tuple(map(tuple, pattern.tolist())), **of_head.model_dump())
        for (layer, head), pattern, of_head in zip(wanted, patterns, scores, strict=True)
    ]
    progress(1, 1, "read")
    return AttentionPatternsResult(
        tokens=subject.token_strings(ids.tolist()),
        heads=tuple(heads),
        uniform=look_scores(_uniform(len(ids))[None], ids)[0],
        row_sum_error=(patterns.sum(-1) - 1).abs().max().item(),
    )


def look_scores(pattern: Float[Tensor, "head pos pos"], ids: Int[Tensor, " pos"]) -> tuple[LookScores, ...]:
    """How much of each head's attention is of each kind.

    Args:
        pattern: by query, then key.
        ids: the tokens.
    """
    n_pos = len(ids)
    earlier = torch.ones(n_pos, n_pos).tril(-1).bool()
    same = (ids[:, None] == ids) & earlier
    followed = torch.cat([torch.zeros_like(same[:, :1]), same[:, :-1]], 1) & earlier
    first = (torch.arange(n_pos) == 0).expand(n_pos, n_pos)
    itself = torch.eye(n_pos).bool()
    previous = earlier & earlier.triu(-1)
    behind_first = torch.arange(n_pos) > 0
    entropy = -torch.xlogy(pattern, pattern).sum(-1)
    columns = [
        _mean(pattern, previous, behind_first),
        _mean(pattern, first, behind_first),
        _mean(pattern, itself, behind_first),
        _mean(pattern, same, same.any(-1)),
        _mean(pattern, followed, followed.any(-1)),
        entropy[:, behind_first].mean(-1).tolist() if n_pos > 1 else [None] * len(pattern),
    ]
    names = LookScores.model_fields
    return tuple(LookScores(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))


def _mean(
    pattern: Float[Tensor, "head pos pos"], kind: Bool[Tensor, "pos pos"], queries: Bool[Tensor, " pos"]
) -> list[float] | list[None]:
    """Attention to the keys of a kind, each head's mean over these queries; none where there is none."""
    if not queries.any():
        return [None] * len(pattern)
    given = einsum(pattern, kind.to(pattern), "head query key, query key -> head query")
    return given[:, queries].mean(-1).tolist()


def _uniform(n_pos: int) -> Float[Tensor, "pos pos"]:
    allowed = torch.ones(n_pos, n_pos).tril()
    return allowed / allowed.sum(-1, keepdim=True)


def _wanted(subject: Subject, args: AttentionPatternsArgs) -> list[tuple[int, int]]:
    """Layer and head of each pattern, in order, each once."""
    sites = [subject.site(f"head.{name}") for name in args.heads]
    named = {(site.layer, site.head) for site in sites if site.layer is not None and site.head is not None}
    every = range(subject.shape.n_layers) if not (args.heads or args.layers) else args.layers
    for layer in every:
        subject.site(f"pattern.{layer}")
        named |= {(layer, head) for head in range(subject.shape.n_heads)}
    return sorted(named)


def _refuse_too_many(n_heads: int, n_pos: int) -> None:
    if n_heads * n_pos**2 <= LARGEST:
        return
    fits = LARGEST // n_pos**2
    few = f"Name at most {fits} `heads`." if fits else f"Give a prompt of at most {int(LARGEST**0.5)} tokens."
    what = "The pattern of a head" if n_heads == 1 else f"The patterns of {n_heads} heads"
    raise ToolError(f"{what} over {n_pos} tokens come to {n_heads * n_pos**2} numbers, more than {LARGEST}.", mend=few)
