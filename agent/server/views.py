"""A report as the review page shows it: prose with its figures filled in, and what stands behind each claim.

Results are not in it; the page asks for a measurement when somebody looks at it. All text is data: nothing is marked up
here, and the page puts it in as text.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from ...tools import Frozen
from .._attempts import tier_of
from .._evidence import Gate, Judgement, Tier, Verdict
from ..headlines import headline
from ..report._sentence import Sentence
from ..report._text import cut
from ..report.figures import Lookup, figure_text
from ..report.schema import Claim, MeasurementRecord, Phase
from .shelf import Shelved


class Figure(Frozen):
    """Where a figure in prose comes from."""

    id: str = Field(description="The measurement or claim that holds the number.")
    path: str = Field(description="Where in it the number stands.")
    cites: tuple[str, ...] = Field(description="The measurements behind it.")


class Part(Frozen):
    """A stretch of a sentence."""

    kind: Literal["prose", "code", "quote", "figure"] = Field(description="What it is; code and quotes are data.")
    text: str = Field(description="As shown; of a figure the number.")
    figure: Figure | None = Field(default=None, description="Of a figure: its source.")


Prose = tuple[Part, ...]


class AttemptShown(Frozen):
    """An attempt to break a claim."""

    id: str = Field(description="The attempt.")
    outcome: str = Field(description="What it did to the claim.")
    reason: str = Field(description="Why.")
    measurements: tuple[str, ...] = Field(description="Asking, test and controls.")


class ClaimShown(Frozen):
    """A claim and what its verdict rests on."""

    id: str = Field(description="The claim.")
    verdict: Verdict = Field(description="Of the judge, which is code.")
    tier: Tier = Field(description="How strong the evidence is.")
    sentence: Prose = Field(description="The claim in words its tier allows.")
    reason: str = Field(description="The verdict in one sentence.")
    hypothesis: str = Field(description="What might be true.")
    refuted_if: str = Field(description="The observation that would show it false.")
    alternatives: tuple[str, ...] = Field(description="Other explanations that the controls have to exclude.")
    direction: str = Field(description="What was predicted.")
    smallest_effect: float = Field(description="Effects up to this do not matter (share of the gap).")
    sealed: str = Field(description="Hash of the ledger's entry that sealed the prediction.")
    gates: tuple[Gate, ...] = Field(description="Every condition that was due.")
    numbers: dict[str, float | int | None] = Field(description="Every number of the judgement, by name.")
    measurements: tuple[str, ...] = Field(description="Confirmation and controls, in the order they ran.")
    attempts: tuple[AttemptShown, ...] = Field(description="What was tried to break it.")


class MeasurementInShort(Frozen):
    """A measurement without its arguments and result."""

    id: str = Field(description="The measurement.")
    tool: str = Field(description="Instrument.")
    phase: Phase = Field(description="Role in the evidence protocol.")
    why: str = Field(description="What it was for.")
    twin: bool = Field(description="Whether it ran on re-initialised weights.")
    found: Prose = Field(description="What it found, in one sentence.")


class ReportShown(Frozen):
    """A report for its reviewers."""

    run: str = Field(description="Name of the run's folder.")
    digest: str = Field(description="SHA-256 of report.json: decisions name it.")
    question: str = Field(description="As the report has it.")
    asked: str = Field(description="The user's own words, where they are others.")
    model: str = Field(description="The model under study.")
    fingerprint: str = Field(description="Of its weights, configuration and tokenizer.")
    created: str = Field(description="When the run was begun (ISO 8601).")
    planner: str = Field(description="What chose the experiments.")
    premise: Prose = Field(description="How what the question takes for granted fared.")
    premise_holds: bool | None = Field(description="Whether it does; none where nothing is presumed.")
    answer: tuple[Prose, ...] = Field(description="The answer, in a few sentences.")
    claims: tuple[ClaimShown, ...] = Field(description="Every prediction that was sealed, with its verdict.")
    measurements: tuple[MeasurementInShort, ...] = Field(description="Everything that was measured, in short.")
    not_found: tuple[Prose, ...] = Field(description="What was looked for in vain, or not looked for.")
    not_examined: tuple[str, ...] = Field(description="What was left out.")


def shown(shelved: Shelved, name: str) -> ReportShown:
    """A report for its reviewers.

    Args:
        shelved: the report.
        name: of the run's folder, which need not be the name that the report was written under.
    """
    report, lookup = shelved.report, Lookup.of(shelved.report)
    return ReportShown(
        run=name,
        digest=shelved.digest,
        question=report.question,
        asked=report.asked.words if report.asked else "",
        model=report.subject.key.model,
        fingerprint=report.subject.key.fingerprint,
        created=report.created,
        planner=report.planner,
        premise=_prose(report.premise.sentence, lookup),
        premise_holds=report.premise.holds,
        answer=_each(report.answer, lookup),
        claims=tuple(_claim(claim, lookup) for claim in report.claims),
        measurements=tuple(_in_short(record, lookup) for record in report.measurements),
        not_found=_each(report.not_found, lookup),
        not_examined=report.coverage.not_examined,
    )


def _each(sentences: Sequence[Sentence], lookup: Lookup) -> tuple[Prose, ...]:
    return tuple(_prose(sentence, lookup) for sentence in sentences)


def _prose(sentence: Sentence, lookup: Lookup) -> Prose:
    parts: list[Part] = []
    for piece in sentence.pieces:
        if piece.reference is None:
            parts.append(Part(kind=piece.kind, text=cut(piece.text) if piece.kind != "prose" else piece.text))
            continue
        source = Figure(id=piece.reference.id, path=piece.reference.path, cites=lookup.cites(piece.reference))
        parts.append(Part(kind="figure", text=figure_text(piece.reference, lookup), figure=source))
    return tuple(parts)


def _claim(claim: Claim, lookup: Lookup) -> ClaimShown:
    return ClaimShown(
        id=claim.id,
        verdict=claim.judgement.verdict,
        tier=tier_of(claim),
        sentence=_prose(claim.sentence, lookup),
        reason=claim.judgement.reason,
        hypothesis=claim.hypothesis.statement,
        refuted_if=claim.hypothesis.refuted_if,
        alternatives=claim.hypothesis.alternatives,
        direction="an effect toward the counterfactual" if claim.prediction.direction == "positive" else "no effect",
        smallest_effect=claim.prediction.smallest_effect,
        sealed=claim.sealed,
        gates=claim.judgement.gates,
        numbers=_numbers(claim.judgement),
        measurements=claim.measurements,
        attempts=tuple(
            AttemptShown(id=one.id, outcome=one.outcome, reason=one.reason, measurements=one.measurements)
            for one in claim.attempts
        ),
    )


def _numbers(judgement: Judgement) -> dict[str, float | int | None]:
    plain: dict[str, Any] = judgement.model_dump(mode="json")
    return {name: value for name, value in plain.items() if value is None or isinstance(value, int | float)}


def _in_short(record: MeasurementRecord, lookup: Lookup) -> MeasurementInShort:
    measurement = record.measurement
    return MeasurementInShort(
        id=measurement.id,
        tool=measurement.tool,
        phase=record.phase,
        why=record.why,
        twin=measurement.subject.reinit_seed is not None,
        found=_prose(headline(measurement), lookup),
    )
