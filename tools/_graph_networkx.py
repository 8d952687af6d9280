"""Graphs for networkx and GraphML, so that anybody's graph code works on them, and back.

A `DiGraph` leads from what writes to what reads; a link's effect is its `weight`. Attributes are what GraphML can hold:
text, whole numbers and real numbers; what a node has not is absent, and lists of the graph are JSON text.

XML holds neither control characters nor halves of surrogate pairs, and reads a carriage return as a line feed. Text
with those is written with U+FFFD in their places, and the exact text beside it as JSON under `NAME_exact_json`.
"""

import io
import json
import re
from collections import Counter
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx
from pydantic import ValidationError

from ._attribution_types import GraphLink
from ._base import ToolError
from ._graph_types import PlainGraph, PlainNode, checked, short

_UNHOLDABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EXACT = "_exact_json"
_LISTS = ("tokens", "pinned", "supernodes", "left_out")
_MEND = "Nodes need `kind`, `layer`, `position` and `token`, logits `probability` and `token_id`, links `weight`."


def to_networkx(graph: PlainGraph) -> "nx.DiGraph[str]":
    """A networkx graph whose nodes are named by their ids."""
    about = graph.model_dump(exclude={"nodes", "links", *_LISTS}, exclude_none=True)
    lists = {name: json.dumps(getattr(graph, name)) for name in _LISTS if getattr(graph, name)}
    made: nx.DiGraph[str] = nx.DiGraph()
    made.graph.update(about | lists)
    for node in graph.nodes:
        made.add_node(node.id, **node.model_dump(exclude={"id"}, exclude_none=True))
    for link in graph.links:
        made.add_edge(link.source, link.target, weight=link.weight)
    return made


def from_networkx(graph: "nx.Graph[Any]") -> PlainGraph:
    """The plain graph of a networkx graph: attributes as `to_networkx` writes them, others left out and counted.

    Raises:
        ToolError: no directed graph of single links, attributes that are missing or wrong, or no sound graph.
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise ToolError(
            f"This is a {type(graph).__name__} and no DiGraph: links have a direction, and two nodes one link.",
            mend="Pass a `networkx.DiGraph` that leads from sources to targets.",
        )
    about = {name: value for name, value in graph.graph.items() if name in PlainGraph.model_fields}
    for name in _LISTS:
        if name in about:
            about[name] = _listed(name, about[name])
    known, place = PlainNode.model_fields, {name: place for place, name in enumerate(graph)}
    left_out = Counter(about.get("left_out", {})) + _strange(graph)
    try:
        nodes = [
            PlainNode.model_validate({"id": name} | {key: value for key, value in data.items() if key in known})
            for name, data in graph.nodes(data=True)
        ]
        # By target and source, as the engine has them: networkx keeps links by source.
        links = [
            GraphLink(source=source, target=target, weight=data["weight"])
            for source, target, data in sorted(graph.edges(data=True), key=lambda e: (place[e[1]], place[e[0]]))
        ]
        made = PlainGraph.model_validate(about | {"nodes": nodes, "links": links, "left_out": {**left_out}})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolError(f"This is no attribution graph: `{short(where)}`: {first['msg']}.", mend=_MEND) from error
    except KeyError as error:
        raise ToolError("This is no attribution graph: a link has no `weight`.", mend=_MEND) from error
    return checked(made)


def _strange(graph: "nx.Graph[Any]") -> Counter[str]:
    """Attributes of nobody here, by name, and how many have each."""
    found = Counter(name for name in graph.graph if name not in PlainGraph.model_fields)
    found.update(name for _, data in graph.nodes(data=True) for name in data if name not in PlainNode.model_fields)
    found.update(name for _, _, data in graph.edges(data=True) for name in data if name != "weight")
    return Counter({f"attributes {short(str(name))}": count for name, count in found.items()})


def graphml_of(graph: PlainGraph) -> str:
    """The text of a GraphML file, the same for the same graph."""
    made = to_networkx(graph)
    for data in _attributes(made):
        for name, value in [*data.items()]:
            if isinstance(value, str) and _UNHOLDABLE.search(value):
                data[name] = _UNHOLDABLE.sub("\ufffd", value)
                data[name + _EXACT] = json.dumps(value)
    written = io.BytesIO()
    nx.write_graphml_xml(made, written)
    return written.getvalue().decode()


def graph_from_graphml(text: str) -> PlainGraph:
    """A graph from the text of a GraphML file.

    Raises:
        ToolError: no GraphML, one that declares a document type (whose entities could fill any memory), or one that
            holds no attribution graph.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ToolError("The file declares a document type, which is not read.", mend="Remove its <!DOCTYPE …>.")
    try:
        read = nx.parse_graphml(text)
    except (ParseError, nx.NetworkXError, ValueError, KeyError) as error:
        raise ToolError(f"The file is no GraphML: {short(str(error))}.", mend="Give a file in GraphML.") from error
    for name in ("node_default", "edge_default"):
        read.graph.pop(name, None)
    for data in _attributes(read):
        for name in [name for name in data if name.endswith(_EXACT)]:
            data[name.removesuffix(_EXACT)] = _loaded(name, data.pop(name))
    return from_networkx(read)


def _attributes(graph: "nx.Graph[str]") -> list[dict[str, Any]]:
    return [graph.graph, *(data for _, data in graph.nodes(data=True)), *(d for _, _, d in graph.edges(data=True))]


def _listed(name: str, value: Any) -> Any:
    return _loaded(name, value) if isinstance(value, str) else value


def _loaded(name: str, value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(
            f"Attribute `{short(name)}` is no JSON text.", mend="Remove it, or write JSON there."
        ) from error
