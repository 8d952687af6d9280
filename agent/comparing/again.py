"""What A was asked, and the circuits that were searched in it, measured again on B and set beside each other."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ...tools import Measurement
from .._gates import FALSE_DISCOVERY_RATE
from .._statistics import benjamini_hochberg
from ..planners.interface import Experiment
from ..planners.protocol import LEAST_SURE, MAJORITY
from ..report.schema import MeasurementRecord, Report
from .labels import FEWER
from .results import BehaviourAgain, CircuitAgain, LinkAgain, Lost

ASKED, SEARCHED = "next_token", "circuit_search"


def asked_again(report: Report, number: int) -> Iterator[tuple[Experiment, MeasurementRecord]]:
    """Every set of prompts with expected answers that A was asked, and every search for a circuit."""
    for record in report.measurements:
        made = record.measurement
        if made.subject.reinit_seed is not None:
            continue
        asks = made.tool == ASKED and made.args.get("answers")
        if asks or made.tool == SEARCHED:
            phase = "black_box" if asks else "explore"
            key = f"again:{number}:{made.id}"
            yield Experiment(key=key, tool=made.tool, args=made.args, why=record.why, phase=phase), record


def behaviour(
    report: Report, record: MeasurementRecord, found: Measurement | None, problem: str, is_premise: bool
) -> BehaviourAgain:
    """The same prompts on both models.

    Args:
        found: on B; none where it cannot be asked.
        problem: why it cannot.
        is_premise: whether the question takes these answers for granted.
    """
    made = record.measurement
    before = made.result["answers"]
    about: dict[str, Any] = {
        "run": report.run,
        "question": report.question,
        "why": record.why,
        "is_premise": is_premise,
        "measurement_a": made.id,
        "n": len(before),
        "right_a": sum(one["rank"] == 1 for one in before),
        "probability_a": _mean(before),
    }
    if found is None:
        return BehaviourAgain(**about, measurement_b="", problem=problem)
    after = found.result["answers"]
    both = list(zip(made.args["prompts"], made.args["answers"], before, after, strict=True))
    lost = tuple(
        Lost(prompt=prompt, answer=answer, before=a["probability"], after=b["probability"], now=b["top"][0][0])
        for prompt, answer, a, b in both
        if a["rank"] == 1 and b["rank"] != 1
    )
    n_gained = sum(a["rank"] != 1 and b["rank"] == 1 for _, _, a, b in both)
    return BehaviourAgain(
        **about,
        measurement_b=found.id,
        right_b=sum(one["rank"] == 1 for one in after),
        probability_b=_mean(after),
        lost=lost,
        n_gained=n_gained,
        p=_mcnemar(len(lost), n_gained),
        gone=is_premise and _holds(before) and not _holds(after),
    )


def _mcnemar(lost: int, gained: int) -> float:
    """The exact one-sided p that answers are not lost more often than gained (McNemar 1947)."""
    changed = lost + gained
    return sum(math.comb(changed, k) for k in range(lost, changed + 1)) / 2**changed


def with_falls(asked: Sequence[BehaviourAgain]) -> tuple[BehaviourAgain, ...]:
    """Each set of prompts with whether B answers surely fewer of them, corrected over all of them."""
    told = [one for one in asked if one.measurement_b]
    q = dict(zip(map(id, told), benjamini_hochberg([one.p for one in told]) if told else (), strict=True))
    return tuple(one.model_copy(update={"fell": _fell(one, q[id(one)])}) if one.measurement_b else one for one in asked)


def _fell(one: BehaviourAgain, q: float) -> bool:
    return q <= FALSE_DISCOVERY_RATE and one.right_a - one.right_b > FEWER * one.n


def _mean(answers: list[dict[str, Any]]) -> float:
    return sum(float(one["probability"]) for one in answers) / len(answers)


def _holds(answers: list[dict[str, Any]]) -> bool:
    """As the planner decides it of a question's premise."""
    sure = [one["rank"] == 1 and one["probability"] >= LEAST_SURE for one in answers]
    return sum(sure) >= MAJORITY * len(answers)


def circuit(report: Report, made: Measurement, found: Measurement | None, problem: str) -> CircuitAgain:
    """The circuits of both models, link by link."""
    if found is None:
        return CircuitAgain(run=report.run, measurement_a=made.id, measurement_b="", problem=problem)
    ours, theirs = _links(made), _links(found)
    links = [
        LinkAgain(
            source=name[0],
            slot=name[1],
            a=ours[name]["score"] if name in ours else None,
            b=theirs[name]["score"] if name in theirs else None,
            hidden=any(side[name]["hidden"] for side in (ours, theirs) if name in side),
        )
        for name in {**ours, **theirs}
    ]
    return CircuitAgain(
        run=report.run,
        measurement_a=made.id,
        measurement_b=found.id,
        links=tuple(sorted(links, key=lambda one: (-max(abs(one.a or 0), abs(one.b or 0)), one.source, one.slot))),
        faithfulness_a=tuple(made.result["faithfulness"]),
        faithfulness_b=tuple(found.result["faithfulness"]),
    )


def _links(made: Measurement) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["source"], one["slot"]): one for one in made.result["links"] if one["in_circuit"]}
