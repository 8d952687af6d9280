"""Path patching: exchange what one part hands to another over a single link, and see how far the answer moves.

Wang et al. 2022, "Interpretability in the Wild"; Goldowsky-Dill et al. 2023, "Localizing Model Behavior with Path
Patching". A link goes from a node (`embed`, `head.L.H`, `mlp_out.L`) to a slot that reads the residual stream behind it
(`q.L.H`, `k.L.G`, `v.L.G`, `mlp_in.L`, `logits`; `_circuit_graph.py`). The slot, and no other, reads the stream with
the node's part taken from the counterfactual; all that follows from it is computed anew. So a link's effect is not that
of its node, which reaches the answer over many links, nor that of its slot, which reads many nodes.

An effect = (clean - patched) / gap, as in `patch`; in direction `denoising` the counterfactual is run and the link
carries the base's value. Links are exchanged one at a time, or all those named together (`joint`), or every link but
those named (`others`): then 1 - effect is the faithfulness of the circuit that is named, as in ACDC (Conmy et al. 2023)
and MIB (Mueller et al. 2025), where nodes hand on what they compute in the patched run itself.

All effects are exact. Runs go part by part from the named weights, many links at once (`_path_runs.py`), so some links,
drawn at random, are measured again by running the model with the slot written into it; a difference is refused. Where a
norm stands behind attention (Gemma), a head's part is over the denominator of the run that it comes from.
"""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._circuit_graph import CircuitGraph, Link
from ._circuit_runs import CircuitRuns
from ._pair_answers import Pair
from ._part_runs import Direction, PartModel
from ._path_check import PathCheck
from ._path_runs import PathRuns
from ._proof import TOLERANCE
from ._subject import Subject


class PathPatchArgs(ToolArgs):
    pairs: tuple[Pair, ...] = Field(
        description="Prompts with their counterfactuals; each pair's have equally many tokens.", min_length=1
    )
    links: tuple[str, ...] = Field(
        (),
        description="Links to patch, written NODE->SLOT or in MIB's names; every link of the model if none is named.",
    )
    joint: bool = Field(False, description="Patch all links named together instead of one at a time.")
    others: bool = Field(False, description="Patch every link but those named, together: what does this circuit keep?")
    direction: Direction = Field(
        "noising",
        description="Hand on the counterfactual's value in the base's run, or (denoising) the other way round.",
    )
    spot_checks: int = Field(
        4, ge=1, le=1000, description="Single links to measure again by running the model itself (count)."
    )
    seed: int = Field(0, ge=0, description="Seed of which links are measured again.")

    @model_validator(mode="after")
    def _is_one_question(self) -> "PathPatchArgs":
        if self.joint and self.others:
            raise ValueError("`joint` patches the links named, `others` all but those named; ask for one of the two")
        if self.others and not self.links:
            raise ValueError("`others` needs `links` to keep")
        return self


class PathCell(Frozen):
    """A link, or several patched together."""

    links: tuple[str, ...] = Field(description="Links named, as NODE->SLOT.")
    effect: float = Field(
        description="Mean over pairs of (clean - patched) / gap; denoising: (patched - corrupted) / gap (share)."
    )
    effects: tuple[float, ...] = Field(description="Effect of each pair (share of the mean gap).")


class PathPatchResult(ToolResult):
    cells: tuple[PathCell, ...] = Field(description="Every link in the order asked, or one cell for all of them.")
    patched: int = Field(description="Links that were exchanged at once (count).")
    clean: tuple[float, ...] = Field(description="Logit difference of each base prompt (nats).")
    corrupted: tuple[float, ...] = Field(description="The same logit difference on each counterfactual (nats).")
    gap: float = Field(description="Mean of clean minus corrupted (nats).")
    no_op_change: float = Field(
        description="Largest change of a logit difference when links carry their own values: rounding (nats)."
    )
    spot_checked: int = Field(description="Single links measured again by running the model itself (count).")
    spot_difference: float = Field(description="Largest difference of those, over pairs (share of the gap).")
    n_pairs: int = Field(description="Pairs that ran (count).")


@tool
def path_patch(subject: Subject, args: PathPatchArgs, progress: Progress = silent) -> PathPatchResult:
    """Exchange what single links between components carry and measure how far the answer moves.

    Raises:
        ToolError: a link that the model lacks, a prompt or answer that it cannot read, a pair of unequal lengths, pairs
            without an effect to share out, or effects that are not what the model itself does.
    """
    graph = CircuitGraph(subject.shape)
    links = tuple(dict.fromkeys(map(graph.link, args.links))) or graph.links
    together = args.joint or args.others
    runs = CircuitRuns(subject, args.pairs, args.direction)
    gap = runs.gap
    if together:
        kept = set(links) if args.others else set(graph.links) - set(links)
        answers, own = runs.answers([kept, graph.links], progress).split(1)
    else:
        kept = set(graph.links[1:])
        answers, own = _one_by_one(runs.models, links, progress), _one_by_one(runs.models, _one_each(graph), share=0.0)
    unchanged, towards = (runs.clean, 1) if args.direction == "noising" else (runs.corrupted, -1)
    drawn = random.Random(args.seed).sample(links, min(args.spot_checks, len(links)))
    difference = max(_difference(model, drawn) for model in runs.models)
    progress(len(links), len(links), "links patched")
    names = tuple(f"{node}->{slot}" for node, slot in links)
    return PathPatchResult(
        cells=_cells([names] if together else [(name,) for name in names], towards * (unchanged - answers).cpu() / gap),
        patched=len(graph.links) - len(kept),
        clean=tuple(runs.clean.tolist()),
        corrupted=tuple(runs.corrupted.tolist()),
        gap=gap,
        no_op_change=(own - unchanged).abs().max().item(),
        spot_checked=len(drawn),
        spot_difference=difference / abs(gap),
        n_pairs=len(args.pairs),
    )


def _cells(names: Sequence[tuple[str, ...]], effects: Float[Tensor, "_ batch"]) -> tuple[PathCell, ...]:
    rows = zip(names, effects.mean(1).tolist(), effects.tolist(), strict=True)
    return tuple(PathCell(links=links, effect=mean, effects=tuple(each)) for links, mean, each in rows)


def _one_by_one(
    models: Sequence[PartModel], links: Sequence[Link], progress: Progress = silent, share: float = 1.0
) -> Float[Tensor, "_ batch"]:
    """Answers with each link alone exchanged (nats of logit difference)."""
    return torch.cat([PathRuns(model, share).answers(links, progress) for model in models], 1)


def _one_each(graph: CircuitGraph) -> list[Link]:
    """One link into the slots of each kind in each block."""
    found: dict[tuple[str, ...], Link] = {}
    for node, slot in graph.links:
        found[tuple(slot.split(".")[:2])] = node, slot
    return list(found.values())


def _difference(model: PartModel, links: Sequence[Link]) -> float:
    """Largest difference between single links here and in the model itself (nats).

    Raises:
        ToolError: it is more than rounding.
    """
    found, check = PathRuns(model).answers(links).cpu(), PathCheck(model)
    allowed = TOLERANCE[model.subject.model.dtype] * max(1.0, check.largest_logit)
    worst = 0.0
    for link, mine in zip(links, found, strict=True):
        difference = (mine - check.answers(link)).abs().max().item()
        worst = max(worst, difference)
        if not difference <= allowed:
            raise ToolError(
                f"Exchanging {link[0]}->{link[1]} moves an answer by {difference:.2g} nats more or less than in the "
                f"model itself (allowed {allowed:.2g}).",
                mend="Load the model in float32.",
            )
    return worst
