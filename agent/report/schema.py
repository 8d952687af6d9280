"""The circuit report: what was asked, answered, claimed and measured, and what was not. The one source of every format.

A report that exists is sound in form: every figure of its prose resolves to a number of a measurement or a claim in
it, every id is known, no id stands for two things.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ...tools import Frozen, Measurement, SubjectKey
from .._attempts import Attempt, Refuting
from .._evidence import Hypothesis, Judgement, Prediction, refuse_repeats
from ..planners.llm_turns import Planning
from ._asked import Asked
from ._beside import Beside
from ._sentence import Sentence, UnboundFigure, number_at
from ._worded import Worded

__all__ = [
    "Analysis",
    "Claim",
    "Coverage",
    "MeasurementRecord",
    "Premise",
    "Report",
    "ReportedSubject",
    "ReusedFinding",
    "Sentence",
    "UnreadableReport",
    "read_report",
]

SCHEMA_VERSION = "1"
Phase = Literal["explore", "confirm", "control", "black_box"]
MeasurementId = Annotated[str, Field(pattern=r"^m-[0-9a-f]{4,64}$")]
ClaimId = Annotated[str, Field(pattern=r"^c[0-9]{1,6}$")]
Count = Annotated[int, Field(ge=0)]


class UnreadableReport(ValueError):
    """A file that is no report of this version; the message says what to do."""


class ReportedSubject(Frozen):
    """The model that was studied."""

    key: SubjectKey = Field(description="Which weights.")
    shape: dict[str, int | bool] = Field(description="Sizes (counts), by name.")
    device: str = Field(description="Where it ran.")
    dtype: str = Field(description="Element type of weights and activations.")


class Premise(Frozen):
    """What the question takes for granted."""

    holds: bool | None = Field(
        description="Whether the model does it; none where nothing is presumed or it was not asked."
    )
    sentence: Sentence = Field(description="How it fared.")


class Claim(Frozen):
    """A hypothesis with its sealed prediction and the verdict of code."""

    id: ClaimId = Field(description="Names the claim in this report.")
    sentence: Sentence = Field(description="The claim in words its tier allows.")
    hypothesis: Hypothesis = Field(description="What might be true.")
    prediction: Prediction = Field(description="As sealed before it was measured.")
    judgement: Judgement = Field(description="The verdict and what it rests on.")
    measurements: tuple[MeasurementId, ...] = Field(description="Confirmation and controls, in the order they ran.")
    sealed: str = Field(description="Hash of the ledger's entry that sealed the prediction.")
    attempts: tuple[Attempt, ...] = Field(default=(), description="What was tried to break it, where it is supported.")


class MeasurementRecord(Frozen):
    """A measurement and its part in the investigation."""

    measurement: Measurement = Field(description="Arguments, subject, result, digest.")
    phase: Phase = Field(description="Role in the evidence protocol.")
    why: str = Field(description="What it was for.")


class Analysis(Frozen):
    """One step of the path, whether or not it found anything."""

    step: Count = Field(description="Place on the path, from 1.")
    tool: str = Field(description="Instrument.")
    why: str = Field(description="What it was for.")
    measurement: MeasurementId | None = Field(description="Its measurement; none where it could not run.")
    outcome: Sentence = Field(description="What came of it.")


class Coverage(Frozen):
    """How much of the subject was looked at."""

    examined: dict[str, Count] = Field(description="Sites examined, by kind (count).")
    not_examined: tuple[str, ...] = Field(default=(), description="What was left out, in plain words.")
    units_looked_at: Count = Field(description="Tests that count toward the false discovery rate (count).")


class ReusedFinding(Frozen):
    """Something an earlier run found, used here as a hint and never as evidence."""

    text: str = Field(description="What it says.")
    run: str = Field(description="Run that found it.")
    record: str = Field(description="Its id in the memory.")
    similarity: float = Field(description="Cosine similarity to the question.")


class Report(Frozen):
    """One investigation, from question to verdicts."""

    schema_version: Literal["1"] = Field(default=SCHEMA_VERSION, description="Version of this format.")
    run: str = Field(description="Name of the run.")
    question: str = Field(description="As the user put it, or as a language model put it into a form that is read.")
    asked: Asked | None = Field(
        default=None, description="The user's own words, where a language model read them; none where they are above."
    )
    created: str = Field(description="When (ISO 8601).")
    planner: str = Field(description="What chose the experiments.")
    seconds: float = Field(ge=0, description="Wall time of the investigation (seconds).")
    seed: int = Field(default=0, description="Seed of the judge's statistics.")
    subject: ReportedSubject = Field(description="The model that was studied.")
    environment: dict[str, str] = Field(description="Versions of what ran, by name.")
    premise: Premise = Field(description="What the question takes for granted.")
    answer: tuple[Sentence, ...] = Field(description="The answer, in a few sentences.")
    claims: tuple[Claim, ...] = Field(default=(), description="Every prediction that was sealed, with its verdict.")
    measurements: tuple[MeasurementRecord, ...] = Field(description="Everything that was measured.")
    tried: tuple[Analysis, ...] = Field(default=(), description="The path of all analyses, in order.")
    coverage: Coverage = Field(description="How much of the subject was looked at.")
    black_box: tuple[Sentence, ...] = Field(default=(), description="What prompting alone would have told.")
    reused: tuple[ReusedFinding, ...] = Field(default=(), description="Earlier findings that were used as hints.")
    not_found: tuple[Sentence, ...] = Field(default=(), description="What was looked for in vain, or not looked for.")
    worded: Worded | None = Field(
        default=None, description="The answer in a language model's words, beside it; none where none was asked."
    )
    refuting: Refuting | None = Field(default=None, description="How claims were tried; none where none were to be.")
    planning: Planning | None = Field(default=None, description="How a language model planned; none where none did.")
    beside: Beside | None = Field(
        default=None, description="The same question with names hidden from who planned; none where it was asked once."
    )
    ledger_digest: str = Field(description="Last hash of the ledger: it stands for the whole history.")
    graph: MeasurementId | None = Field(default=None, description="Measurement of the attribution graph, if any.")

    @field_validator("created")
    @classmethod
    def _is_a_time(cls, created: str) -> str:
        datetime.fromisoformat(created)
        return created

    @model_validator(mode="after")
    def _is_sound(self) -> "Report":
        refuse_repeats("measurements of the report", [r.measurement.id for r in self.measurements])
        refuse_repeats("claims of the report", [claim.id for claim in self.claims])
        known = {record.measurement.id for record in self.measurements}
        named = [m for claim in self.claims for m in claim.measurements]
        named += [m for claim in self.claims for attempt in claim.attempts for m in attempt.measurements]
        named += [step.measurement for step in self.tried if step.measurement]
        named += [self.graph] if self.graph else []
        if missing := sorted({*named} - known):
            raise ValueError(f"The report names measurements it does not hold: {', '.join(missing)}. Add them.")
        data = self.data
        for sentence in self.sentences:
            for reference in sentence.references:
                if reference.id not in data:
                    raise UnboundFigure(
                        f"{reference.name}: the report holds no `{reference.id}`, in: {sentence.text!r}."
                    )
                number_at(data[reference.id], reference)
        return self

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """All its prose."""
        return (
            self.premise.sentence,
            *self.answer,
            *(claim.sentence for claim in self.claims),
            *(step.outcome for step in self.tried),
            *self.black_box,
            *self.not_found,
            *(self.worded.sentences if self.worded else ()),
            *(self.beside.sentences if self.beside else ()),
        )

    @property
    def data(self) -> dict[str, dict[str, Any]]:
        """What references resolve in: the result of a measurement, or a whole claim, by id."""
        results = {record.measurement.id: record.measurement.result for record in self.measurements}
        return results | {claim.id: claim.model_dump(mode="json") for claim in self.claims}


def read_report(path: Path) -> Report:
    """The report in a file.

    Raises:
        UnreadableReport: no such file, no JSON, another version of the format, or a report that is not sound.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableReport(f"{path} cannot be read ({error.strerror}). Give a run or its report.json.") from error
    except ValueError as error:
        raise UnreadableReport(f"{path} is no JSON. Give the report.json of a run.") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise UnreadableReport(
            f"{path} has schema version {version!r}; this program reads {SCHEMA_VERSION!r}. "
            "Read it with the version of vesalius that wrote it (`environment` in the file), or ask the question again."
        )
    try:
        return Report.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".strip(": ")
        raise UnreadableReport(f"{path} is not sound: {problem}. Restore it, or ask the question again.") from error
