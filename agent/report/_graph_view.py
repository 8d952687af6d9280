"""An attribution graph for the page: data for the interactive picture, and the same as tables for a keyboard."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._layout import layout
from ._svg import element
from ._tables import Cell, table
from ._text import visible

MOST_NODES_LISTED = 500
MOST_LINKS_LISTED = 200
SHOWN_AT_FIRST = 150  # links: more than these hide one another,
SHOWN_PER_NODE = 3  # and so do more than these per node


def script_json(value: Any) -> Markup:
    """JSON that ends no script element and no line of a script, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def graph_view(measurement: Measurement) -> Markup:
    """The picture's frame and data, and beneath it every node and the strongest links as tables."""
    result = measurement.result
    nodes, links = result["nodes"], sorted(result["links"], key=lambda link: -abs(link["weight"]))
    name = f"graph-{measurement.id}"
    data = Markup('<script type="application/json" id="{}-data">{}</script>').format(
        name, script_json(graph_data(result["tokens"], nodes, links))
    )
    first = min(len(links), SHOWN_AT_FIRST, SHOWN_PER_NODE * len(nodes))
    frame = _FRAME.format(name=name, links=len(links), first=first, nodes=len(nodes), least=min(len(links), 1))
    scores = (
        f"Of the influence that ends in tokens or errors, {result['replacement_score']:.0%} is from tokens "
        "(replacement); "
        f"{result['completeness_score']:.0%} of the nodes' inputs are from no error (completeness). "
        f"{len(nodes)} of {result['n_nodes_before_pruning']} nodes are left after pruning."
    )
    names = _names(nodes)
    tables = _node_table(name, nodes, links, names), _link_table(links, names)
    mirror = element("details", element("summary", "The graph as tables"), *tables)
    return element("p", scores) + frame + data + mirror


_FRAME = Markup(
    '<div class="graph" data-graph="{name}">'
    '<div class="graph-tools"><label for="{name}-links">Strongest links shown</label>'
    '<input type="range" id="{name}-links" min="{least}" max="{links}" value="{first}">'
    '<output for="{name}-links">{first}</output><span> of {links}</span>'
    '<button type="button" data-fit>Fit</button></div>'
    '<div class="graph-canvas" role="img" aria-label="Attribution graph of {nodes} nodes; the tables beneath hold the '
    'same"></div>'
    '<p class="graph-detail" aria-live="polite">Choose a node to see what it is.</p>'
    "<noscript><p>The picture needs scripts; the tables beneath hold the same.</p></noscript></div>"
)


def graph_data(
    tokens: Sequence[str], nodes: Sequence[Mapping[str, Any]], links: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the picture draws: nodes with their places, links strongest first, names of columns and layers."""
    places, labels = layout(nodes), _names(nodes)
    last = max((node["layer"] for node in nodes), default=0)
    names = {-1: "tokens"} | ({last: "answers"} if any(node["kind"] == "logit" for node in nodes) else {})
    return {
        "nodes": [
            {
                "id": node["id"],
                "kind": node["kind"],
                "label": visible(labels[node["id"]]),
                "token": visible(node["token"]),
                "activation": node["activation"],
                "probability": node["probability"],
                "influence": _influence(node),
                "x": places.nodes[node["id"]].x,
                "y": places.nodes[node["id"]].y,
            }
            for node in nodes
        ],
        "links": [[link["source"], link["target"], link["weight"]] for link in links],
        "columns": [[visible(tokens[p]) if 0 <= p < len(tokens) else "", x] for p, x in places.columns],
        "layers": [[names.get(layer, f"layer {layer}"), y] for layer, y in places.layers],
    }


def _names(nodes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Labels by id; where two nodes have the same, as two tokens of one word do, with their places."""
    count = Counter(node["label"] for node in nodes)
    return {
        node["id"]: node["label"] + (f" (token {node['position']})" if count[node["label"]] > 1 else "")
        for node in nodes
    }


def _influence(node: Mapping[str, Any]) -> float | None:
    """An answer is what is explained; nothing else it has influence on."""
    return None if node["kind"] == "logit" else node["influence"]


def _answers_first(entry: tuple[int, Mapping[str, Any]]) -> tuple[bool, float, str]:
    _, node = entry
    return node["kind"] != "logit", node["influence"], node["id"]


def _node_table(
    name: str, nodes: Sequence[Mapping[str, Any]], links: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> Markup:
    inputs: dict[str, list[str]] = defaultdict(list)
    for link in links:
        if len(inputs[link["target"]]) < 3:
            inputs[link["target"]].append(f"{names.get(link['source'], link['source'])} ({link['weight']:.3g})")
    rows: list[tuple[Cell, ...]] = [
        (
            Markup('<button type="button" data-show="{}" data-node="{}">{}</button>').format(
                name, place, visible(names[node["id"]])[:80]
            ),
            node["kind"],
            node["layer"] if node["kind"] in ("feature", "error") else None,
            f"after {node['position']}" if node["kind"] == "logit" else f"{node['position']}: {node['token']}",
            node["activation"] if node["kind"] == "feature" else node["probability"],
            _influence(node),
            ", ".join(inputs[node["id"]]),
        )
        for place, node in sorted(enumerate(nodes), key=_answers_first)
    ]
    head = ("node", "kind", "layer", "token", "activation or probability", "cumulative influence", "strongest inputs")
    caption = (
        "Answers, then all other nodes, the most important first; cumulative influence is the share of all influence "
        "held by a node and those of more"
    )
    return table(head, rows, caption, MOST_NODES_LISTED)


def _link_table(links: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (names.get(link["source"], link["source"]), names.get(link["target"], link["target"]), link["weight"])
        for link in links
    ]
    return table(("from", "to", "weight"), rows, "Links, the strongest first", MOST_LINKS_LISTED)
