"""Where else a claim may be carried that broke at its place: searched on exploration's prompts, to be sealed anew.

The prompts are those of A's exploration, which confirm nothing, and every place looked at counts against what is found.
A head, block or MLP is a candidate where it gained at least half of what the claim's own place lost: one that took part
before has not taken over. Of the residual stream the nearest sites that carry at least half as much as on A are
candidates, since from a place where an answer has arrived it stays to the end. What makes up for most of the loss on
the held-out prompts is where the claim moved to; what makes up for less, as heads may that stand in for another, is
named beside it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ...tools import Measurement, Subject
from .._evidence import Arm, Hypothesis, Prediction
from .._parts import is_part
from .._samples import clusters_of
from .._statistics import sign_flip
from .._units import unit_of_arm, units_in
from ..planners.interface import Experiment, Proposal
from ..report.schema import Claim, Report

MOST_CANDIDATES = 3
P_SEEN = 0.05  # uncorrected: what is only looked at may be found by chance, and is tested then
HALF = 0.5  # of the loss, from which another place is tested
STREAM = ("resid_pre", "resid_mid", "resid_post")


class Candidate(NamedTuple):
    """Another place, and the effect that exploration saw there."""

    site: str
    seen: float
    before: float  # what A's exploration saw there; nothing of a site of the stream, from which all else is passed on
    lost: float  # what it has to make up for

    def made_up(self, effect: float) -> float:
        """Share of what was lost that an effect at this place makes up for."""
        return (effect - self.before) / self.lost


class Search(NamedTuple):
    """What to measure on B to find other places, and what A's exploration saw of them."""

    experiment: Experiment
    before: dict[str, float]  # effect on A by site
    site: str
    position: str


def search_for(claim: Claim, report: Report, subject: Subject, number: int) -> Search | None:
    """The search for other places of a claim; none where it is about no one site, or A did not explore its kind."""
    for arm in claim.prediction.arms:
        explored = _exploration(arm, report)
        if explored is None:
            continue
        (site,), (position,) = arm.args["sites"], arm.args["positions"]
        out = set(arm.args.get("without", ()))
        sites = [one for one in _alike(site, subject) if one not in out]
        experiment = Experiment(
            key=f"elsewhere:{number}",
            tool=arm.tool,
            args={**explored.args, "sites": sites, "positions": [position]},
            why=f"where else what {report.run} {claim.id} says may be so",
        )
        seen = {cell["site"]: cell["effect"] for cell in explored.result["cells"] if cell["position"] == position}
        return Search(experiment, seen, site, position)
    return None


def _exploration(arm: Arm, report: Report) -> Measurement | None:
    """A's look at an arm's place among others."""
    args = arm.args
    if arm.tool != "patch" or len(args.get("sites", ())) != 1 or len(args.get("positions", ())) != 1:
        return None
    explored = (record.measurement for record in report.measurements if record.phase == "explore")
    patched = (one for one in explored if one.tool == arm.tool and one.subject.reinit_seed is None)
    return next((one for one in patched if unit_of_arm(arm) in {unit for unit, _ in units_in(one)}), None)


def _alike(site: str, subject: Subject) -> list[str]:
    """Every site of the same kind, in order."""
    kind, shape = site.split(".")[0], subject.shape
    layers = range(shape.n_layers)
    if site.count(".") == 2:
        heads = shape.n_kv_heads if kind in ("k", "v") else shape.n_heads
        return [f"{kind}.{layer}.{head}" for layer in layers for head in range(heads)]
    return [f"{kind}.{layer}" for layer in layers]


def candidates(search: Search, found: Measurement, lost: float, smallest: float) -> tuple[Candidate, ...]:
    """Other places where the effect may be now, the likeliest first.

    Args:
        found: the search on B.
        lost: of a part what its effect is less, of a site of the stream the whole effect on A (share of the gap).
        smallest: effects up to this do not matter.
    """
    sites = [cell["site"] for cell in found.result["cells"]]
    clusters = clusters_of(found)
    bar = max(HALF * lost, smallest)
    seen: list[Candidate] = []
    for cell in found.result["cells"]:
        site, effect = cell["site"], cell["effect"]
        before = search.before.get(site, 0.0) if is_part(site) else 0.0
        if site != search.site and effect - before > bar and sign_flip(cell["effects"], clusters, seed=0).p <= P_SEEN:
            seen.append(Candidate(site, effect, before, lost))
    if search.site.split(".")[0] in STREAM:
        here = sites.index(search.site) if search.site in sites else len(sites)
        return tuple(sorted(seen, key=lambda one: abs(sites.index(one.site) - here))[:MOST_CANDIDATES])
    return tuple(sorted(seen, key=lambda one: -one.made_up(one.seen))[:MOST_CANDIDATES])


def proposals(claim: Claim, prediction: Prediction, found: Sequence[Candidate], first: int) -> Iterator[Proposal]:
    """The same prediction at other places, to be completed and sealed like any other.

    Args:
        prediction: as it was sealed for B, with the pairs that B can read.
        first: number of the first.
    """
    (old,) = prediction.arms[0].args["sites"]
    for number, one in enumerate(found, start=first):
        hypothesis = claim.hypothesis.model_copy(
            update={"id": f"h{number}", "statement": claim.hypothesis.statement.replace(f"`{old}`", f"`{one.site}`")}
        )
        arms = tuple(arm.model_copy(update={"args": _at(arm.args, one.site)}) for arm in prediction.arms)
        moved: dict[str, Any] = {"id": f"p{number}", "hypothesis": hypothesis.id, "arms": arms}
        moved |= {"twin_arms": (), "shuffled_arm": None, "expected": None}
        yield Proposal(
            hypothesis=Hypothesis.model_validate(hypothesis.model_dump()),
            prediction=prediction.model_copy(update=moved),
        )


def is_of_parts(claim: Claim) -> bool:
    """Whether a claim is about what one head or block writes."""
    sites = claim.prediction.arms[0].args.get("sites", ())
    return len(sites) == 1 and is_part(sites[0])


def _at(args: dict[str, Any], site: str) -> dict[str, Any]:
    return {**args, "sites": [site]}
