"""A small attribution graph with everything that a file could trip over, for the tests of formats."""

from typing import Any

from vesalius.tools._attribution_types import AttributionGraphResult, GraphLink, GraphNode

HOSTILE = ('</script><b>"x"</b>\n', '" (p=0.999)', "\x00\x1b[31m\r\u202e", "half \ud800", "long " * 10_000)
FINGERPRINT = "f" * 64
TOKEN_IDS = (1, 7, 8, 9, 10)
SETTINGS = {"node_threshold": 0.8, "edge_threshold": 0.98, "max_logits": 10, "desired_probability": 0.95}


def node(kind: str, name: str, layer: int, position: int, **more: Any) -> GraphNode:
    nothing = {"feature": None, "token_id": None, "activation": None, "probability": None}
    nothing |= {"label": name, "influence_share": 0.01}
    places = {"id": name, "kind": kind, "layer": layer, "position": position, "token": HOSTILE[position]}
    return GraphNode.model_validate(nothing | places | {"influence": 0.25 * layer / 7 + 0.1} | more)


# Feature 3 of layer 0 and the error of layer 3 have one id in circuit-tracer's files where both stand at token 2.
NODES = (
    node("feature", "0/3@2", 0, 2, feature=3, activation=1.5),
    node("feature", "2/123456@2", 2, 2, feature=123456, activation=1e-30),
    node("feature", "5/0@4", 5, 4, feature=0, activation=0.1),
    node("error", "error.3@2", 3, 2),
    node("error", "error.5@4", 5, 4),
    *(node("token", f"token@{at}", -1, at, token_id=number) for at, number in enumerate(TOKEN_IDS)),
    node(
        "logit", "logit.77@4", 6, 4, token_id=77, probability=0.7, label="output", token='A "b" (p=0.1)', influence=1.0
    ),
    node("logit", "logit.78@4", 6, 4, token_id=78, probability=0.2, label="output", token="", influence=1.0),
)
WEIGHTS = {
    ("token@2", "0/3@2"): 1 / 3,
    ("0/3@2", "2/123456@2"): -2.5e-7,
    ("0/3@2", "5/0@4"): 4.0,
    ("error.3@2", "5/0@4"): 1.0,
    ("2/123456@2", "logit.77@4"): 0.5,
    ("5/0@4", "logit.77@4"): 3.0,
    ("error.3@2", "logit.77@4"): -1.0,
    ("error.5@4", "logit.77@4"): 0.25,
    ("0/3@2", "logit.78@4"): 2.0,
    ("2/123456@2", "logit.78@4"): 0.125,
    ("token@0", "logit.78@4"): 1.0,
}


def result_of(nodes=NODES, weights=WEIGHTS, **more: Any) -> AttributionGraphResult:
    counts = dict.fromkeys(
        ("n_nodes_before_pruning", "n_links_before_pruning", "n_active_features", "n_features_left_out"), 9
    )
    scores = {"replacement_score": 0.5, "completeness_score": 0.75, "intervention_error": 1e-6, "n_interventions": 8}
    names = {"dictionary": "/home/someone/own.safetensors", "dictionary_digest": "d" * 64, "dictionary_forced": False}
    links = tuple(GraphLink(source=s, target=t, weight=w) for (s, t), w in weights.items())
    parts = {"prompt": "".join(HOSTILE), "tokens": HOSTILE, "nodes": tuple(nodes), "links": links}
    return AttributionGraphResult.model_validate(
        counts | scores | names | parts | {"links_into_features": "exact"} | more
    )
