"""What a run leaves in the memory: its claims, its hypotheses, and cards of the features it described."""

from typing import TYPE_CHECKING, Any

from ..memory import AnyRecord, ClaimRecord, HypothesisRecord, Trial
from ..tools import Measurement, digest
from ._attempts import tier_of
from ._evidence import Arm, Prediction
from ._feature_cards import Tests, cards_of
from ._samples import arm_key, arms_of
from .planners._pairs import matched_task
from .planners.interface import JudgedClaim, View
from .planners.reading import TAKING_PAIRS

if TYPE_CHECKING:
    from .desk import Desk

# What an instrument did at its place, by the arguments that say so; of any other, all arguments but these.
_DONE = {"patch": ("value", "direction", "without"), "supernode_effect": ("mode",), "feature_contrast": ("scale",)}
_NOT_DONE = {"pairs", "site", "sites", "positions", "random_draws", "seed", "dictionary", "force_dictionary"}
_DIGITS = 12


def records_of(desk: "Desk", view: View) -> list[AnyRecord]:
    """Everything worth finding again."""
    records: list[AnyRecord] = []
    claims = desk.docket.claims
    for claim in claims:
        records += [_claim(desk, view, claim), _hypothesis(desk, view, claim)]
    about = {key: found for key, found in view.results.items() if not _of_another_prompt(found, view)}
    return records + cards_of(desk.subject.key, desk.folder.name, Tests(desk.docket.sealed, claims, about))


def _of_another_prompt(found: Measurement, view: View) -> bool:
    """Whether features were named on a prompt that nobody asked about: they were put in to test others."""
    return found.tool == "probe_prompts" and found.args["prompt"] != view.task.prompt != ""


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
        tier=tier_of(claim),
        text=claim.proposal.hypothesis.statement,
        verdict=judged.verdict,
        effect=judged.effect,
        interval=None if judged.low is None or judged.high is None else (judged.low, judged.high),
        question=view.task.question,
        where=_where(args),
        measurements=measurements_of(view, claim),
        tested=trial_of(view, claim),
    )


def trial_of(view: View, claim: JudgedClaim) -> Trial | None:
    """What a claim was tested by; none where it is about more than one place, or features of no known dictionary."""
    prediction = claim.proposal.prediction
    arm = prediction.arms[0]
    place = _place(arm.args, _dictionary(view, prediction))
    if place is None:
        return None
    return Trial(
        behaviour=_behaviour(view, claim),
        kind=prediction.kind,
        predicts="effect" if prediction.direction == "positive" else "no effect",
        intervention=_intervention(arm),
        families=tuple(one.counterfactual_family for one in prediction.arms),
        **place,
    )


def _place(args: dict[str, Any], dictionary: str) -> dict[str, Any] | None:
    if "features" in args or "feature" in args:
        features = tuple(sorted(args.get("features", ())) or (args["feature"],))
        found = {"features": features, "supernode": args.get("supernode", ""), "dictionary": dictionary}
        return found if dictionary else None
    if "positions" not in args:
        return None  # about the answer alone
    sites, positions = args.get("sites") or [args["site"]], args["positions"]
    return {"site": sites[0], "position": positions[0]} if len(sites) == len(positions) == 1 else None


def _dictionary(view: View, prediction: Prediction) -> str:
    """Digest of the dictionary that the arms were measured in, which their arguments only name; empty for sites."""
    ran = (view.results.get(arm_key(prediction, arm)) for arm in prediction.arms)
    return next((found.result.get("dictionary_digest") or "" for found in ran if found is not None), "")


def _behaviour(view: View, claim: JudgedClaim) -> str:
    """What the model does in the prompts of a claim: claims about different tasks are never set side by side."""
    task = view.task
    if task.kind == "feature":
        return claim.proposal.hypothesis.statement
    if task.kind in TAKING_PAIRS:
        return " ".join(task.behaviour.casefold().split())
    if task.kind == "trigger":
        return "whatever is asked"
    matched = matched_task(task, view.card)
    return f"task {matched[0].name}" if matched else f"{task.answer!r} after {task.prompt!r}"


def _intervention(arm: Arm) -> str:
    if arm.tool in _DONE:
        how = ", ".join(f"{name} {arm.args[name]}" for name in _DONE[arm.tool] if arm.args.get(name))
        return f"{arm.tool} ({how})" if how else arm.tool
    return f"{arm.tool} {digest({k: v for k, v in arm.args.items() if k not in _NOT_DONE})[:_DIGITS]}"


def _where(args: dict[str, Any]) -> str:
    if "sites" not in args and "site" not in args and not {"feature", "features", "supernode"} & args.keys():
        return "the answer"
    if "feature" in args:
        return f"feature {args['feature']}"
    if "supernode" in args:
        return f"supernode {args['supernode']}"
    out = f" without {', '.join(args['without'])}" if args.get("without") else ""
    return f"{'+'.join(args.get('sites') or [args['site']])} at {args['positions'][0]}{out}"


def _hypothesis(desk: "Desk", view: View, claim: JudgedClaim) -> HypothesisRecord:
    return HypothesisRecord(
        subject=desk.subject.key,
        run=desk.folder.name,
        tier=tier_of(claim),
        statement=claim.proposal.hypothesis.statement,
        verdict=claim.judgement.verdict,
        question=view.task.question,
        measurements=measurements_of(view, claim),
        tested=trial_of(view, claim),
    )
