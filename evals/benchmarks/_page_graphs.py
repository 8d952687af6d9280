"""Attribution graphs of any size with random links, kept as a run that a page can be opened on."""

import random
from collections.abc import Sequence
from pathlib import Path

from ...agent.runs import RunFolder, RunInfo
from ...tools import AttributionGraphResult, Measurement, SubjectKey, digest, measurement_id

__all__ = ["graph_of", "run_with"]

TRIES = 200  # draws for each link


def graph_of(n_nodes: int, n_links: int, n_tokens: int, n_layers: int, seed: int) -> AttributionGraphResult:
    """A graph of so many nodes and links: a token each, one answer, some error nodes, features at random places."""
    drawn = random.Random(seed)
    tokens = tuple(f" token{at}" for at in range(n_tokens))
    nodes = [_node("token", f"token@{at}", -1, at, tokens, token_id=at) for at in range(n_tokens)]
    ids = {node["id"] for node in nodes}
    while len(nodes) < n_nodes - 1:
        layer, at, feature = drawn.randrange(n_layers), drawn.randrange(n_tokens), drawn.randrange(16384)
        is_error = drawn.random() < 0.1
        name = f"error.{layer}@{at}" if is_error else f"{layer}/{feature}@{at}"
        if name in ids:
            continue
        ids.add(name)
        more = {} if is_error else {"feature": feature, "activation": drawn.expovariate(1)}
        nodes.append(_node("error" if is_error else "feature", name, layer, at, tokens, **more))
    nodes.append(_node("logit", f"logit.7@{n_tokens - 1}", n_layers, n_tokens - 1, tokens, token_id=7, probability=0.9))
    for rank, node in enumerate(nodes):
        node["influence"] = (rank + 1) / len(nodes)
    return AttributionGraphResult.model_validate(
        {
            "prompt": "".join(tokens),
            "tokens": tokens,
            "nodes": nodes,
            "links": _links(nodes, n_links, drawn),
            "replacement_score": 0.5,
            "completeness_score": 0.8,
            "n_nodes_before_pruning": 10 * n_nodes,
            "n_links_before_pruning": 10 * n_links,
            "dictionary": "transcoders",
            "dictionary_digest": "d" * 64,
            "dictionary_forced": False,
            "n_active_features": n_nodes,
            "n_features_left_out": 0,
            "links_into_features": "exact",
            "intervention_error": 0.0,
            "n_interventions": 1,
        }
    )


def run_with(home: Path, *results: AttributionGraphResult) -> tuple[RunFolder, tuple[str, ...]]:
    """A run without a report that has measured these graphs, and their ids."""
    info = RunInfo(question="?", model="none", device="cpu", seed=0, created="2026-01-01T00:00:00+00:00")
    folder = RunFolder.create(home, info)
    key = SubjectKey(model="none", fingerprint="f" * 64, reinit_seed=None)
    ids = []
    for place, result in enumerate(results):
        args = {"prompt": result.prompt, "dictionary": "transcoders", "place": place}
        plain = result.model_dump(mode="json")
        name = measurement_id("attribution_graph", args, key)
        folder.keep(
            Measurement(
                id=name,
                tool="attribution_graph",
                subject=key,
                args=args,
                result=plain,
                digest=digest(plain),
                seconds=1.0,
            )
        )
        ids.append(name)
    return folder, tuple(ids)


def _node(kind: str, name: str, layer: int, at: int, tokens: Sequence[str], **more: object) -> dict[str, object]:
    nothing = {"feature": None, "token_id": None, "activation": None, "probability": None}
    return (
        nothing | {"id": name, "kind": kind, "layer": layer, "position": at, "token": tokens[at], "label": name} | more
    )


def _links(nodes: Sequence[dict[str, object]], n_links: int, drawn: random.Random) -> list[dict[str, object]]:
    """Links that lead up and never back, most of them weak."""
    ordered = sorted(nodes, key=lambda node: (node["layer"], node["position"]))
    found: dict[tuple[str, str], float] = {}
    for _ in range(TRIES * n_links):
        if len(found) == n_links:
            break
        one, other = drawn.choice(ordered), drawn.choice(ordered)
        if one["layer"] < other["layer"] and one["position"] <= other["position"] and other["kind"] != "error":  # type: ignore[operator]
            found[str(one["id"]), str(other["id"])] = drawn.gauss(0, 1) ** 3
    if len(found) < n_links:
        raise ValueError(
            f"{len(nodes)} nodes have no room for {n_links} links; {len(found)} were found. Ask for fewer."
        )
    return [{"source": s, "target": t, "weight": w} for (s, t), w in found.items()]
