"""Graph files as circuit-tracer writes them and Neuronpedia shows them: what the format calls things.

Formats after circuit-tracer 0.5.0 (`frontend/graph_models.py`) and Neuronpedia's graph-schema.json, version 1.0.0.
Deviations:

* An error's id there is `0_LAYER_POS`, which is also the id of feature LAYER of layer 0 at POS. Both viewers keep nodes
  in a table by id and take layer, feature and position from fields of their own, so that a doubled id loses a node,
  and any other string is as good. Where the feature is in the graph, its error is called `LAYER_-1_POS`: no feature
  has index -1, and -1 is what the format writes into an error's `feature`.
* `clerp` of features, errors and tokens is filled in; `influence_share` stands beside `influence`.

Neuronpedia's viewer refuses a graph whose features and errors all stand in layer 0; no file could mend that.
"""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

from ._base import ToolError
from ._graph_types import PlainGraph, PlainNode, checked

SCHEMA_VERSION = 1  # of files in which `feature` is a pairing
FEATURE_TYPES = {
    "feature": "cross layer transcoder",  # also of per-layer transcoders
    "error": "mlp reconstruction error",
    "token": "embedding",
    "logit": "logit",
}
_BEFORE_TOKEN = 'Output "'


def paired(layer: int, feature: int) -> int:
    """Layer and index as one number (Cantor's pairing)."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def unpaired(number: int) -> tuple[int, int]:
    """Layer and index of such a number."""
    diagonal = (isqrt(8 * number + 1) - 1) // 2
    feature = number - diagonal * (diagonal + 1) // 2
    return diagonal - feature, feature


def logit_label(token: str, probability: float) -> str:
    """A logit's `clerp`, out of which viewers read the probability."""
    return f'Output "{token}" (p={probability:.3f})'


def answer_named(label: str) -> str:
    """The token of a logit, whatever quotes and brackets it holds; of a label in another form, all but the number."""
    before, found, _ = label.rpartition(" (p=")
    named = before if found else label
    if named.startswith(_BEFORE_TOKEN) and named.endswith('"'):
        return named.removeprefix(_BEFORE_TOKEN).removesuffix('"')
    return named


def graph_json(graph: PlainGraph, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A graph in the format's own terms.

    Args:
        graph: nodes, links and names.
        about: more for the metadata.

    Raises:
        ToolError: no sound graph, a logit without a number in the vocabulary, or two nodes that the format calls the
            same.
    """
    checked(graph)
    ids = file_ids(graph.nodes)
    first = next(node.id for node in graph.nodes if node.kind == "logit")
    threshold = {} if graph.node_threshold is None else {"node_threshold": graph.node_threshold}
    return {
        "metadata": {
            "slug": graph.slug,
            "scan": graph.scan,
            "transcoder_list": [],
            "prompt_tokens": list(graph.tokens),
            "prompt": graph.prompt,
            **threshold,
            "schema_version": SCHEMA_VERSION,
            **(about or {}),
        },
        "qParams": {
            "pinnedIds": [ids[name] for name in graph.pinned],
            "supernodes": [[group[0], *(ids[name] for name in group[1:])] for group in graph.supernodes if group],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": [_file_node(node, ids[node.id], node.id == first) for node in graph.nodes],
        "links": [
            {"source": ids[link.source], "target": ids[link.target], "weight": link.weight} for link in graph.links
        ],
    }


def file_ids(nodes: Sequence[PlainNode]) -> dict[str, str]:
    """What a file calls each node: unique, and as circuit-tracer calls it wherever that is."""
    features = {f"{n.layer}_{n.feature}_{n.position}" for n in nodes if n.kind == "feature"}
    ids: dict[str, str] = {}
    for node in nodes:
        match node.kind:
            case "feature":
                ids[node.id] = f"{node.layer}_{node.feature}_{node.position}"
            case "error":
                usual = f"0_{node.layer}_{node.position}"
                ids[node.id] = f"{node.layer}_-1_{node.position}" if usual in features else usual
            case "token":
                ids[node.id] = f"E_{'unknown' if node.token_id is None else node.token_id}_{node.position}"
            case "logit":
                if node.token_id is None:
                    raise ToolError(
                        f"Of `{node.id}` the number in the vocabulary is not known.", mend="Set its `token_id`."
                    )
                ids[node.id] = f"{node.layer + 1}_{node.token_id}_{node.position}"
    if len({*ids.values()}) < len(ids):
        raise ToolError("Two nodes are the same feature, error, token or logit.", mend="Leave one of them out.")
    return ids


def _file_node(node: PlainNode, name: str, is_target: bool) -> dict[str, Any]:
    layer, number, at, label = str(node.layer), -1, node.position, node.label
    match node.kind:
        case "feature":
            assert node.feature is not None, node.id
            number, js = paired(node.layer, node.feature), f"{layer}_{node.feature}-0"
        case "error":
            js = f"{layer}_{at}-0"
        case "token":
            layer, number = "E", at
            js = f"{name.rpartition('_')[0]}-{at}"
        case "logit":
            assert node.token_id is not None, node.id
            layer, number, js = str(node.layer + 1), node.token_id, f"L_{node.token_id}-{at}"
            if answer_named(label) != node.token or "(p=" not in label:  # without which a viewer breaks off
                label = logit_label(node.token, node.probability or 0.0)
    own = {} if node.influence_share is None else {"influence_share": node.influence_share}
    return {
        "node_id": name,
        "feature": number,
        "layer": layer,
        "ctx_idx": at,
        "feature_type": FEATURE_TYPES[node.kind],
        "token_prob": node.probability or 0.0,
        "is_target_logit": is_target,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": js,
        "clerp": label,
        "influence": node.influence,
        "activation": node.activation,
        **own,
    }
