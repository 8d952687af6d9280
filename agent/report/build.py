"""From a finished investigation to its report: nothing is measured here, only put in order."""

import platform
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ...tools import Measurement
from .._attempts import REFUTED, Refuting, is_broken
from .._samples import arm_key, arms_of
from ..approving import PLAN, decided, dropped
from ..asking import FIXED_COURSE, planning_model
from ..beside import set_beside
from ..headlines import headline
from ..planners._plain import name, say
from ..planners.interface import JudgedClaim, View, Words
from ..tempered import tempered
from ..wording import worded_in
from ._asked import ASKED, Asked
from ._attempt_words import broken_sentence
from .schema import (
    Analysis,
    Claim,
    Coverage,
    MeasurementRecord,
    Premise,
    Report,
    ReportedSubject,
    ReusedFinding,
    Sentence,
)

if TYPE_CHECKING:
    from ..desk import Desk

ENVIRONMENT = ("vesalius", "torch", "transformers", "tokenizers", "numpy", "scipy")


def build_report(desk: "Desk", view: View) -> Report:
    """The report of one investigation."""
    report = set_beside(desk, _by_code(desk, view))
    worded = worded_in(desk, report)
    return report if worded is None else Report.model_validate({**dict(report), "worded": worded})


def _by_code(desk: "Desk", view: View) -> Report:
    """All of it but what a language model worded."""
    claims = desk.docket.claims
    words = tempered(desk.planner.word(view, claims), claims)
    logged, measured = _logged(desk), desk.docket.arms_measured
    return Report(
        run=desk.folder.name,
        question=view.task.question,
        asked=_asked(desk),
        created=desk.folder.info.created,
        planner=desk.planner.name,
        seconds=_seconds_since(desk.folder.info.created),
        seed=desk.seed,
        subject=ReportedSubject(
            key=view.card.key,
            shape=vars(desk.subject.shape),
            device=str(desk.subject.device),
            dtype=str(desk.subject.model.dtype).removeprefix("torch."),
        ),
        environment=_environment(),
        premise=Premise(holds=words.premise_holds, sentence=words.premise),
        answer=(*words.answer, *map(broken_sentence, filter(is_broken, claims))),
        claims=tuple(_claim(desk, measured, claim, words) for claim in claims),
        measurements=_records(logged, view),
        tried=tuple(_analysis(step, entry, view) for step, entry in enumerate(logged, start=1)),
        coverage=_coverage(desk, view),
        black_box=words.black_box,
        reused=tuple(
            ReusedFinding(text=hit.text, run=hit.run, record=hit.record, similarity=hit.similarity)
            for hit in view.recalled
        ),
        not_found=(*words.not_found, *_not_done(desk, view)),
        refuting=_refuting(desk),
        planning=words.planning,
        ledger_digest=desk.ledger.digest,
        graph=view.results["graph"].id if "graph" in view.results else None,
    )


def _asked(desk: "Desk") -> Asked | None:
    """The words in which the question came, where a language model read them."""
    noted = desk.ledger.find(ASKED)
    return Asked.model_validate(noted.body[ASKED]) if noted else None


def _logged(desk: "Desk") -> list[dict[str, Any]]:
    """Every experiment in the order in which it ran, those that could not run included."""
    return [entry.body for entry in desk.ledger.entries() if "key" in entry.body and "tool" in entry.body]


def _records(logged: list[dict[str, Any]], view: View) -> tuple[MeasurementRecord, ...]:
    """Every measurement once, under its first role: two experiments that ask the same share one."""
    first: dict[str, MeasurementRecord] = {}
    for entry in logged:
        if "measurement" in entry:
            record = MeasurementRecord(measurement=view.results[entry["key"]], phase=entry["phase"], why=entry["why"])
            first.setdefault(record.measurement.id, record)
    return tuple(first.values())


def _claim(desk: "Desk", measured: dict[str, Measurement], claim: JudgedClaim, words: Words) -> Claim:
    prediction = claim.proposal.prediction
    ran = [measured.get(arm_key(prediction, arm)) for arm in arms_of(prediction)]
    sealed = desk.ledger.find(f"sealed:{prediction.id}")
    assert sealed is not None, f"{prediction.id} was judged but never sealed"
    return Claim(
        id=claim.id,
        sentence=words.claims[claim.id],
        hypothesis=claim.proposal.hypothesis,
        prediction=prediction,
        judgement=claim.judgement,
        measurements=tuple(m.id for m in ran if m is not None),
        sealed=sealed.hash,
        attempts=claim.attempts,
    )


def _not_done(desk: "Desk", view: View) -> Iterator[Sentence]:
    """What was wanted of this run and left undone, and by whom."""
    yield from map(_refusal, desk.docket.refused)
    yield from _cut_short(desk)
    yield from _fixed_course(desk)
    yield from _dropped(desk, view)


def _cut_short(desk: "Desk") -> tuple[Sentence, ...]:
    """That a budget ended the exploration, where one did."""
    return (say("Exploration was cut short:", name(desk.stopped) + "."),) if desk.stopped else ()


def _fixed_course(desk: "Desk") -> tuple[Sentence, ...]:
    """That a language model was to plan, and had nothing to choose."""
    info = desk.folder.info
    if not info.planned.by or planning_model(info):
        return ()
    once = "So it was asked once, and no names were hidden." if info.planned.compare else ""
    return (say("The language model", name(info.planned.by), f"was not asked to plan: {FIXED_COURSE}.", once),)


def _dropped(desk: "Desk", view: View) -> Iterator[Sentence]:
    """What a person did not want sealed."""
    decision = decided(desk.ledger, PLAN)
    for one in dropped(desk.planner.propose(view), decision) if decision else ():
        yield say("Not sealed, as the person who approves wanted:", name(one.hypothesis.statement) + ".")


def _refuting(desk: "Desk") -> Refuting | None:
    """How claims were tried, where they were to be."""
    noted = desk.ledger.find(REFUTED)
    return Refuting.model_validate(noted.body[REFUTED]) if noted else None


def _refusal(refused: tuple[str, str]) -> Sentence:
    return say("Proposed and refused:", name(refused[0]) + ".", name(refused[1]))


def _analysis(step: int, entry: dict[str, Any], view: View) -> Analysis:
    measurement = view.results.get(entry["key"])
    outcome = headline(measurement) if measurement else say("Could not run:", name(entry["failed"]))
    return Analysis(
        step=step,
        tool=entry["tool"],
        why=entry["why"],
        measurement=measurement.id if measurement else None,
        outcome=outcome,
    )


def _coverage(desk: "Desk", view: View) -> Coverage:
    """What was patched, by kind of site, and what was not looked at."""
    cells = {
        (cell["site"], cell["position"])
        for m in view.results.values()
        if m.tool == "patch"
        for cell in m.result["cells"]
    }
    examined = Counter(site.split(".")[0] for site, _ in cells)
    groups = {m.args["supernode"] for m in view.results.values() if m.tool == "supernode_effect"}
    examined += Counter({"supernode": len(groups)})
    searched = any(m.tool == "circuit_search" for m in view.results.values())
    unpatched = "single neurons" if searched else "queries, keys and single neurons"
    blind = [f"{unpatched} were not patched", "positions other than those named were not patched"]
    if view.card.dictionary is None:
        blind.append("dictionary features were not examined: there is no dictionary")
    return Coverage(
        examined=dict(sorted(examined.items())),
        not_examined=tuple(blind),
        units_looked_at=desk.docket.units_looked_at,
    )


def _environment() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ENVIRONMENT}}


def _seconds_since(created: str) -> float:
    return round(time.time() - datetime.fromisoformat(created).timestamp(), 1)
