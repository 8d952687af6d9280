"""One question from intake to report, as a LangGraph graph.

    intake → recall → explore ⟲ → seal → confirm ⟲ → judge → (refute ⟲) → (word ⟲) → report → remember

A planner proposes at `explore` and `seal` and words the report; everything else is code. Each turn of a loop runs one
experiment and is checkpointed before the next, so a killed run goes on where it was: finished measurements lie in the
run's folder under the id of their request, and the ledger takes no entry twice. State holds names and ids alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.config import get_stream_writer
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from ..tools import ToolError
from .approving import Decision, Waiting, decided
from .desk import Desk, Event
from .intake import recall as recall_findings, take_in
from .planners.interface import Experiment, Inquiry
from .planners.llm_turns import Consultation
from .refuting import Refuter
from .report.build import build_report
from .runs import UnreadableFile
from .unblinding import unblind
from .wording import Writer

RECURSION_LIMIT = 400  # turns of the loops; langgraph's own default would hide an endless planner for longer


class State(TypedDict):
    """What a checkpoint holds: names and ids, no artefacts."""

    question: str
    done: list[list[str]]  # [key, measurement id]
    failed: list[list[str]]  # [key, reason]
    waiting: list[str]  # keys of confirmations still to run
    report: str


Update = dict[str, Any]
"""The part of the state that a node changes."""


def build_graph(desk: Desk) -> StateGraph[State]:
    """The graph of one investigation at one desk."""
    graph = StateGraph(State)

    def intake(state: State) -> Update:
        take_in(desk, state["question"])
        return {}

    def recall(state: State) -> Update:
        recall_findings(desk, _emit)
        return {}

    def explore(state: State) -> Update:
        wanted = desk.next_exploration(state)
        desk.tell_spent(state, _emit)
        if isinstance(wanted, Inquiry):
            desk.advice.inquire(wanted, _emit)
            return {}
        if isinstance(wanted, Consultation):
            desk.advice.consult(wanted, _emit)
            return {}
        if wanted is None:
            return {}
        decision = _heard(desk.asks_about(wanted), desk)
        if decision.stop:
            desk.stop("the person who approves ended the exploration")
            return {}
        if decision.skip:
            return {"failed": [*state["failed"], [wanted.key, desk.skip(wanted, _emit)]]}
        return _run(desk, state, wanted)

    def seal(state: State) -> Update:
        _heard(desk.asks_about_plan(state), desk)
        waiting = desk.seal(state, _emit)
        unblind(desk, state)
        return {"waiting": waiting}

    def confirm(state: State) -> Update:
        if not state["waiting"]:
            return {}
        if untested := desk.given_up(state, _emit):
            return {"failed": [*state["failed"], *map(list, untested.items())], "waiting": []}
        experiment = desk.after_sealing(state, state["waiting"][0])
        return {**_run(desk, state, experiment), "waiting": state["waiting"][1:]}

    def judge(state: State) -> Update:
        desk.judge(state, _emit)
        return {}

    def report(state: State) -> Update:
        return {"report": desk.report(state, _emit)}

    def remember(state: State) -> Update:
        desk.remember(state, _emit)
        return {}

    for node in (intake, recall, explore, seal, confirm, judge, report, remember):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "intake")
    graph.add_edge("intake", "recall")
    graph.add_edge("recall", "explore")
    graph.add_conditional_edges("explore", lambda s: "explore" if desk.next_exploration(s) else "seal")
    graph.add_edge("seal", "confirm")
    graph.add_conditional_edges("confirm", lambda s: "confirm" if s["waiting"] else "judge")
    _add_what_follows_the_judge(graph, desk)
    graph.add_edge("report", "remember")
    graph.add_edge("remember", END)
    return graph


def _add_what_follows_the_judge(graph: StateGraph[State], desk: Desk) -> None:
    """Trying claims, and a wording of the answer, where they are wanted; then the report."""
    refuter, writer = Refuter(desk), Writer(desk)

    def refute(state: State) -> Update:
        wanted = refuter.next(state, _emit)
        desk.tell_spent(state, _emit)
        if isinstance(wanted, Experiment):
            return _run(desk, state, wanted)
        if wanted is None:
            refuter.judge(state, _emit)
        else:
            desk.advice.consult(wanted, _emit)
        return {}

    def word(state: State) -> Update:
        wanted = writer.next(state, build_report(desk, desk.view(state)))
        if wanted is not None:
            desk.advice.consult(wanted, _emit)
        return {}

    def due(_: State) -> str:
        return "refute" if refuter.is_due else "word" if writer.is_due else "report"

    for node in (refute, word):
        graph.add_node(node.__name__, node)
    for name in ("judge", "refute", "word"):
        graph.add_conditional_edges(name, due)


def investigate(desk: Desk, question: str) -> Iterator[Event]:
    """Run an investigation, or go on with one that was stopped, yielding what happens as it happens.

    The last event is `waiting` where a person has to approve something first: the run is to be taken up again then.
    """
    config: Any = {
        "configurable": {"thread_id": "investigation"},
        "recursion_limit": RECURSION_LIMIT + Refuter(desk).turns,
    }
    with _checkpoints(desk.folder.state) as checkpoints:
        graph = build_graph(desk).compile(checkpointer=checkpoints)
        begun = graph.get_state(config).created_at is not None
        # No input means: go on from the last checkpoint.
        fresh: State = {"question": question, "done": [], "failed": [], "waiting": [], "report": ""}
        start: Any = None if begun else fresh
        try:
            yield from graph.stream(start, config, stream_mode="custom", durability="sync")
            for waits in graph.get_state(config).interrupts:
                yield {"event": "waiting", **waits.value}
        except GraphRecursionError as error:
            raise ToolError(
                f"The planner asked for more than {RECURSION_LIMIT} experiments.",
                mend="Ask a narrower question; what was measured is kept in the run's folder.",
            ) from error


def _heard(waiting: Waiting | None, desk: Desk) -> Decision:
    """What a person said; the run is interrupted as long as nothing was."""
    if waiting is None:
        return Decision()
    decision = decided(desk.ledger, waiting.key)
    if decision is None:
        interrupt(waiting.model_dump(mode="json"))
        raise AssertionError("what a run waits for is in the ledger before it goes on")
    return decision


@contextmanager
def _checkpoints(path: Path) -> Iterator[SqliteSaver]:
    """The checkpoints in a file: plain values, as a run's folder may come from anywhere."""
    serializer = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saver = SqliteSaver(connection, serde=serializer)
        try:
            saver.setup()
        except sqlite3.DatabaseError as error:
            raise UnreadableFile(f"{path} holds no checkpoints ({error}). Restore it, or ask again.") from error
        yield saver


def _run(desk: Desk, state: State, experiment: Experiment) -> Update:
    outcome = desk.run(experiment, _emit)
    entry = [experiment.key, outcome.text]
    if outcome.failed:
        return {"failed": [*state["failed"], entry]}
    return {"done": [*state["done"], entry]}


def _emit(event: Event) -> None:
    get_stream_writer()(event)
