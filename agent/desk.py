"""What the nodes of the investigation do: the one place that holds subject, planner, ledger, run folder and memory."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..memory import RememberError
from ..tools import Frozen, ToolError
from .bench import Bench, closed_vocabulary, trained_dictionary
from .docket import Docket
from .headlines import headline
from .ledger import Ledger
from .planners.interface import (
    ContrastPair,
    Experiment,
    Inquiry,
    Planner,
    Recalled,
    SubjectCard,
    Task,
    View,
)
from .planners.llm_written import WrittenProbes
from .recalling import findings_about
from .report.build import build_report
from .report.figures import render_plain
from .report.render import write_report
from .runs import RunFolder
from .sealing import together

if TYPE_CHECKING:
    from ..memory import Memory
    from ..tools import Subject
    from .planners.llm_writing import ProbeWriter

Event = dict[str, Any]
Emit = Callable[[Event], None]


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
        writer: "ProbeWriter | None" = None,
    ) -> None:
        self.subject, self.planner, self.folder, self.ledger, self.open_memory = (
            subject,
            planner,
            folder,
            ledger,
            open_memory,
        )
        self.seed, self.pairs, self.writer = seed, pairs, writer
        self.bench = Bench(subject, folder)
        self.docket = Docket(ledger, self.bench, folder)

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
            words=closed_vocabulary(self.subject),
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
            results={key: self.folder.measurement(found) for key, found in state.get("done", [])},
            failed=dict(state.get("failed", [])),
            recalled=self.recalled,
            written=self.written,
        )

    @property
    def written(self) -> dict[str, WrittenProbes]:
        """What a language model wrote for this run, by the key of the inquiry."""
        notes = [entry.body for entry in self.ledger.entries("note") if "written" in entry.body]
        return {body["inquiry"]["key"]: WrittenProbes.model_validate(body["written"]) for body in notes}

    def inquire(self, inquiry: Inquiry, emit: Emit) -> None:
        """Ask the language model once: what it wrote is in the ledger, so a resumed run reads what the first one read.

        Raises:
            EndpointError: it does not answer; nothing is written down, and the run can be taken up again.
            ToolError: no language model is there to be asked.
        """
        if self.writer is None:
            raise ToolError(
                f"Probes for {inquiry.prompt!r} are still to be written, and there is no language model to ask.",
                mend="Go on with the run by `vesalius ask --resume`, which reads the settings of one.",
            )
        emit({"event": "asking", "model": self.writer.model, "prompt": inquiry.prompt})
        written = self.writer.write(inquiry)
        about = inquiry.model_dump(mode="json", exclude={"words"})
        body = {"inquiry": about, "written": written.model_dump(mode="json")}
        self.ledger.append(f"written:{inquiry.key}", "note", body)
        emit({"event": "written", "model": written.model, "n": len(written.probes), "problem": written.problem})

    def next_exploration(self, state: Mapping[str, Any]) -> Experiment | Inquiry | None:
        """What the planner wants next: an exploration, whatever else it calls it, or something to be written."""
        wanted = self.planner.next_experiment(self.view(state))
        if wanted is None or isinstance(wanted, Inquiry):
            return wanted
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
        """Write the planner's predictions into the ledger, those that can test something; returns what is due now."""
        view = self.view(state)
        waiting: list[str] = []
        number = 0
        for proposals in together(self.planner.propose(view)):
            try:
                waiting += self.docket.seal(proposals, view)
            except ToolError as error:
                for proposed in proposals:
                    number += 1
                    self.docket.refuse(number, proposed, str(error))
                    emit({"event": "notice", "text": f"Refused: {proposed.hypothesis.statement} {error}"})
                continue
            number += len(proposals)
            for proposed in proposals:
                told = {"prediction": proposed.prediction.id, "statement": proposed.hypothesis.statement}
                emit({"event": "sealed", **told})
        return waiting + [experiment.key for experiment in self._closing(view)]

    def _closing(self, view: View) -> list[Experiment]:
        """What the planner wants measured last: it belongs to no prediction, whatever the planner calls it."""
        closing = self.planner.closing(view)
        return [e.model_copy(update={"phase": "black_box", "prediction": ""}) for e in closing]

    def after_sealing(self, state: Mapping[str, Any], key: str) -> Experiment:
        """The experiment of that key: an arm of a sealed prediction, or one of the planner's closing experiments."""
        due = {experiment.key: experiment for experiment in self.docket.experiments}
        return due.get(key) or next(e for e in self._closing(self.view(state)) if e.key == key)

    def judge(self, state: Mapping[str, Any], emit: Emit) -> None:
        """Let code judge every sealed prediction, from what the ledger says was measured for it."""
        for proposal, claim in self.docket.judge(dict(state["failed"]), self.seed):
            if claim is None:
                text = f"{proposal.prediction.id} could not be tested: none of its arms ran."
                emit({"event": "notice", "text": text})
                continue
            judged = claim.judgement
            told = {"verdict": judged.verdict, "tier": judged.tier, "statement": proposal.hypothesis.statement}
            emit({"event": "judged", "claim": claim.id, **told})

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
