"""Measuring one number again: the same request, run now, beside what was reported.

As `vesalius verify` does it, one measurement at a time. Subjects stay in memory, so that a second look loads nothing;
one job runs at a time, in a thread of its own, and others wait their turn.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ...tools import Frozen, Measurement, Subject, SubjectKey, ToolError, load_subject
from ..jobs import Job, Jobs
from ..report._sentence import UnboundFigure
from ..report.figures import figure_text
from ..report.schema import Report
from ..report.verify import ABSENT, ABSOLUTE, RELATIVE, Drift, Subjects, altered, differences, measured_again
from .problems import NotHere, TooMany

MOST_SUBJECTS = 2  # kept in memory
MOST_DRIFTS = 200  # told of one measurement
GRACE = 1.0  # seconds for a running job to end by itself when the server does

Result = Literal["reproduced", "drifted", "not reproducible"]
JobState = Literal["queued", "running", "stopping", "done", "failed", "stopped"]


class FigureAgain(Frozen):
    """A figure of the report's prose, as printed and as it would be printed now."""

    path: str = Field(description="Where in the result it stands.")
    was: str = Field(description="As reported.")
    now: str = Field(description="As measured again; `absent` where it is not there any more.")


class Outcome(Frozen):
    """What came of measuring again."""

    outcome: Result = Field(description="Within the tolerance, outside it, or not measured.")
    reason: str = Field(default="", description="Why it could not be measured again; empty where it was.")
    bit_identical: bool = Field(default=False, description="Whether the result is the same to the last bit.")
    figures: tuple[FigureAgain, ...] = Field(default=(), description="Every figure in prose that rests on it.")
    drifts: tuple[Drift, ...] = Field(default=(), description="Values outside the tolerance, the first of them.")
    drifted_in_all: int = Field(default=0, description="Values outside the tolerance (count).")
    result: dict[str, Any] | None = Field(default=None, description="The result as measured again; none if it was not.")
    seconds: float = Field(default=0, description="Wall time of the measurement (seconds).")
    relative_tolerance: float = Field(default=RELATIVE, description="Share by which a float may differ.")
    absolute_tolerance: float = Field(default=ABSOLUTE, description="Amount by which a float near nothing may differ.")


class Step(Frozen):
    """How far a job is."""

    done: int = Field(description="Steps done (count).")
    total: int = Field(description="Steps in all (count).")
    doing: str = Field(description="What is being done.")


class JobShown(Frozen):
    """A job, to be asked for again until its state is done, failed or stopped."""

    handle: str = Field(description="Names the job while the server runs.")
    run: str = Field(description="The run.")
    measurement: str = Field(description="The measurement that is made again.")
    state: JobState = Field(description="Where it stands.")
    ahead: int = Field(description="Jobs that run before it (count).")
    step: Step | None = Field(default=None, description="How far it is; none before it says so.")
    seconds: float | None = Field(default=None, description="How long it has run (seconds); none before it begins.")
    outcome: Outcome | None = Field(default=None, description="What came of it; none before it is done.")
    error: str = Field(default="", description="What ended it otherwise; empty where nothing did.")


class _Resident(NamedTuple):
    fingerprint: str
    subjects: Subjects


class Remeasuring:
    """The queue of measurements to be made again.

    Args:
        device: to run on.
        load: a subject by name and device; what is on this machine, and nothing is fetched.
    """

    def __init__(self, device: str, load: Callable[[str, str], Subject] = load_subject) -> None:
        self._device, self._load = device, load
        self._jobs = Jobs()
        self._subjects: OrderedDict[str, _Resident] = OrderedDict()  # touched by the jobs' thread alone

    def start(self, run: str, report: Report, measurement: Measurement) -> JobShown:
        """Put a measurement in the queue; one that waits or runs already is not put there twice.

        Args:
            run: name of the run's folder.
            report: that the measurement is of.
            measurement: as reported.

        Raises:
            TooMany: the queue is full.
        """
        about = {"run": run, "measurement": measurement.id}
        for job in self._jobs.all():
            if job.about == about and not job.ended:
                return self._shown(job)
        try:
            job = self._jobs.start("verify", about, lambda job: self._again(report, measurement, job))
        except ToolError as error:
            raise TooMany(error.message, mend="Wait until one has ended.") from error
        return self._shown(job)

    def job(self, handle: str) -> JobShown:
        """A job as it stands.

        Raises:
            NotHere: there is none of that handle, or none any more.
        """
        return self._shown(self._found(handle))

    def stop(self, handle: str) -> JobShown:
        """Tell a job to stop: at once where it waits, else where it next says how far it is.

        Raises:
            NotHere: there is none of that handle, or none any more.
        """
        job = self._found(handle)
        job.stop()
        return self._shown(job)

    def close(self) -> bool:
        """Stop all; whether nothing runs any more."""
        return self._jobs.close(GRACE)

    def _found(self, handle: str) -> Job:
        try:
            return self._jobs.get(handle)
        except ToolError as error:
            raise NotHere(error.message, mend="Jobs end with the server; start the measurement again.") from error

    def _again(self, report: Report, measurement: Measurement, job: Job) -> dict[str, Any]:
        """What came of it, as plain data; refusals of the instrument are an outcome, as `vesalius verify` has them."""
        job.progress(0, 1, f"loading {measurement.subject.model}")
        try:
            again = measured_again(measurement, lambda key: self._resident(key).get(key), job.progress)
        except ToolError as error:
            return Outcome(outcome="not reproducible", reason=str(error)).model_dump(mode="json")
        return _compared(report, measurement, again).model_dump(mode="json")

    def _resident(self, key: SubjectKey) -> Subjects:
        """A subject and its twin; those that were not used for longest make room first, for they are large."""
        held = self._subjects.pop(key.model, None)
        if held is None or held.fingerprint != key.fingerprint:  # other weights may lie there by now
            while len(self._subjects) >= MOST_SUBJECTS:
                self._subjects.popitem(last=False)
            subject = self._load(key.model, self._device)
            held = _Resident(subject.key.fingerprint, Subjects(lambda _: subject))
        self._subjects[key.model] = held
        return held.subjects

    def _shown(self, job: Job) -> JobShown:
        state = job.state
        error = job.error if state == "failed" else None
        return JobShown(
            handle=job.handle,
            run=job.about["run"],
            measurement=job.about["measurement"],
            state=state,
            ahead=self._jobs.ahead(job),
            step=Step.model_validate(job.step) if job.step else None,
            seconds=job.seconds,
            outcome=Outcome.model_validate(job.future.result()) if state == "done" else None,
            error=f"{type(error).__name__}: {error}" if error else "",
        )


def _compared(report: Report, was: Measurement, now: Measurement) -> Outcome:
    found = [Drift(id=was.id, path=p, was=a, now=b) for p, a, b in differences(was.result, now.result)]
    drifts = [*altered(was), *found]
    return Outcome(
        outcome="drifted" if drifts else "reproduced",
        bit_identical=was.digest == now.digest,
        figures=_figures(report, was, now),
        drifts=tuple(drifts[:MOST_DRIFTS]),
        drifted_in_all=len(drifts),
        result=now.result,
        seconds=now.seconds,
    )


def _figures(report: Report, was: Measurement, now: Measurement) -> tuple[FigureAgain, ...]:
    cited = [r for sentence in report.sentences for r in sentence.references if r.id == was.id]
    figures: list[FigureAgain] = []
    for reference in dict.fromkeys(cited):
        try:
            printed = figure_text(reference, {was.id: now})
        except UnboundFigure:  # told as a drift, too
            printed = ABSENT
        figures.append(FigureAgain(path=reference.path, was=figure_text(reference, {was.id: was}), now=printed))
    return tuple(figures)
