"""What instruments that score links and nodes ask for and give back: one form for all of them."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolResult
from ._circuit_families import Family
from ._circuit_graph import CircuitGraph, Link
from ._circuit_scores import Asking, FamilyScores, union

MOST_LISTED = 100_000


class ScoreArgs(ToolArgs):
    families: tuple[Family, ...] = Field(
        min_length=1,
        description="Pairs by what their counterfactuals change. One family cannot reveal a circuit: give two or more.",
    )
    top: int = Field(
        50, ge=1, le=MOST_LISTED, description="Strongest to list, and to list the scores of single pairs of (count)."
    )
    check: int = Field(
        10,
        ge=0,
        le=MOST_LISTED,
        description="Control: strongest to measure by cutting them, beside their score (count).",
    )


class FamilyScore(Frozen):
    """What one family says."""

    family: str = Field(description="Name of the family.")
    effect: float = Field(description="Mean over its pairs (share of its gap; positive: it holds the answer up).")
    pairs: tuple[float, ...] = Field(description="Of each pair (share of the family's mean gap).")
    measured: float | None = Field(description="Effect of cutting it, measured (share of the gap); none if unchecked.")


class Scored(Frozen):
    """A link or a node with its score."""

    source: str = Field(description="Node that writes.")
    slot: str = Field(description="Slot that reads it; empty for a node, which is scored over all its links together.")
    score: float = Field(description="Of all families' effects the largest in size, with its sign.")
    family: str = Field(description="The family that says so.")
    families: tuple[FamilyScore, ...] = Field(description="Every family.")


class FamilyAnswers(Frozen):
    """A family's answers."""

    family: str = Field(description="Name of the family.")
    n_pairs: int = Field(description="Its pairs (count).")
    clean: float = Field(description="Mean logit difference on the base prompts (nats).")
    corrupted: float = Field(description="Mean logit difference on the counterfactuals (nats).")
    gap: float = Field(description="Mean of clean minus corrupted (nats).")
    steps: int = Field(description="Points that gradients were taken at (count).")
    complete: float | None = Field(
        description="Control of integrated gradients between embeddings: share of the gap that all links of `embed` "
        "add up to. 1 is due; far from it, there were too few points."
    )


class ScoresResult(ToolResult):
    scored: tuple[Scored, ...] = Field(description="The strongest, by the size of their score.")
    families: tuple[FamilyAnswers, ...] = Field(description="Answers of every family.")
    n_scored: int = Field(description="Links, or nodes, that have a score (count).")
    measured_pearson: float | None = Field(
        description="Correlation over families and checked links, or nodes, of score and measured effect; none where "
        "fewer than three were checked or one side does not vary."
    )
    n_measured: int = Field(description="Links, or nodes, that were checked in every family (count).")


def scores_of_links(
    asking: Asking, scores: Sequence[FamilyScores], args: ScoreArgs, progress: Progress
) -> ScoresResult:
    """The strongest links with their checks."""
    links = asking.graph.links
    return _result(asking, scores, links, [(link,) for link in links], args, progress)


def scores_of_nodes(
    asking: Asking, scores: Sequence[FamilyScores], args: ScoreArgs, progress: Progress
) -> ScoresResult:
    """The strongest nodes with their checks."""
    graph = asking.graph
    return _result(
        asking,
        scores,
        [(node, "") for node in graph.nodes],
        [out_of(graph, node) for node in graph.nodes],
        args,
        progress,
    )


def out_of(graph: CircuitGraph, node: str) -> tuple[Link, ...]:
    """All links of a node."""
    return tuple(link for link in graph.links if link[0] == node)


def _result(
    asking: Asking,
    scores: Sequence[FamilyScores],
    names: Sequence[Link],
    cuts: Sequence[tuple[Link, ...]],
    args: ScoreArgs,
    progress: Progress,
) -> ScoresResult:
    best, which = union([family.mean for family in scores])
    order = best.abs().argsort(descending=True, stable=True)[: args.top].tolist()
    checked = best.abs().argsort(descending=True, stable=True)[: args.check].tolist()
    measured = [family.mean for family in asking.exact([cuts[i] for i in checked], progress)] if checked else []
    at = {i: place for place, i in enumerate(checked)}
    scored = tuple(
        Scored(
            source=names[i][0],
            slot=names[i][1],
            score=best[i].item(),
            family=scores[int(which[i])].name,
            families=tuple(
                FamilyScore(
                    family=family.name,
                    effect=family.mean[i].item(),
                    pairs=tuple(family.shares[:, i].tolist()),
                    measured=measured[f][at[i]].item() if i in at else None,
                )
                for f, family in enumerate(scores)
            ),
        )
        for i in order
    )
    said = [family.mean[checked] for family in scores]
    return ScoresResult(
        scored=scored,
        families=tuple(_answers(family) for family in scores),
        n_scored=len(names),
        measured_pearson=pearson(torch.cat(said), torch.cat(measured)) if measured else None,
        n_measured=len(checked),
    )


def pearson(one: Float[Tensor, " _"], other: Float[Tensor, " _"]) -> float | None:
    """Correlation; none of fewer than three, or where one side does not vary."""
    if len(one) < 3 or one.std() == 0 or other.std() == 0:
        return None
    found = torch.corrcoef(torch.stack([one, other]).double())[0, 1].item()
    return None if math.isnan(found) else found


def _answers(family: FamilyScores) -> FamilyAnswers:
    return FamilyAnswers(
        family=family.name,
        n_pairs=len(family.clusters),
        clean=family.runs.clean.mean().item(),
        corrupted=family.runs.corrupted.mean().item(),
        gap=family.gap,
        steps=family.steps,
        complete=family.complete,
    )
