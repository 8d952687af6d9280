"""What came of a cell: the same however often it was interrupted, so nothing here knows a time or a place."""

from typing import Literal

from pydantic import Field

from ...tools import Frozen
from .._attempts import tier_of
from .._evidence import Tier, Verdict
from ..comparing.results import Compared, Label, counts
from ..report._text import visible
from ..report.figures import Lookup, render_plain
from ..report.schema import Report
from .cells import Cell


class ClaimFound(Frozen):
    """A claim of a cell's report."""

    id: str = Field(description="Names it in the report.")
    text: str = Field(description="What it says, in words that its tier allows.")
    verdict: Verdict = Field(description="Of the judge, in that investigation alone.")
    tier: Tier = Field(description="How strong the evidence is.")
    predicts: Literal["positive", "none"] = Field(description="An effect, or that there is none.")
    effect: float = Field(description="Mean effect (share of the gap).")
    low: float | None = Field(description="Lower end of its 95 % interval.")
    high: float | None = Field(description="Upper end of its 95 % interval.")
    q: float = Field(description="Benjamini-Hochberg q among every unit that the investigation looked at.")


class Again(Frozen):
    """A claim of an earlier report, tested again."""

    claim: str = Field(description="Its id in that report.")
    label: Label = Field(description="What became of it.")
    reason: str = Field(description="In plain words, with the figures.")


class Outcome(Frozen):
    """What came of a cell."""

    item: str = Field(description="The item, with its place in the matrix.")
    subject: str = Field(description="Label of the model.")
    fingerprint: str = Field(description="Of its weights, and of the data and the dictionary beside them.")
    seed: int = Field(description="Seed of everything random.")
    question: str = Field(description="What was asked.")
    premise: bool | None = Field(default=None, description="Whether the model does what the question says.")
    answer: str = Field(default="", description="In a few sentences.")
    claims: tuple[ClaimFound, ...] = Field(default=(), description="Every prediction that was sealed.")
    weaknesses: tuple[str, ...] = Field(
        default=(), description="Limits that steering breaks, where it was asked about."
    )
    again: tuple[Again, ...] = Field(default=(), description="Earlier claims, where these were to be tested again.")
    is_gone: bool = Field(default=False, description="Whether a behaviour that these take for granted is gone.")
    is_rarer: bool = Field(default=False, description="Whether surely fewer of the prompts beside them are answered.")
    unanswerable: str = Field(default="", description="Why the question cannot be put to this model.")
    failed: str = Field(default="", description="Why there is no answer: its worker died, or we made a mistake.")
    run: str = Field(default="", description="Names the run.")
    ledger_digest: str = Field(default="", description="Stands for the whole ledger of the run.")


def outcome_of(cell: Cell, fingerprint: str, report: Report) -> Outcome:
    """What a cell's report comes to."""
    lookup = Lookup.of(report)
    return blank(cell, fingerprint).model_copy(
        update={
            "premise": report.premise.holds,
            "answer": " ".join(render_plain(sentence, lookup) for sentence in report.answer),
            "claims": tuple(
                ClaimFound(
                    id=claim.id,
                    text=render_plain(claim.sentence, lookup),
                    tier=tier_of(claim),
                    predicts=claim.prediction.direction,
                    **{name: getattr(claim.judgement, name) for name in ("verdict", "effect", "low", "high", "q")},
                )
                for claim in report.claims
            ),
            "weaknesses": tuple(
                weakness
                for record in report.measurements
                if record.measurement.tool == "steering_card"
                for weakness in record.measurement.result["weaknesses"]
            ),
            "run": report.run,
            "ledger_digest": report.ledger_digest,
        }
    )


def compared_outcome(cell: Cell, fingerprint: str, report: Report, whole: Compared) -> Outcome:
    """What came of earlier claims on a model."""
    again = tuple(
        Again(claim=one.earlier.id, label=one.label, reason=visible(one.reason)) for one in whole.retested.claims
    )
    told = ", ".join(f"{one.n} {one.label}" for one in counts(whole.retested))
    is_gone, is_rarer = (any(getattr(one, name) for one in whole.retested.behaviours) for name in ("gone", "fell"))
    said = f"Of {len(again)} earlier claims: {told}. {whole.weights.told}"
    update = {"again": again, "is_gone": is_gone, "is_rarer": is_rarer, "answer": said}
    return outcome_of(cell, fingerprint, report).model_copy(update=update)


def blank(cell: Cell, fingerprint: str) -> Outcome:
    """A cell of which nothing is known yet."""
    return Outcome(
        item=cell.item, subject=cell.subject, fingerprint=fingerprint, seed=cell.seed, question=cell.question
    )
