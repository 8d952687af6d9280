"""Two runs side by side: what differs in their heads, claims and measurements, by code and in plain words.

What confirms in both runs is one piece of evidence (`shared_confirmations`), however often it is reported. Values are
held against each other with the tolerance of `vesalius verify`.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ...tools import Frozen, Measurement
from ..chat.reuse import shared_confirmations
from ..report._text import cut
from ..report.figures import Lookup, render_plain
from ..report.schema import Phase, Report, Sentence
from ..report.verify import ABSOLUTE, RELATIVE, altered, differences
from .comparing_claims import OVERLAP, RULE, Row, Told, rows_of

MOST_DIFFERENCES = 20  # shown of one measurement

Outcome = Literal["same", "within", "differs", "altered"]


class HeadRow(Frozen):
    """One fact about both runs."""

    name: str = Field(description="What it is.")
    a: str = Field(description="In A; empty where there is none.")
    b: str = Field(description="In B; empty where there is none.")
    same: bool = Field(description="Whether they are equal.")


class Difference(Frozen):
    """A value of a measurement that is another in each run."""

    path: str = Field(description="Where in the result.")
    a: Any = Field(description="In A.")
    b: Any = Field(description="In B.")


class InBoth(Frozen):
    """A measurement that both runs made: the same request."""

    id: str = Field(description="The measurement, in both runs.")
    tool: str = Field(description="Instrument.")
    phase_a: Phase = Field(description="Role in the evidence protocol in A.")
    phase_b: Phase = Field(description="Role in the evidence protocol in B.")
    outcome: Outcome = Field(
        description="Equal to the last bit; within the tolerance; beyond it; or changed in a report since it was made."
    )
    differing: int = Field(description="Values that differ beyond the tolerance (count).")
    differences: tuple[Difference, ...] = Field(description="The first of them.")


class Measured(Frozen):
    """The measurements of both runs."""

    both: tuple[InBoth, ...] = Field(description="What both made; what differs first.")
    only_a: int = Field(description="Measurements of A that B has not made (count).")
    only_b: int = Field(description="Measurements of B that A has not made (count).")
    relative_tolerance: float = Field(default=RELATIVE, description="Share by which a float may differ.")
    absolute_tolerance: float = Field(default=ABSOLUTE, description="Amount by which a float near nothing may differ.")


class Compared(Frozen):
    """Two runs side by side."""

    a: str = Field(description="Name of the one run.")
    b: str = Field(description="Name of the other.")
    told: tuple[str, ...] = Field(description="What the comparison can and cannot say, in plain words.")
    rule: str = Field(description="When two claims are about the same.")
    caution: str = Field(description="What overlapping intervals do not say.")
    head: tuple[HeadRow, ...] = Field(description="What the runs are about, and how they were made.")
    claims: tuple[Row, ...] = Field(description="Every prediction of both, once.")
    shared: tuple[str, ...] = Field(description="Measurements that confirm something in both runs.")
    measured: Measured = Field(description="The measurements of both.")


class Run(NamedTuple):
    """A run by the name of its folder, which need not be the one that its report was written under."""

    name: str
    report: Report

    @property
    def confirming(self) -> frozenset[str]:
        """Its measurements that confirm something."""
        return frozenset(one.measurement.id for one in self.report.measurements if one.phase == "confirm")

    @property
    def told(self) -> Told:
        """Its claims, with what their figures are looked up in."""
        return Told(self.report.claims, Lookup.of(self.report), self.confirming)


def compare(a: Run, b: Run) -> Compared:
    """What is the same in two runs, and what is not."""
    ours, theirs = a.report, b.report
    shared = _shared(a, b)
    same_models, same_question = _same_models(ours, theirs), _plain(ours.question) == _plain(theirs.question)
    told = (_about_models(ours, theirs), _about_questions(same_question), *_about_evidence(a, b, shared))
    return Compared(
        a=a.name,
        b=b.name,
        told=told,
        rule=RULE,
        caution=OVERLAP,
        head=tuple(_head(ours, theirs)),
        claims=tuple(rows_of(a.told, b.told, frozenset(shared), same_question, same_models)),
        shared=shared,
        measured=_measured(ours, theirs),
    )


def _shared(a: Run, b: Run) -> tuple[str, ...]:
    """What confirms in both.

    Under the names of the folders, since one may be a copy of the other, and under one subject: the id of a measurement
    names its subject, so that equal ids are one measurement whatever the heads of two reports say.
    """
    ours = a.report.model_copy(update={"run": a.name})
    theirs = b.report.model_copy(update={"run": b.name, "subject": a.report.subject})
    return tuple(shared_confirmations(ours, [theirs]).get(b.name, ()))


def _same_models(a: Report, b: Report) -> bool:
    """Whether a site of one model is a site of the other: the same weights, or others of one model and shape."""
    ours, theirs = a.subject.key, b.subject.key
    is_one = ours.fingerprint == theirs.fingerprint or ours.model == theirs.model
    return is_one and ours.reinit_seed == theirs.reinit_seed and a.subject.shape == b.subject.shape


def _about_models(a: Report, b: Report) -> str:
    if not _same_models(a, b):
        return (
            "The models are not the same. A site of one is no site of the other, even under the same name, so no claim "
            "of A is set against one of B."
        )
    if a.subject.key.fingerprint != b.subject.key.fingerprint:
        return (
            "The model has one name, but its weights, configuration or tokenizer are not the same: what changed may be "
            "the model, or chance."
        )
    return "Both runs are about the same weights."


def _about_questions(same: bool) -> str:
    if same:
        return "Both were asked the same question."
    return "The questions are not the same: a claim about the same place can be about another behaviour."


def _about_evidence(a: Run, b: Run, shared: tuple[str, ...]) -> Iterator[str]:
    if not (a.confirming and b.confirming):
        return
    if shared:
        is_all = {*shared} == a.confirming | b.confirming
        which = (
            "What confirms in A and in B is the same measurements" if is_all else "Some of what confirms is the same"
        )
        yield f"{which}: for these the two runs are one piece of evidence, not two that agree."
    elif a.report.subject.key.fingerprint == b.report.subject.key.fingerprint:
        yield (
            "No measurement confirms something in both. That alone does not make the runs independent evidence: both "
            "are about the same weights."
        )


def _head(a: Report, b: Report) -> Iterator[HeadRow]:
    ours, theirs = dict(_facts(a)), dict(_facts(b))
    for name in ours:
        if ours[name] or theirs[name]:
            yield HeadRow(name=name, a=ours[name], b=theirs[name], same=ours[name] == theirs[name])


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    lookup, key = Lookup.of(report), report.subject.key
    yield "question", cut(report.question)
    yield "in the asker's words", cut(report.asked.words) if report.asked else ""
    yield "model", cut(key.model)
    yield "weights (fingerprint)", key.fingerprint
    yield "premise", render_plain(report.premise.sentence, lookup)
    yield "answer", _prose(report.answer, lookup)
    yield "black-box answer", _prose(report.black_box, lookup)
    yield "planner", cut(report.planner)
    yield "seed", str(report.seed)
    yield "begun", report.created
    yield "device", f"{report.subject.device}, {report.subject.dtype}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in sorted(report.environment.items()))


def _prose(sentences: tuple[Sentence, ...], lookup: Lookup) -> str:
    return " ".join(render_plain(sentence, lookup) for sentence in sentences)


def _plain(question: str) -> str:
    return " ".join(question.casefold().split())


def _measured(a: Report, b: Report) -> Measured:
    theirs = {record.measurement.id: record for record in b.measurements}
    pairs = [(one, theirs[one.measurement.id]) for one in a.measurements if one.measurement.id in theirs]
    both = [_in_both(one.measurement, other.measurement, one.phase, other.phase) for one, other in pairs]
    return Measured(
        both=tuple(sorted(both, key=lambda one: (one.outcome == "same", -one.differing, one.id))),
        only_a=len(a.measurements) - len(pairs),
        only_b=len(b.measurements) - len(pairs),
    )


def _in_both(a: Measurement, b: Measurement, phase_a: Phase, phase_b: Phase) -> InBoth:
    found = _differences(a.result, b.result)
    was_altered = any(True for one in (a, b) for _ in altered(one))
    outcome: Outcome = (
        "altered" if was_altered else "same" if a.digest == b.digest else "differs" if found else "within"
    )
    return InBoth(
        id=a.id,
        tool=a.tool,
        phase_a=phase_a,
        phase_b=phase_b,
        outcome=outcome,
        differing=len(found),
        differences=tuple(found[:MOST_DIFFERENCES]),
    )


def _differences(a: Any, b: Any) -> list[Difference]:
    """Every value that is another, or is in one of them only: the same whichever is held against the other."""
    found = {path: (was, now) for path, was, now in differences(a, b)}
    found |= {path: (now, was) for path, was, now in differences(b, a) if path not in found}
    return [Difference(path=cut(path), a=_short(was), b=_short(now)) for path, (was, now) in sorted(found.items())]


def _short(value: Any) -> Any:
    """A value to be shown: numbers as they are, text and whatever stands in place of a number cut."""
    if isinstance(value, dict | list):
        value = json.dumps(value)
    return cut(value) if isinstance(value, str) else value
