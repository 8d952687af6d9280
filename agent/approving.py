"""A person's say in a run: what may be measured, and what is sealed as it stands, changed, or not at all.

Whoever approves speaks before a prediction is sealed, never after. The word is written into the ledger, so that a run
that waits for it can be taken up from another process, and a reader sees what was changed. Nothing of the evidence is
theirs to choose: of a prediction they may change the place, and code seals it with the controls that are due.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from ..tools import Frozen, ToolError
from .ledger import Ledger
from .planners.interface import Experiment, Proposal
from .sealing import together

Approve = Literal["none", "plan", "each"]
"""What is asked for: nothing; the predictions before they are sealed; these and each exploration before it runs."""
PLAN = "plan"


class Place(Frozen):
    """What a prediction is to be about instead."""

    site: str = Field(default="", description="Site, such as resid_post.1; empty to leave it.")


class Decision(Frozen):
    """What the approver says."""

    drop: tuple[str, ...] = Field(default=(), description="Predictions that are not to be sealed; `all` for every one.")
    changes: Mapping[str, Place] = Field(default_factory=dict, description="Places to change, by prediction.")
    skip: bool = Field(default=False, description="Of an experiment: it is not to be run.")
    stop: bool = Field(default=False, description="Of an experiment: it and whatever would follow are not to be run.")


class Waiting(Frozen):
    """What a run waits to hear of."""

    key: str = Field(description="`plan`, or the key of an experiment.")
    proposals: tuple[dict[str, Any], ...] = Field(default=(), description="Predictions, in short.")
    experiment: dict[str, Any] | None = Field(default=None, description="An experiment, in short.")


def decided(ledger: Ledger, key: str) -> Decision | None:
    """What was said of the plan or of an experiment; none as long as nothing was."""
    entry = ledger.find(f"approved:{key}")
    return Decision.model_validate(entry.body["decision"]) if entry else None


def decide(
    ledger: Ledger, waiting: Waiting, decision: Decision, site_of: Callable[[str], object] | None = None
) -> None:
    """Write down what was said.

    Args:
        site_of: finds a site of the subject, where that is at hand; a place that it refuses is not written down.

    Raises:
        ToolError: it is about predictions that there are not, or changes what has no place of that kind, or to one that
            the subject has not.
    """
    known = {one["prediction"]: one for one in waiting.proposals}
    named = {*decision.changes, *decision.drop} - {"all"}
    if strange := sorted(named - known.keys()):
        raise ToolError(f"There is no prediction {strange[0]}.", mend=f"There are: {', '.join(known) or 'none'}.")
    for name in decision.changes:
        if not known[name]["site"]:
            raise ToolError(f"{name} is about no site.", mend="Seal it as it stands, or drop it.")
        if site_of is not None and decision.changes[name].site:
            site_of(decision.changes[name].site)
    ledger.append(f"approved:{waiting.key}", "note", {"decision": decision.model_dump(mode="json")})


def waiting_for_plan(proposals: Sequence[Proposal]) -> Waiting:
    """The predictions as a person is shown them."""
    return Waiting(key=PLAN, proposals=tuple(map(_in_short, proposals)))


def waiting_for(experiment: Experiment) -> Waiting:
    """An experiment as a person is shown it."""
    return Waiting(key=experiment.key, experiment=experiment.model_dump(mode="json", include={"tool", "args", "why"}))


def approved(proposals: Sequence[Proposal], decision: Decision | None) -> tuple[Proposal, ...]:
    """The proposals as the approver wants them."""
    if decision is None:
        return tuple(proposals)
    if "all" in decision.drop:
        return ()
    # A name is sealed with all that it says or not at all, so what is dropped of it drops the rest.
    groups = (group for group in together(proposals) if not {one.prediction.id for one in group} & {*decision.drop})
    kept = (one for group in groups for one in group)
    return tuple(_changed(one, decision.changes.get(one.prediction.id, Place())) for one in kept)


def dropped(proposals: Sequence[Proposal], decision: Decision | None) -> tuple[Proposal, ...]:
    """The proposals that the approver does not want."""
    kept = {one.prediction.id for one in approved(proposals, decision)}
    return tuple(one for one in proposals if one.prediction.id not in kept)


def _in_short(proposal: Proposal) -> dict[str, Any]:
    prediction = proposal.prediction
    args = prediction.arms[0].args
    sites, positions = args.get("sites") or [""], args.get("positions") or [""]
    return {
        "prediction": prediction.id,
        "statement": proposal.hypothesis.statement,
        "direction": prediction.direction,
        "site": sites[0],
        "position": positions[0],
        "arms": [{"label": arm.label, "pairs": len(arm.args.get("pairs", ()))} for arm in prediction.arms],
        "refuted_if": proposal.hypothesis.refuted_if,
    }


def _changed(proposal: Proposal, place: Place) -> Proposal:
    """The proposal about another place, in words that say so."""
    if place == Place():
        return proposal
    prediction, hypothesis = proposal.prediction, proposal.hypothesis
    before = prediction.arms[0].args
    args = ({**arm.args, "sites": [place.site]} for arm in prediction.arms)
    arms = tuple(arm.model_copy(update={"args": one}) for arm, one in zip(prediction.arms, args, strict=True))
    statement = hypothesis.statement.replace(f"`{before['sites'][0]}`", f"`{place.site}`")
    return Proposal(
        hypothesis=hypothesis.model_copy(update={"statement": statement}),
        prediction=prediction.model_copy(update={"arms": arms}),
    )
