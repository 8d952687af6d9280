"""What a run leaves in the memory: its claims, its hypotheses, and cards of the features it described."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from ..memory import AnyRecord, ClaimRecord, FeatureCard, HypothesisRecord
from ._samples import arm_key, arms_of
from .planners.interface import JudgedClaim, View

if TYPE_CHECKING:
    from .desk import Desk


def records_of(desk: "Desk", view: View) -> list[AnyRecord]:
    """Everything worth finding again."""
    records: list[AnyRecord] = []
    for claim in desk.docket.claims:
        records += [_claim(desk, view, claim), _hypothesis(desk, view, claim)]
    return records + [_card(desk, key, view) for key in view.results if view.results[key].tool == "describe_feature"]


def measurements_of(view: View, claim: JudgedClaim) -> tuple[str, ...]:
    """Ids of the measurements behind a claim: its arms, then its controls."""
    prediction = claim.proposal.prediction
    keys = [arm_key(prediction, arm) for arm in arms_of(prediction)]
    return tuple(view.results[key].id for key in keys if key in view.results)


def _claim(desk: "Desk", view: View, claim: JudgedClaim) -> ClaimRecord:
    judged, args = claim.judgement, claim.proposal.prediction.arms[0].args
    return ClaimRecord(
        subject=desk.subject.key,
        run=desk.folder.name,
        tier=judged.tier,
        text=claim.proposal.hypothesis.statement,
        verdict=judged.verdict,
        effect=judged.effect,
        interval=None if judged.low is None or judged.high is None else (judged.low, judged.high),
        question=view.task.question,
        where=_where(args),
        measurements=measurements_of(view, claim),
    )


def _where(args: dict[str, Any]) -> str:
    if "feature" in args:
        return f"feature {args['feature']}"
    return f"{'+'.join(args['sites'])} at {args['positions'][0]}"


def _hypothesis(desk: "Desk", view: View, claim: JudgedClaim) -> HypothesisRecord:
    return HypothesisRecord(
        subject=desk.subject.key,
        run=desk.folder.name,
        tier=claim.judgement.tier,
        statement=claim.proposal.hypothesis.statement,
        verdict=claim.judgement.verdict,
        question=view.task.question,
        measurements=measurements_of(view, claim),
    )


def _card(desk: "Desk", key: str, view: View) -> FeatureCard:
    found = view.results[key]
    result = found.result
    return FeatureCard(
        subject=desk.subject.key,
        run=desk.folder.name,
        tier="observed",
        dictionary=result["dictionary_digest"],
        feature=f"{result['layer']}/{result['feature']}",
        name=_peak_token(result),
        contexts=tuple("".join(context["tokens"]) for context in result["contexts"]),
        promoted=tuple(entry["token"] for entry in result["promoted"]),
        measurements=(found.id,),
    )


def _peak_token(result: dict[str, Any]) -> str:
    """The token at which most of the strongest contexts peak."""
    peaks = Counter(context["tokens"][context["peak"]].strip() for context in result["contexts"])
    return peaks.most_common(1)[0][0] if peaks else "fires on none of the texts"
