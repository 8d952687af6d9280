"""Runs with attribution graphs for the page's tests, and a server of pages and graphs whose jobs are played."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browsing import on_a_port
from fastapi import FastAPI
from vesalius.agent.runs import RunFolder
from vesalius.agent.server.access import access_for
from vesalius.agent.server.guard import Guard
from vesalius.agent.server.problems import tell_problems
from vesalius.agent.server.routes_graphs import graph_routes
from vesalius.agent.server.routes_pages import page_routes
from vesalius.agent.server.shelf import Shelf
from vesalius.evals.benchmarks._page_graphs import run_with
from vesalius.tools import AttributionGraphResult, Measurement, SubjectKey, digest, measurement_id

NOTHING = {"feature": None, "token_id": None, "activation": None, "probability": None}
TOKENS = ("The", " Texas", " is")
# Two roads from Texas to the answer, and one feature that only the other answer reads.
LINKS = {
    ("token@1", "0/1@1"): 2.0,
    ("token@1", "0/2@1"): 1.0,
    ("0/1@1", "1/5@2"): 3.0,
    ("0/2@1", "1/5@2"): -1.5,
    ("error.0@2", "1/5@2"): 0.25,
    ("1/5@2", "logit.9@2"): 2.5,
    ("0/2@1", "logit.8@2"): 0.5,
    ("token@0", "1/6@2"): 0.1,
}


def node(name: str, tokens: tuple[str, ...] = TOKENS, **more: Any) -> dict[str, Any]:
    """A node by its id, as `attribution_graph` writes it."""
    where, _, at = name.rpartition("@")
    own: dict[str, Any] = {"kind": "feature", "layer": 2}
    if where.startswith(("token", "logit")):
        kind = where[:5]
        number = int(at) if kind == "token" else int(where.split(".")[1].partition("-")[0])
        own = {"kind": kind, "layer": -1 if kind == "token" else 2, "token_id": number}
        own |= {"probability": 0.5} if kind == "logit" else {}
    elif where.startswith("error"):
        own = {"kind": "error", "layer": int(where.split(".")[1])}
    else:
        layer, feature = map(int, where.split("/"))
        own = {"kind": "feature", "layer": layer, "feature": feature, "activation": 2.0}
    said = {
        "id": name,
        "position": int(at),
        "token": tokens[int(at)],
        "label": f"{own['kind']} {name}",
        "influence": 0.5,
    }
    return NOTHING | said | own | more


def graph(
    links: dict[tuple[str, str], float] = LINKS,
    tokens: tuple[str, ...] = TOKENS,
    nodes: dict[str, dict[str, Any]] | None = None,
) -> AttributionGraphResult:
    """A graph of these links; `nodes` changes nodes by id."""
    names = dict.fromkeys([*(f"token@{at}" for at in range(len(tokens))), *(end for pair in links for end in pair)])
    counts = dict.fromkeys(
        ("n_nodes_before_pruning", "n_links_before_pruning", "n_active_features", "n_features_left_out"), 99
    )
    return AttributionGraphResult.model_validate(
        counts
        | {
            "prompt": "".join(tokens),
            "tokens": tokens,
            "nodes": [node(name, tokens, **(nodes or {}).get(name, {})) for name in names],
            "links": [{"source": s, "target": t, "weight": w} for (s, t), w in links.items()],
            "replacement_score": 0.5,
            "completeness_score": 0.8,
            "dictionary": "transcoders",
            "dictionary_digest": "d" * 64,
            "dictionary_forced": False,
            "links_into_features": "exact",
            "intervention_error": 0.0,
            "n_interventions": 1,
        }
    )


def described(feature: str = "0/1", **more: Any) -> Measurement:
    """What `describe_feature` found of a feature."""
    layer, index = map(int, feature.split("/"))
    result = {
        "layer": layer,
        "feature": index,
        "contexts": [
            {
                "text": "in Texas we trust",
                "tokens": ["in", " Texas", " we", " trust"],
                "activations": [0, 4.5, 0, 0],
                "peak": 1,
                "peak_activation": 4.5,
            },
            {
                "text": "no no no",
                "tokens": ["no", " no", " no"],
                "activations": [0, 1.5, 0],
                "peak": 1,
                "peak_activation": 1.5,
            },
        ],
        "promoted": [{"token": " Austin", "weight": 1.25}],
        "suppressed": [{"token": " Boston", "weight": -1.0}],
        "frequency": 0.1,
        "max_activation": 4.5,
        "n_texts": 2,
        "n_tokens": 7,
        "dictionary": "transcoders",
        "dictionary_digest": "d" * 64,
        "dictionary_forced": False,
    } | more
    key = SubjectKey(model="none", fingerprint="f" * 64)
    args = {"feature": feature, "dictionary": "transcoders"}
    name = measurement_id("describe_feature", args, key)
    return Measurement(
        id=name, tool="describe_feature", subject=key, args=args, result=result, digest=digest(result), seconds=0.1
    )


def graph_run(home: Path, *results: AttributionGraphResult) -> tuple[RunFolder, tuple[str, ...]]:
    """A run without a report that holds these graphs, and what it knows of feature 0/1."""
    folder, ids = run_with(home, *results)
    folder.keep(described())
    return folder, ids


class Played:
    """Jobs as the server answers them, without a model: what was asked, and what each tool finds."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.results: dict[str, Any] = {}  # per tool a result, or a function of the arguments
        self.looks = 0

    def job(self, number: int) -> dict[str, Any]:
        """A job at one more look: waiting, then running, then done or failed."""
        self.looks += 1
        asked = self.asked[number]
        base = {"handle": f"j{number}", "what": asked["tool"], "ahead": 0, "step": None, "seconds": 0.1}
        base |= {"measurement": None, "error": ""}
        if self.looks % 3 == 1:
            return base | {"state": "queued"}
        if self.looks % 3 == 2:
            return base | {"state": "running", "step": {"done": 0, "total": 2, "doing": "playing"}}
        found = self.results.get(asked["tool"])
        if found is None:
            return base | {"state": "failed", "error": "ToolError: no such feature"}
        result = found(asked["args"]) if callable(found) else found
        measurement = {"id": f"m-{number:04x}", "tool": asked["tool"], "args": asked["args"], "result": result}
        measurement |= {"subject": {"model": "none", "fingerprint": "f" * 64}, "digest": "", "seconds": 0.1}
        return base | {"state": "done", "measurement": measurement}


@contextmanager
def graph_site(home: Path, played: Played) -> Iterator[str]:
    """Address of a server of pages, graphs and played jobs."""
    access, app = access_for("127.0.0.1"), FastAPI()
    app.include_router(page_routes(access))
    app.include_router(graph_routes(Shelf(home)))

    @app.post("/api/measurements", status_code=201)
    def measure(wanted: dict[str, Any]) -> dict[str, Any]:
        played.asked.append(wanted)
        return played.job(len(played.asked) - 1)

    @app.get("/api/jobs/{handle}")
    def job(handle: str) -> dict[str, Any]:
        return played.job(int(handle[1:]))

    tell_problems(app, home)
    app.add_middleware(Guard, access=access)
    with on_a_port(app) as site:
        yield site
