"""Secant patching: what every link holds up, told from a run or two for each slot that reads.

A link's run is cut behind the part that reads it. How far the link's exchange moves what that part writes is computed
exactly (as AtP*, Kramár et al. 2024, does for queries and keys). What follows is run for one such move into each slot,
and told of the slot's other links by proportion (as the rescale rule of DeepLIFT, Shrikumar et al. 2017, tells it of
single units); across that, a gradient says the rest, scaled down where it overstated the run. Method and what is exact:
`_circuit_secants.py`.

The scores are estimates of what `path_patch` measures, but for those links whose move was run. A saturated pattern or a
threshold behind the slot, where `eap` sees nothing and `eap_ig` needs many points, is crossed in one step. The number
of runs to the end grows with slots, not with links: for each family two runs and one pass backwards, for each node one
pass through each block behind it alone, and for each slot `runs` runs from its block on. Least near are nodes that move
a part another way than those that were run: there take more `runs`, or measure the links. What several nodes do to one
slot not each but together, no score of single links shows.
"""

from pydantic import Field

from ._base import Progress, silent, tool
from ._circuit_results import ScoreArgs, ScoresResult, scores_of_links
from ._circuit_scores import Asking, FamilyScores
from ._circuit_secant_runs import secant_drops
from ._circuit_secants import First
from ._subject import Subject


class SecantPatchArgs(ScoreArgs):
    runs: int = Field(
        2,
        ge=1,
        le=1000,
        description="Runs for each slot, 1 or 2 to be fast; with more than there are nodes all links are measured "
        "(count).",
    )
    first: First = Field(
        "largest",
        description="What the first run of a slot exchanges: the node that moves the part most, or (whole) all nodes. "
        "With `whole` and 1 run no link is measured by itself into a slot that several nodes move.",
    )


@tool
def secant_patch(subject: Subject, args: SecantPatchArgs, progress: Progress = silent) -> ScoresResult:
    """Estimate what every link holds up: exact as far as the part that reads it, by proportion to a run from there on.

    Raises:
        ToolError: pairs of unequal lengths, an answer the tokenizer splits, or prompts without a gap between them.
    """
    asking = Asking.of(subject, args.families)
    scores: list[FamilyScores] = []
    for one, runs in zip(asking.asked, asking.runs, strict=True):
        progress(len(scores), len(asking.asked), f"scoring links by {one.name!r}")
        scores.append(FamilyScores(one.name, one.clusters, runs, secant_drops(runs, args.runs, args.first)))
    return scores_of_links(asking, scores, args, progress)
