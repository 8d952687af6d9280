"""A report in short, for machines: what `--json` prints, the page's interface answers, and other agents are told."""

from typing import Any

from pydantic import Field

from ..tools import Frozen
from ._attempts import tier_of
from ._evidence import Tier, Verdict
from .report._asked import Asked
from .report._beside_words import as_data
from .report.figures import Lookup, render_plain
from .report.schema import Phase, Report


class ClaimInWords(Frozen):
    """A claim in short."""

    id: str = Field(description="The claim.")
    text: str = Field(description="What it says, in words that its tier allows.")
    verdict: Verdict = Field(description="Of the judge, which is code.")
    tier: Tier = Field(description="How strong the evidence is.")
    attempts: dict[str, str] = Field(description="What attempts to break it came to, by their id.")
    measurements: tuple[str, ...] = Field(description="Confirmation and controls, in the order they ran.")


class MeasurementNamed(Frozen):
    """A measurement by its id."""

    id: str = Field(description="The measurement.")
    tool: str = Field(description="Instrument.")
    phase: Phase = Field(description="Role in the evidence protocol.")
    digest: str = Field(description="SHA-256 of its result.")


class Summary(Frozen):
    """A report in short."""

    run: str = Field(description="Names the run.")
    question: str = Field(description="As the report has it.")
    asked: Asked | None = Field(description="How a person put it, where a language model made the question of that.")
    answer: str = Field(description="The answer in a few sentences, with the ids of what they rest on.")
    premise_holds: bool | None = Field(description="Whether what the question presumes does; none where nothing is.")
    claims: tuple[ClaimInWords, ...] = Field(description="Every prediction that was sealed, with its verdict.")
    beside: dict[str, Any] | None = Field(description="The run that it is set beside; none where there is none.")
    measurements: tuple[MeasurementNamed, ...] = Field(description="Everything that was measured.")
    ledger_digest: str = Field(description="Stands for the whole ledger.")
    report: dict[str, str] = Field(description="Where the report lies, by format.")
    seconds: float = Field(description="Wall time of the run (seconds).")


def summary_of(report: Report, places: dict[str, str]) -> Summary:
    """A report in short.

    Args:
        places: where it lies, by format.
    """
    lookup = Lookup.of(report)
    return Summary(
        run=report.run,
        question=report.question,
        asked=report.asked,
        answer=" ".join(render_plain(sentence, lookup) for sentence in report.answer),
        premise_holds=report.premise.holds,
        claims=tuple(
            ClaimInWords(
                id=claim.id,
                text=render_plain(claim.sentence, lookup),
                verdict=claim.judgement.verdict,
                tier=tier_of(claim),
                attempts={attempt.id: attempt.outcome for attempt in claim.attempts},
                measurements=claim.measurements,
            )
            for claim in report.claims
        ),
        beside=as_data(report),
        measurements=tuple(
            MeasurementNamed(id=m.measurement.id, tool=m.measurement.tool, phase=m.phase, digest=m.measurement.digest)
            for m in report.measurements
        ),
        ledger_digest=report.ledger_digest,
        report=places,
        seconds=report.seconds,
    )
