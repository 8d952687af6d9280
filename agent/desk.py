"""What the nodes of the investigation do: the one place that holds subject, planner, ledger, run folder and memory."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..memory import RememberError
from ..tools import Frozen, ToolError
from .advice import Advice
from .approving import PLAN, Approve, Waiting, approved, decided, waiting_for, waiting_for_plan
from .bench import Bench, card_of
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
from .planners.llm_turns import Consultation
from .purse import Purse
from .report.build import build_report
from .report.figures import render_plain
from .report.render import write_report
from .runs import RunFolder
from .sealing import together

if TYPE_CHECKING:
    from ..memory import Memory
    from ..tools import Subject

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
        advice: Advice | None = None,
        purse: Purse | None = None,
        approve: Approve = "none",
    ) -> None:
        self.subject, self.planner, self.folder, self.ledger, self.open_memory = (
            subject,
            planner,
            folder,
            ledger,
            open_memory,
        )
        self.seed, self.pairs = seed, pairs
        self.approve: Approve = approve
        self.advice, self.purse = advice or Advice(ledger), purse or Purse()
        self.bench = Bench(subject, folder)
        self.docket = Docket(ledger, self.bench, folder)

    @cached_property
    def card(self) -> SubjectCard:
        """What the planner may know of the subject."""
        return card_of(self.subject)

    @cached_property
    def task(self) -> Task:
        """The question as understood; a planner reads the same question the same way each time."""
        return self.planner.read(self.folder.info.question, self.pairs, self.card)

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
            written=self.advice.written,
            turns=self.advice.turns,
            stopped=self.stopped,
        )

    @property
    def stopped(self) -> str:
        """Why no more may be explored; empty while it may."""
        entry = self.ledger.find("stopped")
        return entry.body["stopped"] if entry else ""

    def stop(self, why: str) -> None:
        """Explore no more: what was predicted so far is sealed and tested."""
        self.ledger.append("stopped", "note", {"stopped": why})

    def next_exploration(self, state: Mapping[str, Any]) -> Experiment | Inquiry | Consultation | None:
        """What the planner wants next: an exploration, whatever else it calls it, or something of a language model."""
        if not self.stopped and (why := self._out_of(state, exploring=True)):
            self.stop(why)
        if self.stopped:
            return None
        wanted = self.planner.next_experiment(self.view(state))
        if wanted is None or isinstance(wanted, Inquiry | Consultation):
            return wanted
        return wanted.model_copy(update={"phase": "explore", "prediction": ""})

    def _out_of(self, state: Mapping[str, Any], exploring: bool) -> str:
        """Which budget is reached, in words; empty where none is."""
        return self.purse.reached(self.advice.turns, self._tool_seconds(state), exploring)

    def out_of_rest(self, state: Mapping[str, Any], asking: bool) -> str:
        """Which budget is reached once nothing is left to be explored; what is said counts where more is asked."""
        seconds = self._tool_seconds(state)
        return self.purse.gone(self.advice.turns, seconds) if asking else self._out_of(state, exploring=False)

    def _tool_seconds(self, state: Mapping[str, Any]) -> Callable[[], float]:
        # What several experiments share costs once, and what an earlier run measured costs nothing.
        measured = {found for _, found in state["done"] if self.ledger.find(f"reused:{found}") is None}
        return lambda: sum(self.folder.measurement(found).seconds for found in measured)

    def tell_spent(self, state: Mapping[str, Any], emit: Emit) -> None:
        """Say how much of the budget is gone, where a language model spends it or the time is limited."""
        if self.advice.turns or self.purse.is_timed:
            emit({"event": "spent", "text": self.purse.told(self.advice.turns, self._tool_seconds(state))})

    def asks_about(self, experiment: Experiment) -> Waiting | None:
        """What a person has to hear of before this runs; nothing where nobody wants to."""
        return waiting_for(experiment) if self.approve == "each" else None

    def asks_about_plan(self, state: Mapping[str, Any]) -> Waiting | None:
        """What a person has to hear of before predictions are sealed; nothing where nobody wants to, or none is due."""
        proposals = self.planner.propose(self.view(state)) if self.approve != "none" else ()
        return waiting_for_plan(proposals) if proposals else None

    def skip(self, experiment: Experiment, emit: Emit) -> str:
        """Leave an experiment out, as a person wants it; returns the reason."""
        why = "the person who approves left it out"
        self._log(experiment, {"failed": why})
        emit({"event": "notice", "text": f"{experiment.tool}: {why}."})
        return why

    def given_up(self, state: Mapping[str, Any], emit: Emit) -> dict[str, str]:
        """Why each of what waits to be confirmed cannot be any more; nothing while there is time."""
        if not (why := self._out_of(state, exploring=False)):
            return {}
        emit({"event": "notice", "text": f"Not all is tested: {why}."})
        for key in state["waiting"]:
            self._log(self.after_sealing(state, key), {"failed": why})
        return dict.fromkeys(state["waiting"], why)

    def run(self, experiment: Experiment, emit: Emit) -> Outcome:
        """Run one experiment, or take it from the folder where it ran before; either way the ledger says so once."""
        about = experiment.model_dump(mode="json", include={"key", "tool", "args", "why", "phase"})
        emit({"event": "started", **about, "twin": experiment.twin_seed is not None})

        def progress(done: int, total: int, what: str) -> None:
            if experiment.phase == "explore":
                self.purse.refuse_overtime()
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
        wanted = approved(self.planner.propose(view), decided(self.ledger, PLAN))
        for proposals in together(wanted):
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
