"""Find the circuit of a behaviour: links ordered by what they hold up of the answer, and how the strongest do alone.

Links are ranked by gradients (`eap_ig`, `eap`, `relp`); the strongest, and all into slots that matter, are measured by
cutting them; a link counts in the family where it matters most. Or greedily, by cutting one link after the other
(`greedy`; Conmy et al. 2023), which keeps one of parts that each suffice. With `backups` links are scored again in
copies of the subject with nodes taken out, since parts that stand in for each other show no effect of their own
(`_circuit_backups.py`); a link's score then is the largest of all contexts.

The circuit is what reaches the threshold. Beside it: its faithfulness and that of everything else (the complement),
the same of random circuits of its size, the curve over sizes with the areas of MIB (Mueller et al. 2025), and how much
of it resamples of the pairs agree on (Jaccard; 0.8 is the least to rely on). CPR is unbounded: a circuit that
exaggerates the answer has more of it. Do not choose by it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolResult, silent, tool
from ._circuit_backups import Plan, Searched, search
from ._circuit_curve import area, counts, faithfulness, mean_jaccard, refuse_one_cluster, resampled, strongest
from ._circuit_families import Family
from ._circuit_graph import Link
from ._circuit_greedy import greedy
from ._circuit_methods import Method
from ._circuit_rules import Rules
from ._circuit_scores import Asking
from ._subject import Subject

METHODS = {
    "eap": Method(),
    "eap_ig": Method("inputs", 5),
    "relp": Method(rules=Rules(norms=True, mlps=True)),
}


class CircuitSearchArgs(ToolArgs):
    families: tuple[Family, ...] = Field(
        min_length=1,
        description="Pairs by what their counterfactuals change. One family cannot reveal a circuit: give two or more.",
    )
    method: Literal["eap_ig", "eap", "relp", "greedy"] = Field("eap_ig", description="How links are ranked.")
    most_steps: int = Field(45, ge=5, le=10_000, description="Most points of integrated gradients (count).")
    check: int = Field(32, ge=0, description="Strongest links to measure, per family and context (count).")
    slots: bool = Field(
        True,
        description="Measure every slot with all links into it cut, and all links into those that reach the threshold, "
        "which gradients may miss. Costs a run per slot and link; leave it out on large models.",
    )
    threshold: float = Field(
        0.05, gt=0, allow_inf_nan=False, description="Least effect of a link of the circuit (share of the gap)."
    )
    backups: bool = Field(True, description="Look for parts that stand in for others, with nodes taken out.")
    most_contexts: int = Field(16, ge=1, le=1000, description="Most contexts, the whole subject among them (count).")
    resamples: int = Field(100, ge=0, le=10_000, description="Resamples of the pairs, or 0; at least 100 to rely on.")
    random_draws: int = Field(20, ge=0, le=1000, description="Control: random circuits of the same size (count).")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of resamples and random circuits.")
    top: int = Field(50, ge=1, le=100_000, description="Strongest links to list (count).")

    @model_validator(mode="after")
    def _resamples_can_be_compared(self) -> "CircuitSearchArgs":
        if self.resamples == 1:
            raise ValueError("one resample cannot be compared with another: give 0, or 100 and more")
        return self


class RankedLink(Frozen):
    """A link with its score."""

    source: str = Field(description="Node that writes.")
    slot: str = Field(description="Slot that reads it.")
    score: float = Field(
        description="Effect that is largest in size (share of the whole subject's gap), with its sign."
    )
    family: str = Field(description="Family in which it is; empty where the search is greedy.")
    without: tuple[str, ...] = Field(
        description="Nodes that were taken out when it showed; none for the whole subject."
    )
    hidden: bool = Field(
        description="Whether it shows only with nodes taken out: in the whole subject it stays under the threshold."
    )
    in_circuit: bool = Field(description="Whether it reaches the threshold, or was kept by the greedy search.")


class ContextFound(Frozen):
    """The subject with some nodes taken out."""

    without: tuple[str, ...] = Field(description="Nodes taken out; none for the whole subject.")
    left: tuple[float, ...] = Field(description="By family: what is left of the gap (share).")
    n_new: int = Field(description="Links that reach the threshold here and in no context before (count).")


class CurvePoint(Frozen):
    """The strongest links alone."""

    n_links: int = Field(description="Links kept (count).")
    faithfulness: float = Field(description="Mean over families (share; 1 is the whole model).")


class CircuitSearchResult(ToolResult):
    links: tuple[RankedLink, ...] = Field(description="The strongest, by the size of their score.")
    scores: tuple[float, ...] = Field(description="Of every link, ordered by slot and then by node, as the graph is.")
    families: tuple[str, ...] = Field(description="Their names, in the order of all that is by family.")
    gaps: tuple[float, ...] = Field(description="By family: mean of clean minus corrupted (nats).")
    n_circuit: int = Field(description="Links of the circuit (count).")
    n_links: int = Field(description="Links of the model (count).")
    faithfulness: tuple[float, ...] = Field(
        description="By family: of the circuit alone (share; 1 is the whole model)."
    )
    complement: tuple[float, ...] = Field(description="By family: of everything but the circuit (share; 0 is due).")
    random_faithfulness: tuple[float, ...] = Field(
        description="Control: of random circuits of its size, mean by family."
    )
    random_complement: tuple[float, ...] = Field(description="Control: of everything but these, mean by family.")
    curve: tuple[CurvePoint, ...] = Field(description="Faithfulness by size.")
    cpr: float = Field(description="Area under the curve over the share of links. Unbounded: do not choose by it.")
    cmd: float = Field(description="Area between the curve and 1; 0 is best.")
    jaccard: float | None = Field(
        description="Mean overlap of the circuits of resampled pairs; none without resamples."
    )
    contexts: tuple[ContextFound, ...] = Field(description="The whole subject, and it with nodes taken out.")
    n_contexts_left: int = Field(description="Contexts that `most_contexts` left out (count).")


class _Ranking(NamedTuple):
    scores: Float[Tensor, " _"]
    circuit: Bool[Tensor, " _"]
    searched: Searched | None  # none where the search was greedy


@tool
def circuit_search(subject: Subject, args: CircuitSearchArgs, progress: Progress = silent) -> CircuitSearchResult:
    """Find the links between parts of the model that carry a behaviour, backups among them, and test them as a circuit.

    Raises:
        ToolError: pairs of unequal lengths, an answer the tokenizer splits, prompts without a gap between them, or
            resamples of a family of one cluster.
    """
    asking = Asking.of(subject, args.families)
    if args.resamples and args.method != "greedy":  # refused before the search, not after
        refuse_one_cluster(_clusters(asking))
    found = _ranked(asking, args, progress)
    sizes = counts(len(asking.graph.links))
    curve = faithfulness(asking.runs, strongest(found.scores, sizes)).mean(1)
    alone, others = _alone_and_others(asking, found.circuit[None])
    drawn = _random(found.circuit, args)
    random_alone, random_others = _alone_and_others(asking, drawn) if len(drawn) else ((), ())
    return CircuitSearchResult(
        links=_listed(asking, found, args),
        scores=tuple(found.scores.tolist()),
        families=tuple(one.name for one in asking.asked),
        gaps=tuple(runs.gap for runs in asking.runs),
        n_circuit=int(found.circuit.sum()),
        n_links=len(asking.graph.links),
        faithfulness=alone,
        complement=others,
        random_faithfulness=random_alone,
        random_complement=random_others,
        curve=tuple(CurvePoint(n_links=n, faithfulness=f) for n, f in zip(sizes, curve.tolist(), strict=True)),
        cpr=area(sizes, curve),
        cmd=area(sizes, (1 - curve).abs()),
        jaccard=_jaccard(asking, found, args),
        contexts=_contexts(found, args),
        n_contexts_left=found.searched.n_left if found.searched else 0,
    )


def _ranked(asking: Asking, args: CircuitSearchArgs, progress: Progress) -> _Ranking:
    if args.method == "greedy":
        kept, scores = greedy(asking.runs, args.threshold, progress)
        return _Ranking(scores, kept, None)
    plan = Plan(METHODS[args.method], args.most_steps, args.check, args.slots, args.threshold, args.most_contexts)
    searched = search(asking, args.families, plan, args.backups, progress)
    scores, _ = searched.scores()
    return _Ranking(scores, scores.abs() >= args.threshold, searched)


def _alone_and_others(asking: Asking, circuits: Bool[Tensor, "_ _"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """By family, mean faithfulness of circuits and of what is left without them."""
    both = faithfulness(asking.runs, torch.cat([circuits, ~circuits]))
    alone, others = both.split(len(circuits))
    return tuple(alone.mean(0).tolist()), tuple(others.mean(0).tolist())


def _random(circuit: Bool[Tensor, " _"], args: CircuitSearchArgs) -> Bool[Tensor, "_ _"]:
    generator = torch.Generator().manual_seed(args.seed)
    draws = [circuit[torch.randperm(len(circuit), generator=generator)] for _ in range(args.random_draws)]
    return torch.stack(draws) if draws else circuit[None][:0]


def _clusters(asking: Asking) -> list[tuple[str, ...]]:
    return [one.clusters for one in asking.asked]


def _jaccard(asking: Asking, found: _Ranking, args: CircuitSearchArgs) -> float | None:
    if not args.resamples or found.searched is None:
        return None
    shares = [context.shares for context in found.searched.contexts]
    return mean_jaccard(resampled(shares, _clusters(asking), args.threshold, args.resamples, args.seed))


def _listed(asking: Asking, found: _Ranking, args: CircuitSearchArgs) -> tuple[RankedLink, ...]:
    links: Sequence[Link] = asking.graph.links
    places = found.searched.scores()[1] if found.searched else None
    contexts = found.searched.contexts if found.searched else ()
    whole = torch.stack(contexts[0].means).abs().max(0).values if contexts else found.scores.abs()
    order = found.scores.abs().argsort(descending=True, stable=True)[: args.top].tolist()

    def ranked(i: int) -> RankedLink:
        family, out = "", frozenset[str]()
        if found.searched and places:
            family, out = asking.asked[places[i][1]].name, found.searched.contexts[places[i][0]].out
        return RankedLink(
            source=links[i][0],
            slot=links[i][1],
            score=found.scores[i].item(),
            family=family,
            without=tuple(sorted(out)),
            hidden=bool(found.circuit[i]) and whole[i].item() < args.threshold,
            in_circuit=bool(found.circuit[i]),
        )

    return tuple(ranked(i) for i in order)


def _contexts(found: _Ranking, args: CircuitSearchArgs) -> tuple[ContextFound, ...]:
    if found.searched is None:
        return ()
    made: list[ContextFound] = []
    before = torch.zeros_like(found.circuit)
    for context in found.searched.contexts:
        here = torch.stack(context.means).abs().max(0).values >= args.threshold
        made.append(
            ContextFound(without=tuple(sorted(context.out)), left=context.left, n_new=int((here & ~before).sum()))
        )
        before = before | here
    return tuple(made)
