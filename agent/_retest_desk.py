"""The desk at which claims of earlier reports are tested again: their predictions as B can read them, and a planner
that proposes nothing and words what came of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..tools import Measurement, Subject, ToolError, canonical, digest
from ._evidence import Arm, Prediction, Sample
from ._samples import sample_of
from .bench import request_id
from .desk import Desk
from .judge import FEWEST_CLUSTERS
from .ledger import Ledger
from .planners._plain import name, say
from .planners.interface import ContrastPair, Experiment, JudgedClaim, Proposal, SubjectCard, Task, View, Words
from .report.schema import Claim, Report, Sentence
from .runs import RunFolder, RunInfo, write_whole

PLANNER = "compare"
COMPARISON = "comparison.json"  # in a folder: what is in it tests earlier claims again


class Earlier(NamedTuple):
    """A claim of an earlier report, with its prediction as it can be put to B."""

    report: Report
    claim: Claim
    prediction: Prediction | None  # none where it cannot be put to B
    problem: str  # why it cannot
    left_out: int  # pairs that B cannot read
    measured: dict[str, tuple[list[dict[str, Any]], Sample]]  # on A, by counterfactual family: pairs, what came of them

    @property
    def is_of_effect(self) -> bool:
        """Whether it is supported that there is an effect: then B may have lost some of it."""
        return self.is_supported and self.claim.prediction.direction == "positive"

    @property
    def is_supported(self) -> bool:
        """Whether A's report supports it."""
        return self.claim.judgement.verdict == "supported"

    @property
    def proposal(self) -> Proposal:
        """The hypothesis with that prediction."""
        assert self.prediction is not None, f"{self.claim.id} cannot be put to B"
        hypothesis = self.claim.hypothesis.model_copy(update={"id": self.prediction.hypothesis})
        return Proposal(hypothesis=hypothesis, prediction=self.prediction)


class RetestPlanner:
    """Stands where a planner stands: every prediction is there already."""

    name = PLANNER

    def read(self, question: str, pairs: tuple[ContrastPair, ...], card: SubjectCard) -> Task:
        """The question is not read, only named."""
        return Task(kind="where", question=question)

    def next_experiment(self, view: View) -> None:
        """Nothing is explored by choice."""

    def propose(self, view: View) -> tuple[Proposal, ...]:
        """Nothing new."""
        return ()

    def closing(self, view: View) -> tuple[Experiment, ...]:
        """Nothing."""
        return ()

    def word(self, view: View, claims: tuple[JudgedClaim, ...]) -> Words:
        """What was sealed, and how it came out."""
        return Words(
            premise_holds=None,
            premise=say("Claims of earlier reports were tested again on this model."),
            answer=tuple(_answer(claims)),
            claims={claim.id: say(claim.proposal.hypothesis.statement) for claim in claims},
        )


def _answer(claims: Sequence[JudgedClaim]) -> Iterator[Sentence]:
    yield say("Claims of earlier reports were tested again on this model; the comparison says what changed.")
    for verdict in ("supported", "refuted", "inconclusive"):
        named = [name(claim.id) for claim in claims if claim.judgement.verdict == verdict]
        if named:
            yield say(f"{verdict.capitalize()}: {', '.join(named)}.")


def retest_folder(path: Path, reports: Sequence[Report], subject: Subject, seed: int) -> RunFolder:
    """The folder in which claims are tested again; one that is there is gone on with.

    Raises:
        ToolError: it holds another comparison.
    """
    runs = ", ".join(report.run for report in reports)
    info = RunInfo(
        question=f"Which claims of {runs} hold on {subject.name}?",
        model=subject.name,
        device=str(subject.device),
        seed=seed,
        created=datetime.now().astimezone().isoformat(timespec="milliseconds"),
    )
    folder = RunFolder(path)
    if (path / "run.json").is_file():
        kept = folder.info
        if (kept.question, kept.seed) != (info.question, info.seed):
            raise ToolError(f"{path} holds another comparison.", mend="Give another folder, or remove that one.")
        return folder
    write_whole(path / "run.json", info.model_dump_json(indent=2))
    return folder


@contextmanager
def retest_desk(folder: RunFolder, subject: Subject) -> Iterator[Desk]:
    """The desk of a comparison, its ledger open.

    Raises:
        LedgerError: the folder's ledger was changed.
        ToolError: it was begun for other weights.
    """
    with Ledger(folder.ledger) as ledger:
        begun = ledger.find("question")
        if begun and begun.body["fingerprint"] != subject.key.fingerprint:
            raise ToolError(
                f"The weights of {subject.name} have changed since {folder.name} was measured.",
                mend="Restore them, or compare again into another folder.",
            )
        yield Desk(subject, RetestPlanner(), folder, ledger, None, folder.info.seed)


def begin(desk: Desk, reports: Sequence[Report]) -> None:
    """Open the ledger with what is compared.

    Raises:
        LedgerError: it was begun with other reports.
    """
    body = {
        "question": desk.folder.info.question,
        "task": desk.task.model_dump(mode="json"),
        "fingerprint": desk.subject.key.fingerprint,
        "planner": PLANNER,
        "seed": desk.seed,
        "reports": [{"run": one.run, "digest": digest_of(one)} for one in reports],
    }
    desk.ledger.append("question", "question", body)


def digest_of(report: Report) -> str:
    """SHA-256 of a whole report."""
    return digest(report.model_dump(mode="json"))


def earlier_claims(reports: Sequence[Report], subject: Subject) -> tuple[Earlier, ...]:
    """Every claim of the reports, in order, as it can be put to B."""
    both = [(report, claim) for report in reports for claim in report.claims]
    return tuple(_earlier(report, claim, number, subject) for number, (report, claim) in enumerate(both, start=1))


def _earlier(report: Report, claim: Claim, number: int, subject: Subject) -> Earlier:
    measured = _measured(report, claim)
    sealed = claim.prediction
    try:
        for arm in sealed.arms:
            _refuse_lacking(arm, subject)
    except ToolError as error:
        return Earlier(report, claim, None, str(error), 0, measured)
    unreadable = _unreadable(sealed, subject)
    update: dict[str, Any] = {"id": f"p{number}", "hypothesis": f"h{number}"}
    if unreadable:
        arms = tuple(_without(arm, unreadable) for arm in sealed.arms)
        if any(len({pair["cluster"] or pair["base"] for pair in arm.args["pairs"]}) < FEWEST_CLUSTERS for arm in arms):
            why = f"Too few pairs of prompts are left: {len(unreadable)} cannot be read. {min(unreadable.values())}"
            return Earlier(report, claim, None, why, len(unreadable), measured)
        update |= {"arms": arms, "twin_arms": tuple(_without(arm, unreadable) for arm in sealed.twin_arms)}
        if sealed.shuffled_arm is not None:
            update["shuffled_arm"] = _without(sealed.shuffled_arm, unreadable)
    return Earlier(report, claim, sealed.model_copy(update=update), "", len(unreadable), measured)


def _measured(report: Report, claim: Claim) -> dict[str, tuple[list[dict[str, Any]], Sample]]:
    """The claim's own confirmation on A."""
    made: dict[str, Measurement] = {one.measurement.id: one.measurement for one in report.measurements}
    found = {}
    for arm in claim.prediction.arms:
        measurement = made.get(request_id(arm.tool, arm.args, report.subject.key))
        if measurement is not None:
            sample = sample_of(measurement, arm.counterfactual_family)
            found[arm.counterfactual_family] = (tested_on(measurement), sample)
    return found


def tested_on(measurement: Measurement) -> list[dict[str, Any]]:
    """What each effect of a measurement was measured on: its pairs, or its prompts where it takes these alone."""
    args = measurement.args
    return args["pairs"] if "pairs" in args else [{"prompt": prompt} for prompt in args["prompts"]]


def _refuse_lacking(arm: Arm, subject: Subject) -> None:
    """
    Raises:
        ToolError: B has no such site.
    """
    for site in (*arm.args.get("sites", ()), *arm.args.get("without", ())):
        if "/" not in site:  # features are of a dictionary, which the instrument looks for
            subject.site(site)


def _unreadable(prediction: Prediction, subject: Subject) -> Mapping[str, str]:
    """Pairs of prompts that B cannot read or answer with one token each, with the reason."""
    found: dict[str, str] = {}
    for arm in prediction.arms:
        if arm.tool != "patch":
            continue
        for pair in arm.args["pairs"]:
            try:
                subject.answer_token(pair["base"], pair["answer"])
                subject.answer_token(pair["corrupted"], pair["foil"])
                subject.tokenise([pair["source"] or pair["corrupted"]])
            except ToolError as error:
                found[canonical(pair)] = str(error)
    return found


def _without(arm: Arm, unreadable: Mapping[str, str]) -> Arm:
    kept = [pair for pair in arm.args["pairs"] if canonical(pair) not in unreadable]
    return arm.model_copy(update={"args": {**arm.args, "pairs": kept}})
