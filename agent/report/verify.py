"""Measures a report's numbers again: reproduced, drifted, or not reproducible.

Whole numbers, truth values and text have to be equal. Floats may differ by a thousandth (or 1e-5 where they are near
nothing): other hardware, thread counts and library versions add float32 numbers in another order, which moves results
in about the fifth digit, and figures are printed with three or fewer: a larger change could alter what a report says.
A stored result is also held against its own digest and id, so a number changed within the tolerance is found too.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field

from ...tools import (
    Frozen,
    Measurement,
    Progress,
    Subject,
    SubjectKey,
    ToolError,
    digest,
    get_tool,
    measurement_id,
    silent,
)
from .._evidence import Judgement
from .schema import Claim, Report

RELATIVE, ABSOLUTE = 1e-3, 1e-5
ABSENT = "absent"
REPRODUCED, DRIFTED, NOT_REPRODUCIBLE = 0, 1, 4  # exit statuses; 2 is a command that failed

Load = Callable[[str], Subject]
Rejudge = Callable[[dict[str, Measurement]], dict[str, Judgement]]


class Drift(Frozen):
    """A value that came out otherwise."""

    id: str = Field(description="Measurement or claim.")
    path: str = Field(description="Where in its result, or in its judgement.")
    was: Any = Field(description="As reported.")
    now: Any = Field(description="As measured again.")


class NotReproducible(Frozen):
    """A measurement or claim that could not be made again."""

    id: str = Field(description="Measurement or claim.")
    reason: str = Field(description="Why, and what would mend it.")


class Verification(Frozen):
    """What came of measuring a report again."""

    reproduced: tuple[str, ...] = Field(description="Measurements and claims that came out the same.")
    drifted: tuple[Drift, ...] = Field(description="Every value that did not.")
    not_reproducible: tuple[NotReproducible, ...] = Field(description="What could not be made again.")
    bit_identical: int = Field(description="Measurements whose digest came out the same (count).")
    measurements: int = Field(description="Measurements of the report (count).")
    relative_tolerance: float = Field(default=RELATIVE, description="Share by which a float may differ.")
    absolute_tolerance: float = Field(default=ABSOLUTE, description="Amount by which a float near nothing may differ.")


def exit_status(verification: Verification) -> int:
    """0: all reproduced; 1: something drifted; 4: nothing drifted, but something could not be measured again."""
    if verification.drifted:
        return DRIFTED
    return NOT_REPRODUCIBLE if verification.not_reproducible else REPRODUCED


def verify(report: Report, load: Load, progress: Progress = silent, rejudge: Rejudge | None = None) -> Verification:
    """Run every measurement of a report again and compare.

    Args:
        report: as written.
        load: a subject by name; called once per name.
        progress: told before each measurement.
        rejudge: judges every claim again from measurements by id; none to compare measurements alone.
    """
    records = [record.measurement for record in report.measurements]
    again, failed = _measure_all(records, Subjects(load), progress)
    drifted = [d for m in records for d in (*altered(m), *_drifts_of(m, again))]
    identical = {m.id for m in records if m.id in again and again[m.id].digest == m.digest}
    judged, unjudged = _judgements(report.claims, again, failed, rejudge, exactly=len(identical) == len(records))
    drifted += judged
    failures = [*((m.id, failed[m.id]) for m in records if m.id in failed), *unjudged]
    wrong = {drift.id for drift in drifted}
    claims = [name for name, _ in _judged(report.claims)] if rejudge and not unjudged else []
    return Verification(
        reproduced=tuple(i for i in [m.id for m in records if m.id in again] + claims if i not in wrong),
        drifted=tuple(drifted),
        not_reproducible=tuple(NotReproducible(id=i, reason=why) for i, why in failures),
        bit_identical=len(identical),
        measurements=len(records),
    )


def _measure_all(
    records: list[Measurement], subjects: "Subjects", progress: Progress
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Every measurement made again, and why some could not be; ordered by subject, so that a twin is made once."""
    again: dict[str, Measurement] = {}
    failed: dict[str, str] = {}
    for done, measurement in enumerate(sorted(records, key=_by_subject)):
        progress(done, len(records), f"{measurement.tool} {measurement.id}")
        try:
            again[measurement.id] = measured_again(measurement, subjects.get)
        except ToolError as error:
            failed[measurement.id] = str(error)
    progress(len(records), len(records), "compared")
    return again, failed


def _by_subject(measurement: Measurement) -> tuple[str, int]:
    key = measurement.subject
    return key.model, -1 if key.reinit_seed is None else key.reinit_seed


class Subjects:
    """Subjects by key, each loaded once; of their twins the last one made is kept."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loaded: dict[str, Subject | ToolError] = {}
        self._twin: tuple[tuple[str, int], Subject] | None = None

    def get(self, key: SubjectKey) -> Subject:
        """The subject of that key.

        Raises:
            ToolError: it cannot be loaded, or its weights are others than those that were measured.
        """
        subject = self._of(key.model)
        found = subject.key.fingerprint
        if found != key.fingerprint:
            raise ToolError(
                f"`{key.model}` has other weights than were measured: fingerprint {found[:12]}, not "
                f"{key.fingerprint[:12]}.",
                mend="Get the weights, configuration and tokenizer that the report names.",
            )
        if key.reinit_seed is None:
            return subject
        name = (key.model, key.reinit_seed)
        if self._twin is None or self._twin[0] != name:
            self._twin = (name, subject.twin(key.reinit_seed))
        return self._twin[1]

    def _of(self, name: str) -> Subject:
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(name)
            except ToolError as error:
                self._loaded[name] = error
        found = self._loaded[name]
        if isinstance(found, ToolError):
            raise found
        return found


def measured_again(
    measurement: Measurement, subject_of: Callable[[SubjectKey], Subject], progress: Progress = silent
) -> Measurement:
    """The same request, run now.

    Args:
        subject_of: the subject that it is about; called once the request is known to be one.

    Raises:
        ToolError: no such tool any more, arguments it no longer takes, other weights, or a tool that cannot run.
    """
    tool = get_tool(measurement.tool)
    args = tool.parse(measurement.args)
    return tool.measure(subject_of(measurement.subject), args, progress)


def altered(measurement: Measurement) -> Iterator[Drift]:
    """Signs that a stored measurement is not as it was written."""
    found = digest(measurement.result)
    if found != measurement.digest:
        yield Drift(id=measurement.id, path="digest of the stored result", was=measurement.digest, now=found)
    due = measurement_id(measurement.tool, measurement.args, measurement.subject)
    if due != measurement.id:
        yield Drift(id=measurement.id, path="id of the stored request", was=measurement.id, now=due)


def _drifts_of(measurement: Measurement, again: Mapping[str, Measurement]) -> Iterator[Drift]:
    if measurement.id in again:
        for path, was, now in differences(measurement.result, again[measurement.id].result):
            yield Drift(id=measurement.id, path=path, was=was, now=now)


def differences(was: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every reported value that is not there or not the same, with its path. What is new contradicts nothing."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key, part in was.items():
            yield from differences(part, now.get(key, ABSENT), f"{path}.{key}" if path else str(key))
    elif isinstance(was, list | tuple) and isinstance(now, list | tuple):
        if len(was) != len(now):
            yield f"{path}.len" if path else "len", len(was), len(now)
        for i, (before, after) in enumerate(zip(was, now, strict=False)):
            yield from differences(before, after, f"{path}.{i}" if path else str(i))
    elif not _same(was, now):
        yield path, was, now


def _same(was: Any, now: Any) -> bool:
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in (was, now)]
    if all(numbers) and (isinstance(was, float) or isinstance(now, float)):
        return math.isclose(was, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(was) is type(now) and was == now


def judged_otherwise(report: Report, rejudge: Rejudge) -> list[Drift]:
    """Verdicts of a report that do not follow from what it measured, as it stores that."""
    stored = {record.measurement.id: record.measurement for record in report.measurements}
    return _judgements(report.claims, stored, {}, rejudge, exactly=False)[0]


def _judgements(
    claims: tuple[Claim, ...],
    again: dict[str, Measurement],
    failed: Mapping[str, str],
    rejudge: Rejudge | None,
    exactly: bool,
) -> tuple[list[Drift], list[tuple[str, str]]]:
    """Verdicts that came out otherwise, and claims that cannot be judged again."""
    if rejudge is None:
        return [], []
    if failed:  # every unit looked at counts toward the false discovery rate, so none may be missing
        why = f"Not every measurement could be made again ({len(failed)} could not)."
        return [], [(name, why) for name, _ in _judged(claims)]
    judged = rejudge(again)
    drifts: list[Drift] = []
    for name, judgement in _judged(claims):
        now = _comparable(judged[name], exactly) if name in judged else ABSENT
        found = differences(_comparable(judgement, exactly), now)
        drifts += [Drift(id=name, path=f"judgement.{p}" if p else "judgement", was=a, now=b) for p, a, b in found]
    return drifts, []


def _judged(claims: tuple[Claim, ...]) -> list[tuple[str, Judgement]]:
    """Every judgement of a report, by the id of its claim, or of the attempt to break one."""
    attempts = [(one.id, one.judgement) for claim in claims for one in claim.attempts]
    mine = [(claim.id, claim.judgement) for claim in claims]
    return mine + [(name, judgement) for name, judgement in attempts if judgement is not None]


def _comparable(judgement: Judgement, exactly: bool) -> dict[str, Any]:
    """A judgement; without its prose where measurements differ in the last digits, which its figures may then too."""
    if exactly:
        return judgement.model_dump(mode="json")
    plain = judgement.model_dump(mode="json", exclude={"reason", "p_meaning", "gates"})
    return plain | {"gates": {gate.name: gate.outcome for gate in judgement.gates}}
