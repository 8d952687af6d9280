"""One question from intake to report, as a LangGraph graph.

    intake → recall → explore ⟲ → seal → confirm ⟲ → judge → report → remember

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

from ..tools import ToolError
from .desk import Desk, Event
from .planners.interface import Experiment, Inquiry
from .runs import UnreadableFile

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
        desk.take_in(state["question"])
        return {}

    def recall(state: State) -> Update:
        desk.recall(_emit)
        return {}

    def explore(state: State) -> Update:
        wanted = desk.next_exploration(state)
        if isinstance(wanted, Inquiry):
            desk.inquire(wanted, _emit)
            return {}
        return {} if wanted is None else _run(desk, state, wanted)

    def seal(state: State) -> Update:
        return {"waiting": desk.seal(state, _emit)}

    def confirm(state: State) -> Update:
        if not state["waiting"]:
            return {}
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
    graph.add_edge("judge", "report")
    graph.add_edge("report", "remember")
    graph.add_edge("remember", END)
    return graph


def investigate(desk: Desk, question: str) -> Iterator[Event]:
    """Run an investigation, or go on with one that was stopped, yielding what happens as it happens."""
    config: Any = {"configurable": {"thread_id": "investigation"}, "recursion_limit": RECURSION_LIMIT}
    with _checkpoints(desk.folder.state) as checkpoints:
        graph = build_graph(desk).compile(checkpointer=checkpoints)
        begun = graph.get_state(config).created_at is not None
        # No input means: go on from the last checkpoint.
        fresh: State = {"question": question, "done": [], "failed": [], "waiting": [], "report": ""}
        start: Any = None if begun else fresh
        try:
            yield from graph.stream(start, config, stream_mode="custom", durability="sync")
        except GraphRecursionError as error:
            raise ToolError(
                f"The planner asked for more than {RECURSION_LIMIT} experiments.",
                mend="Ask a narrower question; what was measured is kept in the run's folder.",
            ) from error


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
