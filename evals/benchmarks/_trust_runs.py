"""One question put to the whole system: through the graph, the ledger, the judge and the report, as a user's would be.

What is kept of it is its verdicts, with what is true of each claim.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...agent._evidence import Judgement, Prediction
from ...agent.asking import Where, ask, desk_for, start_run
from ...agent.planners.interface import ContrastPair, Planner
from ...agent.report.schema import Report, read_report
from ...tools import Pair, Subject
from ._trust_truth import Verifier, place_of


@dataclass(frozen=True)
class Question:
    """A question with a known answer."""

    kind: str  # row of the table
    name: str  # of the model
    subject: Subject
    text: str
    verify: Verifier  # why a claim is false
    pairs: tuple[ContrastPair, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Said:
    """One sealed prediction with its verdict, and why it is false as a claim; empty where it is true."""

    prediction: Prediction
    judgement: Judgement
    false: str

    @property
    def supported(self) -> bool:
        """Whether the report claims it."""
        return self.judgement.verdict == "supported"

    @property
    def place(self) -> tuple[str, str]:
        """Site and position."""
        return place_of(self.prediction)


@dataclass(frozen=True)
class Trial:
    """What one investigation came to."""

    kind: str
    name: str
    planner: str
    premise: bool | None
    said: tuple[Said, ...]  # every sealed prediction that was judged
    refused: int  # proposals that code would not seal (count)
    seconds: float  # of the processor
    measuring: float  # in instruments, by the clock
    shown: frozenset[str] = frozenset()  # components of the circuit that the search lists: seen, not claimed

    @property
    def false_claims(self) -> tuple[Said, ...]:
        """Claims that the report makes and that are false."""
        return tuple(one for one in self.said if one.supported and one.false)

    @property
    def past_the_premise(self) -> bool:
        """Whether the model does what the question presumes, as the report has it, or nothing was presumed."""
        return self.premise is not False


def where_question(
    kind: str,
    name: str,
    subject: Subject,
    pairs: Sequence[Pair],
    verify: Verifier,
    seed: int = 0,
) -> Question:
    """Where is it computed, by contrast pairs."""
    given = tuple(
        ContrastPair(clean=p.base, corrupted=p.corrupted, answer=p.answer, foil=p.foil)
        for p in dict.fromkeys(pairs)
        if p.answer != p.foil
    )
    return Question(kind, name, subject, "Where is the behaviour of these pairs computed?", verify, given, seed)


def why_question(kind: str, name: str, subject: Subject, prompt: str, answer: str, verify: Verifier) -> Question:
    """Why does the model answer that."""
    return Question(kind, name, subject, f"Why does the model answer '{answer}' after '{prompt}'?", verify)


def investigate(question: Question, planner: Planner | None = None) -> Trial:
    """Put a question to the system, in a folder that is gone afterwards.

    Args:
        planner: in place of the one that plans without a language model.
    """
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        where = Where(Path(folder), use_memory=False)
        run = start_run(where, question.subject, question.text, question.seed, "cpu", question.pairs)
        with desk_for(where, question.subject, run) as desk:
            if planner is not None:
                desk.planner = planner
            ask(desk, lambda event: None)
            refused = len(desk.docket.refused)
        report = read_report(run.path / "report.json")
    seconds = time.process_time() - began
    return Trial(
        kind=question.kind,
        name=question.name,
        planner=report.planner,
        premise=report.premise.holds,
        said=_said(report, question.verify),
        refused=refused,
        seconds=seconds,
        measuring=sum(record.measurement.seconds for record in report.measurements),
        shown=_shown(report),
    )


def _said(report: Report, verify: Verifier) -> tuple[Said, ...]:
    return tuple(Said(claim.prediction, claim.judgement, verify(claim.prediction)) for claim in report.claims)


def _shown(report: Report) -> frozenset[str]:
    searches = [r.measurement.result for r in report.measurements if r.measurement.tool == "circuit_search"]
    return frozenset(link["source"] for found in searches for link in found["links"] if link["in_circuit"])
