"""What a job looks like to a page, and what came of measuring a number again: beside what was reported."""

from typing import Any, Literal

from pydantic import Field

from ...tools import Frozen, Measurement
from ..report._sentence import UnboundFigure
from ..report.figures import figure_text
from ..report.schema import Report
from ..report.verify import ABSENT, ABSOLUTE, RELATIVE, Drift, altered, differences
from .hearing import ReplyShown
from .job import Job, State
from .orders import Again, Hear
from .pool import Pool

MOST_DRIFTS = 200  # told of one measurement

Result = Literal["reproduced", "drifted", "not reproducible"]


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

    handle: str = Field(description="Names the job.")
    what: Literal["hear", "measure", "again"] = Field(description="A message, a measurement, or one once more.")
    chat: str = Field(default="", description="Of a message, the chat.")
    run: str = Field(default="", description="Of measuring again, the run.")
    of: str = Field(default="", description="Of measuring again, the measurement.")
    state: State = Field(description="Where it stands.")
    ahead: int = Field(description="Jobs that come before it (count).")
    step: Step | None = Field(default=None, description="How far it is; none before it says so.")
    seconds: float | None = Field(default=None, description="How long it has run (seconds); none before it begins.")
    measurement: Measurement | None = Field(default=None, description="What was measured; none before it was.")
    outcome: Outcome | None = Field(default=None, description="Of measuring again, how it compares.")
    reply: ReplyShown | None = Field(default=None, description="Of a message, what it is answered with.")
    error: str = Field(default="", description="What ended it otherwise; empty where nothing did.")


def shown(job: Job, pool: Pool, outcome: Outcome | None = None) -> JobShown:
    """A job as a page is told of it.

    Args:
        outcome: how it compares, where something was measured again.
    """
    work, result = job.order.work, job.result
    return JobShown(
        handle=job.handle,
        what=work.kind,
        chat=work.chat if isinstance(work, Hear) else "",
        run=work.run if isinstance(work, Again) else "",
        of=work.measurement.id if isinstance(work, Again) else "",
        state="done" if outcome is not None else job.state,
        ahead=pool.ahead(job),
        step=Step.model_validate(job.step) if job.step else None,
        seconds=job.seconds,
        measurement=Measurement.model_validate(result) if result and work.kind != "hear" else None,
        outcome=outcome,
        reply=ReplyShown.model_validate(result["reply"]) if result and work.kind == "hear" else None,
        error="" if outcome is not None else job.error,
    )


def compared(report: Report, job: Job) -> Outcome | None:
    """How a figure that was measured again compares with the report; none before it was.

    A refusal of the instrument is an outcome, as `vesalius verify` has it.
    """
    assert isinstance(job.order.work, Again)
    was = job.order.work.measurement
    if job.was_refused:
        return Outcome(outcome="not reproducible", reason=job.error)
    if job.result is None:
        return None
    now = Measurement.model_validate(job.result)
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
