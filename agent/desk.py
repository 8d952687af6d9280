"""What the nodes of the investigation do: the one place that holds subject, planner, ledger, run folder and memory."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..memory import RememberError
from ..tools import Frozen, Measurement, ToolError
from ._evidence import Arm, Judgement, Prediction
from ._samples import arm_key, arms_of, judge_all
from .bench import Bench, trained_dictionary
from .headlines import headline
from .holdout import as_far_as_true
from .ledger import Ledger
from .planners.interface import (
    ContrastPair,
    Experiment,
    JudgedClaim,
    Planner,
    Proposal,
    Recalled,
    SubjectCard,
    Task,
    View,
)
from .recalling import findings_about
from .report.build import build_report
from .report.figures import render_plain
from .report.render import write_report
from .runs import RunFolder

if TYPE_CHECKING:
    from ..memory import Memory
    from ..tools import Subject

Event = dict[str, Any]
Emit = Callable[[Event], None]

TWIN_SEED = 1  # of the re-initialised model that controls are measured on


class Outcome(Frozen):
    """How an experiment ended: with a measurement's id, or with the reason why it could not run."""

    text: str
    failed: bool = False


class Desk:
    """One investigation's working parts."""

    def __init__(
        self,
        subject: "Subject",
        planner: Planner,
        folder: RunFolder,
        ledger: Ledger,
        open_memory: "Callable[[], Memory] | None",
        seed: int,
        pairs: tuple[ContrastPair, ...] = (),
    ) -> None:
        self.subject, self.planner, self.folder, self.ledger, self.open_memory = (
            subject,
            planner,
            folder,
            ledger,
            open_memory,
        )
        self.seed, self.pairs = seed, pairs
        self.bench = Bench(subject, folder)

    @cached_property
    def card(self) -> SubjectCard:
        """What the planner may know of the subject."""
        shape, dictionary = self.subject.shape, trained_dictionary(self.subject)
        return SubjectCard(
            key=self.subject.key,
            n_layers=shape.n_layers,
            n_heads=shape.n_heads,
            n_vocab=shape.n_vocab,
            parallel=shape.parallel,
            dictionary=None if dictionary is None else dictionary.name,
            dictionary_digest=None if dictionary is None else dictionary.digest,
            tasks=self.subject.tasks,
            n_texts=len(self.subject.texts),
        )

    @cached_property
    def task(self) -> Task:
        """The question as understood; a planner reads the same question the same way each time."""
        return self.planner.read(self.folder.info.question, self.pairs, self.card)

    def take_in(self, question: str) -> None:
        """Open the ledger with the question."""
        body = {
            "question": question,
            "task": self.task.model_dump(mode="json"),
            "fingerprint": self.card.key.fingerprint,
            "planner": self.planner.name,
            "seed": self.seed,
        }
        self.ledger.append("question", "question", body)

    def recall(self, emit: Emit) -> None:
        """Ask the memory once; what it said is in the ledger, so a resumed run does not hear something newer."""
        if self.ledger.find("recalled") is not None:
            return
        hits, problem = findings_about(self.task.question, self.card, self.open_memory)
        heard = [hit.model_dump(mode="json") for hit in hits]
        self.ledger.append("recalled", "note", {"recalled": heard, "problem": problem})
        if problem:
            emit({"event": "notice", "text": f"Earlier findings could not be read: {problem}"})
        if hits:
            emit({"event": "recalled", "findings": heard})

    @property
    def recalled(self) -> tuple[Recalled, ...]:
        """Earlier findings about these weights, as heard at the start of the run."""
        entry = self.ledger.find("recalled")
        return tuple(Recalled.model_validate(hit) for hit in entry.body["recalled"]) if entry else ()

    def view(self, state: Mapping[str, Any]) -> View:
        """What the planner sees now."""
        return View(
            task=self.task,
            card=self.card,
            results={key: self._measurement(found) for key, found in state.get("done", [])},
            failed=dict(state.get("failed", [])),
            recalled=self.recalled,
        )

    def next_exploration(self, state: Mapping[str, Any]) -> Experiment | None:
        """What the planner wants next: an exploration, whatever else it calls it."""
        wanted = self.planner.next_experiment(self.view(state))
        if wanted is None:
            return None
        return wanted.model_copy(update={"phase": "explore", "prediction": ""})

    def run(self, experiment: Experiment, emit: Emit) -> Outcome:
        """Run one experiment, or take it from the folder where it ran before; either way the ledger says so once."""
        emit({"event": "started", **experiment.model_dump(mode="json", include={"key", "tool", "why", "phase"})})

        def progress(done: int, total: int, what: str) -> None:
            emit({"event": "progress", "key": experiment.key, "done": done, "total": total, "what": what})

        try:
            measurement, known = self.bench.measure(experiment.tool, experiment.args, experiment.twin_seed, progress)
        except ToolError as error:
            self._log(experiment, {"failed": str(error)})
            emit({"event": "failed", "key": experiment.key, "reason": str(error)})
            return Outcome(text=str(error), failed=True)
        self._log(experiment, {"measurement": measurement.id, "digest": measurement.digest})
        found = render_plain(headline(measurement), {measurement.id: measurement})
        emit(
            {
                "event": "finished",
                "key": experiment.key,
                "measurement": measurement.id,
                "found": found,
                "seconds": measurement.seconds,
                "known": known,
            }
        )
        return Outcome(text=measurement.id)

    def _log(self, experiment: Experiment, outcome: dict[str, str]) -> None:
        about = experiment.model_dump(mode="json", include={"key", "tool", "why", "phase", "twin_seed"})
        if "measurement" not in outcome:
            self.ledger.append(f"failed:{experiment.key}", "note", {**about, **outcome})
        elif experiment.prediction:
            body = {**about, **outcome, "prediction": experiment.prediction}
            self.ledger.append(f"confirmed:{experiment.key}", "confirmed", body)
        else:
            self.ledger.append(f"measured:{experiment.key}", "measurement", {**about, **outcome})

    def seal(self, state: Mapping[str, Any], emit: Emit) -> list[str]:
        """Write the planner's predictions into the ledger; returns the keys of what is to be measured now."""
        view = self.view(state)
        waiting: list[str] = []
        for proposed in self.planner.propose(view):
            proposal = as_far_as_true(proposed, view.results.values())
            prediction = proposal.prediction
            experiments = [_experiment(prediction, arm) for arm in arms_of(prediction)]
            body = {
                "prediction": prediction.id,
                "measurements": [self.bench.id_of(e.tool, e.args, e.twin_seed) for e in experiments],
                "proposal": proposal.model_dump(mode="json"),
            }
            self.ledger.append(f"sealed:{prediction.id}", "sealed", body)
            emit({"event": "sealed", "prediction": prediction.id, "statement": proposal.hypothesis.statement})
            waiting += [e.key for e in experiments]
        return waiting + [experiment.key for experiment in self.planner.closing(view)]

    @property
    def sealed(self) -> tuple[Proposal, ...]:
        """Every sealed proposal, in order."""
        return tuple(Proposal.model_validate(entry.body["proposal"]) for entry in self.ledger.entries("sealed"))

    def after_sealing(self, state: Mapping[str, Any], key: str) -> Experiment:
        """The experiment of that key: an arm of a sealed prediction, or one of the planner's closing experiments."""
        for proposal in self.sealed:
            for arm in arms_of(proposal.prediction):
                if arm_key(proposal.prediction, arm) == key:
                    return _experiment(proposal.prediction, arm)
        return next(e for e in self.planner.closing(self.view(state)) if e.key == key)

    def judge(self, state: Mapping[str, Any], emit: Emit) -> None:
        """Let code judge every sealed prediction, from what the ledger says was measured for it."""
        sealed = self.sealed
        looked_at = [entry.body["measurement"] for entry in self.ledger.entries("measurement")]
        judged = judge_all(
            [proposal.prediction for proposal in sealed],
            self._arms(sealed),
            dict(state["failed"]),
            [self._measurement(i) for i in dict.fromkeys(looked_at)],
            self.seed,
        )
        for number, proposal in enumerate(sealed, start=1):
            prediction = proposal.prediction
            if prediction.id not in judged:
                self.ledger.append(f"untested:{prediction.id}", "note", {"prediction": prediction.id})
                emit({"event": "notice", "text": f"{prediction.id} could not be tested: none of its arms ran."})
                continue
            judgement = judged[prediction.id]
            verdict = {"claim": f"c{number}", "prediction": prediction.id}
            body = {**verdict, "judgement": judgement.model_dump(mode="json")}
            self.ledger.append(f"verdict:{prediction.id}", "verdict", body)
            told = {"verdict": judgement.verdict, "tier": judgement.tier, "statement": proposal.hypothesis.statement}
            emit({"event": "judged", "claim": f"c{number}", **told})

    def _arms(self, sealed: tuple[Proposal, ...]) -> dict[str, Measurement]:
        """Measurements of sealed arms: those that the ledger confirms, under the very request that was sealed.

        Never by the names that a planner gives its explorations.
        """
        confirmed = {entry.body["measurement"] for entry in self.ledger.entries("confirmed")}
        found: dict[str, Measurement] = {}
        for proposal in sealed:
            for arm in arms_of(proposal.prediction):
                experiment = _experiment(proposal.prediction, arm)
                wanted = self.bench.id_of(experiment.tool, experiment.args, experiment.twin_seed)
                if wanted in confirmed:
                    found[experiment.key] = self._measurement(wanted)
        return found

    @property
    def claims(self) -> tuple[JudgedClaim, ...]:
        """Every sealed proposal with its verdict."""
        verdicts = {entry.body["prediction"]: entry.body for entry in self.ledger.entries("verdict")}
        return tuple(
            JudgedClaim(
                id=verdicts[proposal.prediction.id]["claim"],
                proposal=proposal,
                judgement=Judgement.model_validate(verdicts[proposal.prediction.id]["judgement"]),
            )
            for proposal in self.sealed
            if proposal.prediction.id in verdicts
        )

    def report(self, state: Mapping[str, Any], emit: Emit) -> str:
        """Write the report; returns its folder."""
        emit({"event": "reporting"})
        report = build_report(self, self.view(state))
        write_report(report, self.folder.path)
        return str(self.folder.path)

    def remember(self, state: Mapping[str, Any], emit: Emit) -> None:
        """Store claims, hypotheses and feature cards for later runs."""
        if self.open_memory is None:
            return
        from .remembering import records_of

        try:
            with self.open_memory() as memory:
                memory.remember(records_of(self, self.view(state)))
        except RememberError as error:
            emit({"event": "notice", "text": f"The findings were not remembered: {error}"})
            return
        emit({"event": "remembered"})

    def _measurement(self, measurement_id: str) -> Measurement:
        kept = self.folder.kept(measurement_id)
        assert kept is not None, f"{measurement_id} is in the state but not in the run's folder"
        return kept


def _experiment(prediction: Prediction, arm: Arm) -> Experiment:
    is_twin, is_confirmation = arm in prediction.twin_arms, arm in prediction.arms
    return Experiment(
        key=arm_key(prediction, arm),
        tool=arm.tool,
        args=arm.args,
        why=f"{prediction.id}, {arm.label}",
        phase="confirm" if is_confirmation else "control",
        twin_seed=TWIN_SEED if is_twin else None,
        prediction=prediction.id,
    )
