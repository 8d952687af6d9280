"""Investigations that a scripted language model plans, for tests to look at."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from scripted_endpoint import Answer, calls, serving
from vesalius.agent.asking import Where, ask, desk_for, start_run
from vesalius.agent.budget import Budget
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.report.schema import Report, read_report
from vesalius.agent.runs import Planned, RunFolder
from vesalius.evals.organisms._compile import Compiled
from vesalius.evals.organisms.compiled import compiled_circuit
from vesalius.tools import Subject

QUESTION = "Where is the behaviour of these pairs computed?"
AIM = {"why": "to see where", "would_change": "nothing moves"}
ENOUGH = ("finish", {"reason": "enough was seen"})
TIMEOUT = 10.0  # seconds


class PlannedRun(NamedTuple):
    """A run that ended."""

    report: Report
    asked: list[dict[str, Any]]  # requests
    events: list[dict[str, Any]]
    ledger: list[dict[str, Any]]  # bodies of its entries
    pages: dict[str, str]  # what was written, by its ending

    @property
    def said(self) -> list[str]:
        """All that the language model was sent last, by message."""
        return [json.dumps(message) for message in self.asked[-1]["messages"]]


@cache
def copying() -> tuple[Compiled, tuple[ContrastPair, ...]]:
    """A model that answers with its first word, and pairs that differ in it."""
    one = compiled_circuit("first_token", 0)
    pairs = [pair for pair in one.organism.families["value"] if pair.answer != pair.foil][:30]
    return one, tuple(ContrastPair(clean=p.base, corrupted=p.corrupted, answer=p.answer, foil=p.foil) for p in pairs)


def true_head() -> str:
    """The head that copies."""
    return next(node for node in copying()[0].organism.nodes if node.startswith("head"))


def idle_head() -> str:
    """A head that does nothing."""
    shape = copying()[0].organism.subject.shape
    heads = (f"head.{layer}.{head}" for layer in range(shape.n_layers) for head in range(shape.n_heads))
    return next(head for head in heads if head not in copying()[0].organism.nodes)


def look(*sites: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """A call that patches sites at the last token."""
    return "patch", {"pairs": "discovery", "sites": list(sites), "positions": ["last"], **AIM, **more}


def predict(site: str, claim: str = "part_of_path", **more: Any) -> tuple[str, dict[str, Any]]:
    """A call that makes a prediction."""
    return "predict", {"claim": claim, "site": site, "at": "last", "reason": "r", "alternative": "a backup", **more}


def honest() -> list[Answer]:
    """What a language model says that looks first, and predicts what is so and what is not."""
    return [
        calls(look(true_head(), idle_head())),
        calls(predict(true_head()), predict(idle_head())),
        calls(ENOUGH),
    ]


def begun(home: Path, subject: Subject, pairs: tuple[ContrastPair, ...], by: str = "tiny", **planned: Any) -> RunFolder:
    """A run that a language model is to plan."""
    where = Where(home, use_memory=False)
    return start_run(where, subject, QUESTION, 0, "cpu", pairs, planned=Planned(by=by, **planned))


def planned_run(
    home: Path,
    *script: Answer,
    budget: Budget | None = None,
    room: int = 90_000,
    timeout: float = TIMEOUT,
    see: Callable[[dict[str, Any]], None] | None = None,
) -> PlannedRun:
    """Let a scripted language model plan a run about the model that copies."""
    one, pairs = copying()
    subject, events = one.organism.subject, list[dict[str, Any]]()
    with serving(*script) as played:
        folder = begun(home, subject, pairs, budget=budget or Budget(), room=room)
        endpoint = Endpoint(base_url=played.url, model="tiny", timeout_s=timeout)
        where, consultant = Where(home, use_memory=False), Consultant(lambda: endpoint, "tiny")
        with desk_for(where, subject, folder, consultant=consultant) as desk:
            ask(desk, lambda event: (events.append(event), see(event) if see else None))
    pages = {kind: (folder.path / f"report.{kind}").read_text() for kind in ("md", "html", "json")}
    entries = [json.loads(line)["body"] for line in folder.ledger.read_text().splitlines()]
    return PlannedRun(read_report(folder.path / "report.json"), played.asked, events, entries, pages)
