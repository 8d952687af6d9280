"""Judges a report's claims again, from its measurements made again."""

from collections.abc import Mapping

from ..tools import Measurement, SubjectKey
from ._evidence import Arm, Judgement, Prediction
from ._samples import arm_key, arms_of, judge_all
from .bench import request_id
from .docket import TWIN_SEED
from .report.schema import Report


def rejudged(report: Report, again: Mapping[str, Measurement]) -> dict[str, Judgement]:
    """The judgement of every claim and of every attempt to break one, by id, from measurements by id; the same code
    and seed as in the run."""
    explored = [again[r.measurement.id] for r in report.measurements if r.phase == "explore"]
    claimed = [claim.prediction for claim in report.claims]
    counters = [one.prediction for claim in report.claims for one in claim.attempts if one.prediction is not None]
    predictions = claimed + counters
    arms = {key: m for p in predictions for key, m in _of_arms(p, report.subject.key, again).items()}
    failed = {key: why for p in predictions for key, why in _failures(p, report).items()}
    # Claims were judged before any attempt was chosen, and attempts among all that was looked at.
    judged = judge_all(claimed, arms, failed, explored, report.seed)
    tried = judge_all(predictions, arms, failed, explored, report.seed) if counters else {}
    attempts = {one.id: tried[one.id] for one in counters if one.id in tried}
    claims = {claim.id: judged[claim.prediction.id] for claim in report.claims if claim.prediction.id in judged}
    return claims | attempts


def _of_arms(prediction: Prediction, subject: SubjectKey, again: Mapping[str, Measurement]) -> dict[str, Measurement]:
    found = {arm_key(prediction, arm): again.get(_id_of(prediction, arm, subject)) for arm in arms_of(prediction)}
    return {key: measurement for key, measurement in found.items() if measurement is not None}


def _id_of(prediction: Prediction, arm: Arm, subject: SubjectKey) -> str:
    twin_seed = TWIN_SEED if arm in prediction.twin_arms else None
    return request_id(arm.tool, arm.args, subject.model_copy(update={"reinit_seed": twin_seed}))


def _failures(prediction: Prediction, report: Report) -> dict[str, str]:
    """Why arms could not run, by their key, as the report's path of analyses tells it."""
    told = {step.why: step.outcome.text for step in report.tried if step.measurement is None}
    keys = {arm_key(prediction, arm): f"{prediction.id}, {arm.label}" for arm in arms_of(prediction)}
    return {key: told[why] for key, why in keys.items() if why in told}
