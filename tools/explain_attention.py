"""Which heads carried a link of an attribution graph, and what made a head look where it did.

Attribution graphs hold attention patterns fixed (Ameisen et al. 2025, "Circuit Tracing"), so a link says neither
through which head it passed nor why that head looked there. Both are measured here, exactly, in the same local
replacement model.

Which heads: a link is a sum over paths. Each path is counted under the head that it passed LAST, the one closest to the
target; between that head and the target lies nothing but the target's own token: the stream, and the skips of a
dictionary that has them. What passed no head at all is `straight`. These parts sum to the link. What a head passed on
may have come through other heads before.

Why there: the score of a query and a key, before a cap that the model may have and before the softmax, is taken apart
into pairs, a source of the query times a source of the key, after Kamath et al. 2025, "Tracing Attention Computation
Through Feature Interactions" (see `_attribution_looks.py`). Sources are features, errors and tokens, also those of
earlier tokens that lower heads brought here; `bias` is what biases and learned positions add. The softmax sees scores
of one query relative to each other, so `against` takes apart the difference of two keys' scores.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from ._attribution_ids import Node, parse_node, source_names, source_number, target_of
from ._attribution_local import LocalModel, frozen_run, local_model
from ._attribution_looks import look_at
from ._attribution_nodes import Sources, Targets
from ._attribution_norm import FrozenNorm, working_type
from ._attribution_paths import Written, by_last_head
from ._attribution_query_key import QueryKey, run_with_looks
from ._attribution_sweep import direct_effects
from ._base import Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary_file import dictionary_of
from ._explained_attention import CarriedBy, HeadPart, LookedAt, ScorePair, ScoreSource
from ._positions import token_positions
from ._subject import Run, Subject

BIAS = "bias"


class ExplainAttentionArgs(ToolArgs):
    prompt: str = Field(description="Text whose attribution graph is looked into.")
    target: str = Field(
        "", description="Node whose inputs are split by head: `LAYER/FEATURE@POS` or `logit.TOKEN@POS`, TOKEN a number."
    )
    source: str = Field(
        "",
        description="Split the link from this node: a feature, `error.LAYER@POS` or `token@POS`; none for all.",
    )
    head: str = Field("", description="Head whose look is explained: LAYER.HEAD.", pattern=r"^(\d+\.\d+)?$")
    query: int | None = Field(None, description="Token that looks; none for the target's, or else the last.")
    key: int | None = Field(None, description="Token that is looked at; none for the one most looked at.")
    against: int | None = Field(None, description="Explain the score of `key` less that of this token.")
    top_n: int = Field(10, ge=1, le=1000, description="Heads, pairs and sources to list, strongest first (count).")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    skip_first: bool = Field(
        False, description="Leave features and errors at the first token out, for dictionaries that never saw one."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> "ExplainAttentionArgs":
        if not (self.target or self.head):
            raise ValueError("give a `target`, a `head`, or both")
        if self.source and not self.target:
            raise ValueError("a `source` needs the `target` that it leads to")
        if not self.head and any(at is not None for at in (self.query, self.key, self.against)):
            raise ValueError("`query`, `key` and `against` are about a `head`")
        return self


class ExplainAttentionResult(ToolResult):
    tokens: tuple[str, ...] = Field(description="Tokens of the prompt.")
    carried: CarriedBy | None = Field(description="Which heads carried the link or the target's inputs, if asked.")
    looked: LookedAt | None = Field(description="What made the head look there, if asked.")
    dictionary: str = Field(description="Dictionary whose features are the sources.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@tool
def explain_attention(
    subject: Subject, args: ExplainAttentionArgs, progress: Progress = silent
) -> ExplainAttentionResult:
    """Say which heads carried a link of an attribution graph, and which pairs of features made a head look there.

    Raises:
        ToolError: a prompt that the model cannot read, no such node, head or token, a feature that is not active
            there, a source that is no input of the target, or a key that the head may not look at.
    """
    tokens = subject.tokenise([args.prompt])
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    target = parse_node(subject, dictionary, tokens, args.target) if args.target else None
    source = parse_node(subject, dictionary, tokens, args.source) if args.source else None
    if target is not None:
        (source or Node("token@0", "token", -1, 0)).requires_below(target)
    places = _places(subject, args, target) if args.head else None
    progress(0, 2, "running the prompt")
    local = local_model(subject, dictionary, args.prompt, args.skip_first)
    clean = run_with_looks(subject, tokens)
    progress(1, 2, "following paths")
    texts = subject.token_strings(local.ids)
    return ExplainAttentionResult(
        tokens=texts,
        carried=None if target is None else _carried(local, clean[0], texts, source, target, args.top_n),
        looked=None if places is None else _looked(subject, local, clean, places, args.top_n, texts),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


class _Places(NamedTuple):
    layer: int
    head: int
    query: int
    key: int | None
    against: int | None


def _places(subject: Subject, args: ExplainAttentionArgs, target: Node | None) -> _Places:
    """The head and tokens asked about."""
    site = subject.site(f"head.{args.head}")
    assert site.layer is not None, f"{site} without a layer"
    assert site.head is not None, f"{site} without a head"
    asked = (-1 if target is None else target.position) if args.query is None else args.query
    query, key, against = (
        None if at is None else token_positions(subject, args.prompt, str(at))[0]
        for at in (asked, args.key, args.against)
    )
    assert query is not None, "a query was always asked for"
    if late := [at for at in (key, against) if at is not None and at > query]:
        raise ToolError(f"Token {query} cannot look at token {late[0]}, which follows it.", mend=f"Keys: 0..{query}.")
    if against is not None and key == against:
        raise ToolError(f"Key and `against` are both token {key}.", mend="Name two tokens.")
    return _Places(site.layer, site.head, query, key, against)


def _carried(
    local: LocalModel, run: Run, texts: tuple[str, ...], source: Node | None, target: Node, top_n: int
) -> CarriedBy:
    goal = target_of(local, target)
    number = None if source is None else source_number(local, source)
    split = by_last_head(local, goal, Written.by_all(local) if number is None else Written.by(local, number))
    found = direct_effects(local, Sources(local), goal, local.n_sources + 1)
    links = found.into(goal.number, torch.arange(local.n_sources, device=goal.number.device))[0]
    each = split.heads.sum(-1)
    listed = []
    for place in _largest(each.flatten(), top_n).tolist():
        layer, head = divmod(place, each.shape[1])
        key = int(split.heads[layer, head].abs().argmax())
        listed.append(
            HeadPart(
                head=f"{layer}.{head}",
                part=each[layer, head].item(),
                key=key,
                token=texts[key],
                key_part=split.heads[layer, head, key].item(),
                attention=run.sites[f"pattern.{layer}"][0, head, target.position, key].item(),
            )
        )
    return CarriedBy(
        source=None if source is None else source.id,
        target=target.id,
        weight=(links.sum() if number is None else links[number]).item(),
        straight=split.straight,
        layers=tuple(each.sum(-1).tolist()),
        heads=tuple(listed),
        other_heads=each.sum().item() - sum(one.part for one in listed),
        constant=None if source is not None else _constant(local, goal),
    )


def _constant(local: LocalModel, target: Targets) -> float:
    """A target's value where no source writes anything."""
    run = frozen_run(local, torch.zeros_like(local.embedding)[None], torch.zeros_like(local.written())[None])
    read = torch.cat([run.mlp_in, run.final[:, None]], 1)[0, target.layer, target.position]
    return ((read * target.vector).sum(-1) + target.offset).item()


def _looked(
    subject: Subject,
    local: LocalModel,
    clean: tuple[Run, tuple[QueryKey, ...]],
    places: _Places,
    top_n: int,
    texts: tuple[str, ...],
) -> LookedAt:
    layer, head, query, _, against = places
    run, look, weights = clean[0], clean[1][layer], subject.weights(layer)
    resid = run.sites[f"resid_pre.{layer}"][0]
    attention = run.sites[f"pattern.{layer}"][0, head, query]
    key = _key(places, look, attention)
    normed = working_type(resid)(weights.norm1(resid))[None]
    scores = look.scores(normed)[0, head, query]
    norm = FrozenNorm.at(weights.norm1, resid)
    found = look_at(local, look, norm, normed, (layer, head), query, key, against)
    less, capped_less = (0.0, 0.0) if against is None else (scores[against], look.capped(scores)[against])
    rows, parts = found.strongest(top_n)
    pairs = [
        ScorePair(query=one, key=other, part=part)
        for one, other, part in zip(_names(local, rows[:, 0]), _names(local, rows[:, 1]), parts.tolist(), strict=True)
    ]
    return LookedAt(
        head=f"{layer}.{head}",
        query=query,
        query_token=texts[query],
        key=key,
        key_token=texts[key],
        against=against,
        attention=attention[key].item(),
        score=float(scores[key] - less),
        capped_score=float(look.capped(scores)[key] - capped_less),
        sum_of_pairs=found.total,
        pairs=tuple(pairs),
        other_pairs=found.total - sum(pair.part for pair in pairs),
        query_sources=_strongest(local, found.by_query, top_n),
        key_sources=_strongest(local, found.by_key, top_n),
    )


def _key(places: _Places, look: QueryKey, attention: Float[Tensor, " pos"]) -> int:
    """The token that is looked at: as asked, or the one most looked at."""
    allowed = look.allowed[places.query]
    seen = allowed.nonzero()[:, 0].tolist()
    for at in (places.key, places.against):
        if at is not None and at not in seen:
            raise ToolError(
                f"Head {places.layer}.{places.head} cannot look from token {places.query} at token {at}: it is beyond "
                "the layer's window.",
                mend=f"Keys: {seen[0]}..{seen[-1]}.",
            )
    if places.key is not None:
        return places.key
    others = [at for at in seen if at != places.against]
    if not others:
        raise ToolError(f"Token {places.query} can look at token {seen[0]} alone.", mend="Leave `against` out.")
    return max(others, key=lambda at: float(attention[at]))


def _names(local: LocalModel, rows: Int[Tensor, " _"]) -> list[str]:
    return [BIAS if row == local.n_sources else source_names(local, row[None])[0] for row in rows]


def _strongest(local: LocalModel, parts: Float[Tensor, " _"], count: int) -> tuple[ScoreSource, ...]:
    best = _largest(parts, count)
    return tuple(
        ScoreSource(source=name, part=part)
        for name, part in zip(_names(local, best), parts[best].tolist(), strict=True)
    )


def _largest(parts: Float[Tensor, " _"], count: int) -> Int[Tensor, " _"]:
    """Where the parts of largest size are, zeros left out."""
    best = parts.abs().sort(descending=True, stable=True).indices[:count]
    return best[parts[best] != 0]
