"""Every arm on some organisms and transcripts: the same pairs for all, and a black box with as many passes as each."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..organisms._hidden_folder import HiddenRule
from ..organisms._hidden_training import Kind, Planting
from ..organisms._hidden_tree import FIELDS
from . import _hidden_arms as arms
from ._hidden_black_box import MOST_QUERIES, black_box
from ._hidden_evidence import Evidence, Trial, draw_trial
from ._hidden_predictor import association, chosen, predict

LEAST = "black_box_least"  # as many passes as the cheapest implementation of gradients needs
FIELDS_ONLY = "black_box_fields"  # the same queries, of which only the scores of fields are used
RELP_FIELDS = "relp_fields"  # the same for `relp`: without its forecasts
TRUE_FIELDS = "true_fields"  # no arm: told which fields the rule asks about, the most that scores of fields can give


@dataclass(frozen=True)
class Outcome:
    """One arm on one transcript."""

    arm: str
    organism: str
    cluster: str  # organisms of one have the same start
    planting: Planting
    kind: Kind
    depth: int
    transcript: int
    accuracy: float  # of the held-out decisions foretold (share)
    f1: float  # of the fields chosen
    auroc: float | None  # of the fields' scores; none where all fields matter, or the arm scores none
    least_passes: int
    run_passes: int
    matched: float | None = None  # accuracy of the black box with as many passes as were run


def outcomes(organism: HiddenRule, n_transcripts: int) -> Iterator[Outcome]:
    """All arms on some transcripts of one organism."""
    for number in range(n_transcripts):
        seed = _seed(organism, number)
        yield from _on_trial(organism, draw_trial(organism.subject, organism.law, seed), number, seed)


def _on_trial(organism: HiddenRule, trial: Trial, number: int, seed: int) -> Iterator[Outcome]:
    asked = organism.subject, organism.law, trial.transcript, seed  # all that an arm learns of a trial
    matched: dict[int, float] = {}
    least = 0
    for name, arm in arms.ARMS.items():
        evidence = arm(*asked)
        budget = min(evidence.run_passes, MOST_QUERIES)
        if budget and budget not in matched:
            matched[budget] = _judged(name, organism, trial, number, black_box(*asked, budget)).accuracy
        least = evidence.least_passes if name == "gradient" else least
        yield _judged(name, organism, trial, number, evidence, matched.get(budget))
        if name == "relp":
            alone = replace(evidence, more=None)
            yield _judged(RELP_FIELDS, organism, trial, number, alone, matched.get(budget))
    evidence = black_box(*asked, least)
    yield _judged(LEAST, organism, trial, number, evidence)
    yield _judged(FIELDS_ONLY, organism, trial, number, replace(evidence, more=None))
    told = np.isin(np.arange(len(FIELDS)), sorted(organism.fields)).astype(float)
    yield _judged(TRUE_FIELDS, organism, trial, number, Evidence(told, 0, 0))


def _judged(
    name: str,
    organism: HiddenRule,
    trial: Trial,
    number: int,
    evidence: Evidence,
    matched: float | None = None,
) -> Outcome:
    """What the common predictor makes of the evidence."""
    known = trial.transcript.known if evidence.more is None else trial.transcript.known + evidence.more
    scores = association(known) if evidence.scores is None else evidence.scores
    fields = chosen(scores)
    # Who has no idea which fields matter leaves that to the trees, which do it better than ten pairs' associations.
    usable = frozenset(range(len(scores))) if evidence.scores is None else fields
    foretold = predict(known, usable, trial.transcript.asked, number)
    plan = organism.plan
    return Outcome(
        arm=name,
        organism=plan.name,
        cluster=plan.cluster,
        planting=plan.planting,
        kind=plan.kind,
        depth=plan.depth,
        transcript=number,
        accuracy=float((foretold == trial.truth).mean()),
        f1=field_f1(fields, organism.fields),
        auroc=field_auroc(scores, organism.fields),
        least_passes=evidence.least_passes,
        run_passes=evidence.run_passes,
        matched=matched,
    )


def field_f1(said: frozenset[int], true: frozenset[int]) -> float:
    """Harmonic mean of precision and recall."""
    return 2 * len(said & true) / (len(said) + len(true))


def field_auroc(scores: np.ndarray, true: frozenset[int]) -> float | None:
    """How often a field of the rule has a higher score than another one; ties count half."""
    is_true = np.isin(np.arange(len(scores)), sorted(true))
    if is_true.all() or not is_true.any():
        return None
    above, below = scores[is_true][:, None], scores[~is_true][None]
    return float(((above > below) + 0.5 * (above == below)).mean())


def _seed(organism: HiddenRule, number: int) -> int:
    said = f"{organism.plan.name} {organism.plan.seed} {number}"
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:4], "big") // 2
