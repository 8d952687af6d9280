"""An investigation as a log of Inspect, made and written by Inspect's own interface, so that its viewer opens it.

The task is the question. The first sample is the investigation: question, answer, and all that happened, in order. Each
further sample is a claim: its sealed prediction as the target, the verdict as the score, and what happened to it.
No tokens are counted, for the model under study was measured and not asked. Inspect's viewer shows most text as
Markdown, so text of ours is escaped where it is not code. A viewer sorts samples by id: numbers of claims are padded.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspect_ai.log import (  # pyright: ignore[reportMissingImports]
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalPlan,
    EvalPlanStep,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
    ChatCompletionChoice,
    ChatMessageAssistant,
    ChatMessageUser,
    ModelOutput,
)
from inspect_ai.scorer import Score  # pyright: ignore[reportMissingImports]

from ..tools import write_file
from ._chain import Entry, LedgerError
from ._inspect_events import Course
from .report._text import markdown_code, markdown_line, markdown_text
from .report.figures import Lookup, render_markdown, render_plain
from .report.schema import Claim, Report

WHOLE = "answer"  # before the claims, by the alphabet
_CODE = re.compile(r"(`[^`]*`)")
PREMISE = {True: "holds", False: "does not hold", None: "nothing presumed"}


def inspect_log(report: Report, entries: Sequence[Entry]) -> EvalLog:
    """The log of a finished investigation.

    Args:
        entries: its ledger.

    Raises:
        LedgerError: the ledger is not the one that the report was made from.
    """
    if not entries or entries[-1].hash != report.ledger_digest:
        raise LedgerError(
            f"The ledger of {report.run} is not the one that its report was made from.",
            mend="Restore both from a copy, or ask the question again.",
        )
    lookup = Lookup.of(report)
    verdicts = {claim.id: _verdict(claim, lookup) for claim in report.claims}
    course = Course(report, verdicts)
    whole = _whole(report, entries, course, lookup)
    ended = course.ended(entries).isoformat()
    claims = [_sample(report, claim, entries, course, lookup, verdicts[claim.id]) for claim in report.claims]
    samples = [whole, *claims]
    return EvalLog(
        status="success",
        eval=_spec(report, samples),
        plan=EvalPlan(name="investigation", steps=[EvalPlanStep(solver=report.planner, params={"seed": report.seed})]),
        results=_results(report, len(samples)),
        stats=EvalStats(started_at=report.created, completed_at=ended),
        samples=samples,
    )


def write_inspect_log(log: EvalLog, path: Path) -> None:
    """Write a log as `.eval`, whole or not at all."""
    write_file(path, lambda part: write_eval_log(log, part, format="eval"))


def _spec(report: Report, samples: list[EvalSample]) -> EvalSpec:
    key = report.subject.key
    lookup = Lookup.of(report)
    return EvalSpec(
        created=report.created,
        task=report.question,
        task_id=report.run,
        run_id=report.run,
        eval_id=report.ledger_digest,
        task_version=report.schema_version,
        dataset=EvalDataset(name="claims", samples=len(samples), sample_ids=[sample.id for sample in samples]),
        model=key.model,
        model_args={"fingerprint": key.fingerprint, "device": report.subject.device, "dtype": report.subject.dtype},
        config=EvalConfig(),
        packages=report.environment,
        metadata={
            "answer": " ".join(render_plain(sentence, lookup) for sentence in report.answer),
            "planner": report.planner,
            "seed": report.seed,
            "ledger_digest": report.ledger_digest,
            "measurements": len(report.measurements),
            "coverage": report.coverage.model_dump(mode="json"),
            "not_found": [render_plain(sentence, lookup) for sentence in report.not_found],
        },
    )


def _results(report: Report, n_samples: int) -> EvalResults:
    counts = Counter(claim.judgement.verdict for claim in report.claims)
    metrics = {name: EvalMetric(name=name, value=counts[name]) for name in ("supported", "refuted", "inconclusive")}
    verdict = EvalScore(name="verdict", scorer="judge", scored_samples=len(report.claims), metrics=metrics)
    return EvalResults(total_samples=n_samples, completed_samples=n_samples, scores=[verdict])


def _whole(report: Report, entries: Sequence[Entry], course: Course, lookup: Lookup) -> EvalSample:
    answer = " ".join(render_markdown(sentence, lookup) for sentence in report.answer)
    aside = " ".join(render_markdown(sentence, lookup) for sentence in report.black_box)
    premise = Score(value=PREMISE[report.premise.holds], explanation=render_markdown(report.premise.sentence, lookup))
    return EvalSample(
        id=WHOLE,
        epoch=1,
        uuid=f"{report.run}-{WHOLE}",
        input=markdown_text(report.question),
        target="",
        **_conversation(report, WHOLE, markdown_text(report.question), answer),
        scores={"premise": premise},
        metadata={"run": report.run, "prompting alone": aside, "seconds": report.seconds},
        events=list(course.events(entries, WHOLE)),
        total_time=report.seconds,
    )


def _sample(
    report: Report, claim: Claim, entries: Sequence[Entry], course: Course, lookup: Lookup, verdict: Score
) -> EvalSample:
    hypothesis, prediction, judged = claim.hypothesis, claim.prediction, claim.judgement
    said = render_markdown(claim.sentence, lookup)
    statement, name = _marked(hypothesis.statement), _padded(claim.id, len(report.claims))
    asked = f"{statement}\n\nRefuted if {_marked(hypothesis.refuted_if)}."
    verdict_of = f"{said}\n\n**{judged.verdict}** ({judged.tier}): {_marked(judged.reason)}"
    about = [entry for entry in entries if entry.body.get("prediction") == prediction.id]
    return EvalSample(
        id=name,
        epoch=1,
        uuid=f"{report.run}-{name}",
        input=statement,
        target=_sealed(claim),
        **_conversation(report, name, asked, verdict_of),
        scores={
            "verdict": verdict,
            "tier": Score(value=judged.tier, explanation="How strong the evidence is."),
            "effect": Score(value=round(judged.effect, 3), explanation=f"Share of the gap, {_interval(claim)}."),
        },
        metadata={
            "claim": claim.id,
            "tier": judged.tier,
            "effect": judged.effect,
            "interval": [judged.low, judged.high],
            "measurements": list(claim.measurements),
            "sealed": claim.sealed,
            "prediction": prediction.id,
            "alternatives": list(hypothesis.alternatives),
        },
        events=list(course.events(about, name)),
        total_time=course.seconds(about),
    )


def _conversation(report: Report, sample: str, asked: str, said: str) -> dict[str, Any]:
    """What was asked and what came of it, with ids that follow from the run: Inspect would draw others each time."""
    answer = ChatMessageAssistant(id=f"{report.run}-{sample}-said", content=said, model=report.planner)
    return {
        "messages": [ChatMessageUser(id=f"{report.run}-{sample}-asked", content=asked), answer],
        "output": ModelOutput(model=report.planner, choices=[ChatCompletionChoice(message=answer)], completion=said),
    }


def _verdict(claim: Claim, lookup: Lookup) -> Score:
    judged = claim.judgement
    return Score(
        value=judged.verdict,
        answer=render_plain(claim.sentence, lookup),
        explanation=_marked(judged.reason),
        metadata={**judged.model_dump(mode="json"), "measurements": list(claim.measurements)},
    )


def _sealed(claim: Claim) -> str:
    """What was predicted, before it was measured."""
    bar = f"{claim.prediction.smallest_effect:g} of the gap"
    return f"an effect above {bar}" if claim.prediction.direction == "positive" else f"no effect beyond {bar}"


def _interval(claim: Claim) -> str:
    low, high = claim.judgement.low, claim.judgement.high
    return "no interval: a single cluster" if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}"


def _padded(claim: str, n_claims: int) -> str:
    """A claim's id such that ids sort as their numbers do."""
    return f"c{claim[1:].zfill(len(str(n_claims)))}"


def _marked(text: str) -> str:
    """Text as Markdown that keeps its code and has no other markup."""
    parts = (markdown_code(part[1:-1]) if at % 2 else markdown_text(part) for at, part in enumerate(_CODE.split(text)))
    return markdown_line("".join(parts))
