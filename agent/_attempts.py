"""Attempts to break a supported claim: what was tried, and what came of it by fixed rules.

An attempt asks for the claim's own place on prompts that the claim was not tested on. What is sealed is always the
same, that nothing happens there; so a claim of an effect is broken where that is supported, and a claim of no effect
where it is refuted. That an effect is there counts only if its q holds among every unit looked at, the other attempts
included; that none is there needs the judge's equivalence test, as any absence does.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, get_args, runtime_checkable

from pydantic import Field

from ..tools import Frozen
from ._chain import Entry
from ._evidence import Judgement, Prediction, Tier
from ._gates import FALSE_DISCOVERY_RATE

Outcome = Literal["broken", "survived", "undecided"]
TIERS: tuple[Tier, ...] = get_args(Tier)
TIER_OF_BROKEN: Tier = "controlled"
AttemptId = Annotated[str, Field(pattern=r"^c[0-9]{1,6}\.[0-9]{1,3}$")]
MeasurementId = Annotated[str, Field(pattern=r"^m-[0-9a-f]{4,64}$")]
REFUTED = "refuted"  # key of the note that ends all attempts of a run
WEAKER = 0.5  # of a claim's own effect: below that it is told as weaker
COUNTER = "attempt"  # under which an entry of the ledger says which attempt it belongs to


class Attempt(Frozen):
    """One sealed counter-prediction against a claim, or why there is none."""

    id: AttemptId = Field(description="The claim, and which attempt on it, from 1.")
    by: str = Field(description="Language model that worded the prompts; empty where code took them.")
    way: str = Field(description="In what the prompts differ from those that the claim was tested on.")
    n_asked: int = Field(ge=0, description="Pairs of prompts that the subject was asked (count).")
    n_pairs: int = Field(ge=0, description="Those of them that it answers as they say, and that were used (count).")
    outcome: Outcome = Field(description="What the attempt did to the claim.")
    reason: str = Field(description="Why, in plain words.")
    prediction: Prediction | None = Field(default=None, description="As sealed before it was measured; if it was.")
    judgement: Judgement | None = Field(default=None, description="What the judge made of it; if it ran.")
    measurements: tuple[MeasurementId, ...] = Field(default=(), description="Asking, test and controls.")
    sealed: str = Field(default="", description="Hash of the ledger's entry that sealed the prediction.")


class Refuting(Frozen):
    """How claims were tried, for the report."""

    by: str = Field(default="", description="Language model that worded the prompts; empty where code took them.")
    most: int = Field(ge=1, description="Most attempts on each claim (count).")
    stopped: str = Field(default="", description="Why not all attempts were made; empty where they were.")


@runtime_checkable
class Attempted(Protocol):
    """What an attempt is made on: a claim, judged or reported."""

    @property
    def judgement(self) -> Judgement: ...
    @property
    def attempts(self) -> tuple[Attempt, ...]: ...


def is_broken(claim: Attempted) -> bool:
    """Whether some attempt broke a claim."""
    return any(attempt.outcome == "broken" for attempt in claim.attempts)


def tier_of(claim: Attempted) -> Tier:
    """The tier that the words of a report may use.

    A broken claim keeps its verdict: it held on the prompts that were sealed for it, and they were a fair sample of
    what was asked about. But the words of `replicated` (always, in general, regardless of) say that other prompts do
    not matter, and here some were found that do. So it is told as `controlled` at most, whatever its other evidence.
    """
    judged = claim.judgement.tier
    if is_broken(claim) and TIERS.index(judged) > TIERS.index(TIER_OF_BROKEN):
        return TIER_OF_BROKEN
    return judged


def outcome_of(claimed: Prediction, judged: Judgement) -> tuple[Outcome, str]:
    """What a judged counter-prediction does to a claim, and why.

    Args:
        claimed: the claim's own prediction.
        judged: of the prediction that nothing happens at that place on the other prompts.
    """
    claims_effect = claimed.direction == "positive"
    if judged.verdict == "inconclusive":
        return "undecided", judged.reason
    if judged.verdict == "supported":
        return ("broken", "The effect is gone.") if claims_effect else ("survived", "There is no effect there either.")
    if judged.q > FALSE_DISCOVERY_RATE:
        return "undecided", f"An effect was seen, but its q is {judged.q:.2g} among every unit looked at."
    if not claims_effect:
        return "broken", "There is an effect."
    return ("survived", "The effect is there.") if judged.effect > 0 else ("broken", "The effect is reversed.")


def in_words(claimed: Prediction, own: float, cell: Mapping[str, Any]) -> str:
    """What was measured at a claim's place on other prompts, before any of it is judged.

    Args:
        claimed: the claim's own prediction.
        own: effect on its own prompts.
        cell: as measured on the others.
    """
    here, gone = cell["effect"], abs(cell["effect"]) <= claimed.smallest_effect
    if claimed.direction != "positive":
        what = "There is no effect either" if gone else "There is an effect"
    elif gone:
        what = "The effect is gone"
    elif here < 0:
        what = "The effect is reversed"
    else:
        what = "The effect stays" if here >= WEAKER * own else "The effect is weaker"
    return (
        f"{what}: {here:.2f} on {len(cell['effects'])} pairs that the subject answers as they say, where "
        f"{cell['moved']:.0%} of the answers moved; {own:.2f} on the claim's own prompts."
    )


def attempts_in(entries: Sequence[Entry], claimed: Prediction, claim: str) -> tuple[Attempt, ...]:
    """The attempts on a claim that a ledger tells of, in order.

    Args:
        entries: of the ledger.
        claimed: the claim's own prediction.
        claim: its id.
    """
    kept = [entry for entry in entries if str(entry.body.get(COUNTER, "")).startswith(f"{claim}.")]
    ran = {entry.body["key"]: entry.body["measurement"] for entry in entries if _is_run(entry)}
    confirmed = {entry.body["measurement"] for entry in entries if entry.kind == "confirmed"}
    names = dict.fromkeys(entry.body[COUNTER] for entry in kept)
    return tuple(
        _attempt(name, [e for e in kept if e.body[COUNTER] == name], ran, confirmed, claimed) for name in names
    )


def asked_key(name: str) -> str:
    """Under which the prompts of an attempt are put to the subject."""
    return f"{name}: asked"


def _is_run(entry: Entry) -> bool:
    return "key" in entry.body and "measurement" in entry.body


def _attempt(
    name: str, entries: Sequence[Entry], ran: dict[str, str], confirmed: set[str], claimed: Prediction
) -> Attempt:
    body = {key: value for entry in entries for key, value in entry.body.items()}
    prompts = body.get("prompts", {})
    asked = ran.get(asked_key(name))
    sealed = next((entry for entry in entries if entry.kind == "sealed"), None)
    judged = Judgement.model_validate(body["judgement"]) if body.get("judgement") else None
    outcome, reason = outcome_of(claimed, judged) if judged else ("undecided", body.get("why", "It was not tested."))
    tested = [m for m in body.get("measurements", ()) if m in confirmed]
    prediction = Prediction.model_validate(body["proposal"]["prediction"]) if sealed else None
    return Attempt(
        id=name,
        by=prompts.get("by", ""),
        way=prompts.get("way", ""),
        n_asked=len(prompts.get("pairs", ())),
        n_pairs=len(prediction.arms[0].args["pairs"]) if prediction else 0,
        outcome=outcome,
        reason=reason,
        prediction=prediction,
        judgement=judged,
        measurements=tuple(dict.fromkeys([*([asked] if asked else []), *tested])),
        sealed=sealed.hash if sealed else "",
    )
