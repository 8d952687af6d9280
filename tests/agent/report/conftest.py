"""Reports to look at: one measured on a tiny random subject, and one whose every text is hostile."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import make_subject
from vesalius.agent._evidence import Arm, Gate, Hypothesis, Judgement, Prediction
from vesalius.agent.report.schema import (
    Analysis,
    Claim,
    Coverage,
    MeasurementRecord,
    Premise,
    Report,
    ReportedSubject,
    ReusedFinding,
    Sentence,
)
from vesalius.tools import Measurement, Subject, digest, get_tool

PAIRS = [
    {"base": f"w{i} w2 w3", "corrupted": f"w{i + 9} w2 w3", "answer": "w5", "foil": "w6", "cluster": f"w{i}"}
    for i in range(7, 13)
]
HOSTILE = (
    "<script>alert(1)</script> </SCRIPT><!-- <img src=x onerror=alert(2)> {{ 7*7 }} {{m-1a2b3c4d:gap}} {% raw %} | a | "
    "`tick` ``` ~~~ \u202eevil\u202c \x1b[31mred \u2028 \u2029 ]]> &lt; \"quote' javascript:alert(3) "
    "[x](http://evil.example/a) ![y](https://evil.example/b) @octocat www.evil.example \u05e9\u05dc\u05d5\u05dd "
)


def run_tool(name: str, args: dict[str, Any], subject: Subject) -> Measurement:
    tool = get_tool(name)
    return tool.measure(subject, tool.parse(args))


def judgement(**changes: Any) -> Judgement:
    given = {
        "verdict": "supported",
        "tier": "controlled",
        "effect": 0.98,
        "low": 0.91,
        "high": 1.05,
        "p": 0.001,
        "p_meaning": "p = 0.001: rare.",
        "q": 0.004,
        "n_pairs": 6,
        "n_clusters": 6,
        "moved_share": 0.5,
        "random_max": 0.1,
        "twin_effect": 0.0,
        "shuffled_moved_share": None,
        "minimum_detectable": 0.1,
        "gates": (
            Gate(name="no_op", outcome="pass", reason="Nothing changed."),
            Gate(name="twin", outcome="fail", reason="The twin moved 0.2."),
            Gate(name="replication", outcome="not_evaluated", reason="Too few clusters."),
        ),
        "reason": "The effect 0.98 lies above 0.05.",
    }
    return Judgement(**(given | changes))


def claim(confirm: Measurement, twin: Measurement, words: str, **changes: Any) -> Claim:
    arm = Arm(label="swap", counterfactual_family="swapped prompts", tool="patch", args=confirm.args)
    given = {
        "id": "c1",
        "sentence": Sentence(text="At `resid_post.1` the patch has effect {{c1:judgement.effect|.2f}}."),
        "hypothesis": Hypothesis(id="h1", statement=words, kind="mediation", alternatives=(words,), refuted_if=words),
        "prediction": Prediction(
            id="p1",
            hypothesis="h1",
            direction="positive",
            arms=(arm,),
            chance=0.5,
            holds_out_entities=True,
            holds_out_template=False,
        ),
        "judgement": judgement(),
        "measurements": (confirm.id, twin.id),
        "sealed": "ab" * 32,
    }
    return Claim(**(given | changes))


def report_of(
    subject: Subject, words: str = "plain words", more: tuple[Measurement, ...] = (), **changes: Any
) -> Report:
    """A report with a sweep, a confirmation, its twin and an answer, measured on the subject."""
    sites = ["resid_post.0", "resid_post.1", "resid_post.2"]
    sweep = run_tool("patch", {"pairs": PAIRS, "sites": sites, "positions": ["last", "0"]}, subject)
    args = {"pairs": PAIRS, "sites": ["resid_post.1"], "random_draws": 20, "seed": 1}
    confirm, twin = run_tool("patch", args, subject), run_tool("patch", args, subject.twin(1))
    asked = run_tool("next_token", {"prompts": ["w1 w2"], "answers": ["w5"]}, subject)
    records = [
        MeasurementRecord(measurement=sweep, phase="explore", why=words),
        MeasurementRecord(measurement=confirm, phase="confirm", why=words),
        MeasurementRecord(measurement=twin, phase="control", why=words),
        MeasurementRecord(measurement=asked, phase="black_box", why=words),
        *(MeasurementRecord(measurement=m, phase="explore", why=words) for m in more),
    ]
    quoted = words.replace("`", "'")
    said = Sentence(text=f"The model answers `{quoted}` with probability {{{{{asked.id}:answers.0.probability|.2f}}}}.")
    given: dict[str, Any] = {
        "run": "a-run",
        "question": words,
        "created": "2026-01-02T03:04:05+00:00",
        "planner": "protocol",
        "seconds": 1.5,
        "subject": ReportedSubject(key=subject.key, shape=vars(subject.shape), device="cpu", dtype="float32"),
        "environment": {"torch": "2"},
        "premise": Premise(holds=True, sentence=said),
        "answer": (said,),
        "claims": (claim(confirm, twin, words),),
        "measurements": tuple(records),
        "tried": (
            Analysis(step=1, tool="patch", why=words, measurement=sweep.id, outcome=said),
            Analysis(step=2, tool="steer", why=words, measurement=None, outcome=Sentence(text="Could not run.")),
        ),
        "coverage": Coverage(examined={"resid_post": 3}, not_examined=(words,), units_looked_at=6),
        "black_box": (said,),
        "reused": (ReusedFinding(text=words, run="earlier", record="r1", similarity=0.9),),
        "not_found": (said,),
        "ledger_digest": "cd" * 32,
    }
    return Report(**(given | changes))


def graph_measurement(subject: Subject, words: str, layers: int = 3, per_cell: int = 7) -> Measurement:
    """A graph as the tool returns it, with more nodes in a cell than stand side by side."""
    tokens = ("<bos>", " the", words[:200])
    nodes: list[dict[str, Any]] = []

    def node(kind: str, layer: int, position: int, number: int) -> str:
        name = f"{kind}.{layer}/{number}@{position}"
        nodes.append(
            {
                "id": name,
                "kind": kind,
                "layer": layer,
                "position": position,
                "feature": number if kind == "feature" else None,
                "token": tokens[position],
                "activation": 1.5 if kind == "feature" else None,
                "probability": 0.5 if kind == "logit" else None,
                "influence": round(0.001 * len(nodes), 3),
                "label": f"{name} {words}",
                "influence_share": 0.1,
            }
        )
        return name

    below = [node("token", -1, position, 0) for position in range(3)]
    links: list[dict[str, Any]] = []
    for layer in range(layers):
        here = [node("feature", layer, p, i) for p in (1, 2) for i in range(per_cell if p == 2 else 2)]
        links += [{"source": s, "target": t, "weight": 0.3 * (-1) ** i} for s in below for i, t in enumerate(here)]
        below = here
    for i in range(2):
        answer = node("logit", layers, 2, i)
        links += [{"source": s, "target": answer, "weight": 1.0 - 0.1 * i} for s in below]
    result = {
        "prompt": words,
        "tokens": list(tokens),
        "nodes": nodes,
        "links": links,
        "replacement_score": 0.7,
        "completeness_score": 0.8,
        "n_nodes_before_pruning": 99,
    }
    return stored("attribution_graph", result, subject, "m-aaaa0001")


def stored(tool: str, result: dict[str, Any], subject: Subject, name: str) -> Measurement:
    """A measurement made by hand."""
    return Measurement(
        id=name, tool=tool, subject=subject.key, args={}, result=result, digest=digest(result), seconds=0.1
    )


def lens_measurement(subject: Subject, word: str) -> Measurement:
    layers = [
        {
            "site": site,
            "top": [[word, p], [" b", 0.1]],
            "tracked": [
                {"word": word, "logit": 1.0, "probability": p, "rank": 1},
                {"word": "other", "logit": 1.0, "probability": 0.3 - p / 4, "rank": 2},
            ],
        }
        for site, p in (("resid_pre.0", 0.01), ("resid_post.0", 0.1), ("resid_post.1", 0.6), ("resid_post.2", 0.97))
    ]
    prompts = [{"prompt": f"a prompt {word}", "token": word, "position": 3, "layers": layers}]
    result = {"prompts": prompts, "sites": [layer["site"] for layer in layers], "last_layer_error": 0.0}
    return stored("logit_lens", result, subject, "m-aaaa0002")


def steer_measurement(subject: Subject) -> Measurement:
    points = [
        {
            "strength": s,
            "effect": 4 * s,
            "effects": [4 * s],
            "answered": [s > 0.7],
            "perplexity_ratio": 1 + s * s,
            "random_effects": [0.05 * s * (i % 7 - 3) for i in range(20)],
            "random_perplexity_ratios": [1 + 0.2 * s + 0.01 * i for i in range(20)],
        }
        for s in (0.0, 0.5, 1.0, 2.0)
    ]
    return stored("steer", {"site": "resid_post.1", "points": points}, subject, "m-aaaa0003")


@pytest.fixture(scope="session")
def gpt2() -> Subject:
    return make_subject("gpt2")


@pytest.fixture(scope="session")
def report(gpt2: Subject) -> Report:
    """A report that was measured."""
    return report_of(gpt2)


@pytest.fixture(scope="session")
def hostile(gpt2: Subject) -> Report:
    """A report in which every text of the model, the user and the planner is an attack, with every kind of picture."""
    unknown = stored("not_yet_known", {"text": HOSTILE, "numbers": [1, 2.5, None, True]}, gpt2, "m-aaaa0004")
    more = (graph_measurement(gpt2, HOSTILE), lens_measurement(gpt2, HOSTILE), steer_measurement(gpt2), unknown)
    words = HOSTILE + "x" * 3000
    return report_of(gpt2, words, more, graph="m-aaaa0001", planner=HOSTILE, environment={HOSTILE: HOSTILE})


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """Builds a measured report with some fields changed."""
    return report_of


@pytest.fixture(scope="session")
def make_judgement() -> Callable[..., Judgement]:
    """Builds a judgement with some fields changed."""
    return judgement
