"""Graph files of circuit-tracer and Neuronpedia, read as plain nodes and links: every doubt is an error, not a guess.

What a node is stands in `feature_type`, never in its id: the id of an error can look like that of a layer-0 feature. A
feature's index stands twice, in its id and paired with its layer in `feature` (files before schema version 1 have the
index alone there, or layer and index one behind the other); where both are there they must agree. Nodes of other
kinds, such as attention features, are left out and counted.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from ._attribution_types import GraphLink, NodeKind
from ._base import ToolError
from ._foreign_text import json_of, text_of
from ._graph_collisions import FileLink, ends_told_apart
from ._graph_json import FEATURE_TYPES, SCHEMA_VERSION, answer_named, paired, unpaired
from ._graph_types import LARGEST_FILE, NODES_OF_TYPE, PlainGraph, PlainNode, checked, node_id, short

LARGEST_NUMBER = 2**63
_KINDS: dict[str, NodeKind] = {theirs: ours for ours, theirs in FEATURE_TYPES.items()}  # type: ignore[misc]
_THREE = re.compile(r"(\d{1,9})_(\d{1,9})_(\d{1,9})")
_PROBABILITY = re.compile(r"\(p=(\d{0,3}\.?\d{1,17})\)\s*$")
_MEND = "Give a graph that circuit-tracer or Neuronpedia wrote, or `vesalius graph export`."


class FileNode(BaseModel):
    """A node as the file has it."""

    node_id: str
    feature: int | None = None
    layer: int | str
    ctx_idx: int = Field(ge=0)
    feature_type: str
    clerp: str | None = None
    token_prob: FiniteFloat | None = Field(None, ge=0)
    influence: FiniteFloat | None = None
    influence_share: FiniteFloat | None = None
    activation: FiniteFloat | None = None


class _Metadata(BaseModel):
    slug: str = ""
    scan: str = ""
    prompt: str
    prompt_tokens: tuple[str, ...]
    node_threshold: FiniteFloat | None = None
    schema_version: int | None = None


class _Saved(BaseModel):
    pinnedIds: tuple[str, ...] = ()
    supernodes: tuple[tuple[str, ...], ...] = ()


class _File(BaseModel):
    metadata: _Metadata
    qParams: _Saved = _Saved()
    nodes: tuple[FileNode, ...]
    links: tuple[FileLink, ...]


_FILE = TypeAdapter(_File)
_WRITTEN_BESIDE = {"token_prob", "is_target_logit", "run_idx", "reverse_ctx_idx", "jsNodeId"}


def read_text(path: Path) -> str:
    """A file's text, if it is not too large to be a graph.

    Raises:
        ToolError: no such file, more bytes than a graph file may have, or no UTF-8.
    """
    smaller = "Prune the graph further before it is exported."
    return text_of(path, LARGEST_FILE, "a graph file", smaller, _MEND)


def graph_from_json(text: str) -> PlainGraph:
    """A graph from the text of a file of circuit-tracer or Neuronpedia.

    Raises:
        ToolError: no such file, or one that contradicts itself: see `checked`, and the notes above.
    """
    raw = json_of(text, "The file", _MEND)
    try:
        file = _FILE.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolError(f"The file is no attribution graph: `{short(where)}`: {first['msg']}.", mend=_MEND) from error
    known = [place for place, node in enumerate(file.nodes) if node.feature_type in _KINDS]
    version = file.metadata.schema_version
    nodes = {place: _node(file.nodes[place], file.metadata.prompt_tokens, version) for place in known}
    ends, lost = ends_told_apart([node.node_id for node in file.nodes], nodes, file.links)
    links = tuple(
        GraphLink(source=nodes[source].id, target=nodes[target].id, weight=weight) for source, target, weight in ends
    )
    left_out = _left_out(raw, file, lost)
    # Errors first: of two nodes with one id, a person can only have picked the feature.
    errors_first = sorted(known, key=lambda place: nodes[place].kind != "error")
    by_name = {file.nodes[place].node_id: nodes[place].id for place in errors_first}
    strangers = {node.node_id for node in file.nodes} - by_name.keys()
    return checked(
        PlainGraph(
            prompt=file.metadata.prompt,
            tokens=file.metadata.prompt_tokens,
            nodes=tuple(nodes.values()),
            links=links,
            slug=file.metadata.slug,
            scan=file.metadata.scan,
            node_threshold=file.metadata.node_threshold,
            pinned=tuple(by_name.get(n, n) for n in file.qParams.pinnedIds if n not in strangers),
            supernodes=tuple(
                (group[0], *(by_name.get(n, n) for n in group[1:] if n not in strangers))
                for group in file.qParams.supernodes
                if group
            ),
            left_out=left_out,
        )
    )


def _left_out(raw: Any, file: _File, lost_links: int) -> dict[str, int]:
    """What the file holds that the graph does not, by name."""
    found = Counter(NODES_OF_TYPE + short(n.feature_type) for n in file.nodes if n.feature_type not in _KINDS)
    if lost_links:
        found["links at those"] = lost_links
    if strange := raw.get("qk_only_nodes"):
        found["qk_only_nodes"] = len(strange) if isinstance(strange, dict | list) else 1
    understood = FileNode.model_fields.keys() | _WRITTEN_BESIDE
    for node in raw["nodes"]:
        found.update(f"fields {short(name)}" for name in node.keys() - understood)
    return dict(sorted(found.items()))


def _node(node: FileNode, tokens: tuple[str, ...], version: int | None) -> PlainNode:
    kind = _KINDS[node.feature_type]
    layer = _layer(node, kind)
    if node.ctx_idx >= len(tokens):
        raise _contradiction(node, f"it stands at token {node.ctx_idx} of {len(tokens)}")
    number, token, probability = None, tokens[node.ctx_idx], None
    label = node.clerp or ""
    if kind == "feature":
        number = _feature_index(node, layer, version)
    elif kind == "logit":
        number, probability = _vocabulary_number(node), _probability(node)
        token = answer_named(label)
    elif kind == "token":
        named = re.fullmatch(r"E_(\d{1,9})_\d+", node.node_id)
        number = int(named[1]) if named else None
    return PlainNode(
        id=node_id(kind, layer, node.ctx_idx, number),
        kind=kind,
        layer=layer,
        position=node.ctx_idx,
        feature=number if kind == "feature" else None,
        token=token,
        token_id=number if kind in ("token", "logit") else None,
        activation=node.activation,
        probability=probability,
        influence=node.influence,
        influence_share=node.influence_share,
        label=label,
    )


def _layer(node: FileNode, kind: NodeKind) -> int:
    """The layer in our terms: -1 for tokens, the number of layers for logits, which the file puts one higher."""
    if kind == "token":
        return -1
    if not re.fullmatch(r"\d{1,6}", str(node.layer)):
        raise _contradiction(node, f"its layer is {short(repr(node.layer))}")
    return int(node.layer) - (kind == "logit")


def _feature_index(node: FileNode, layer: int, version: int | None) -> int:
    """The feature's index in its dictionary, from the id and from the pairing."""
    named = _THREE.fullmatch(node.node_id)
    if named and (int(named[1]), int(named[3])) != (layer, node.ctx_idx):
        raise _contradiction(node, f"its id is not of layer {layer} and token {node.ctx_idx}")
    number = node.feature if node.feature is not None and node.feature >= 0 else None
    if number is not None and number >= LARGEST_NUMBER:
        raise _contradiction(node, "its `feature` is larger than any pairing")
    if named:
        index = int(named[2])
        if number is not None and number != paired(layer, index) and not _of_old(number, layer, index, version):
            raise _contradiction(
                node,
                f"its id says index {index}, its `feature` {number} index {unpaired(number)[1]} of a layer "
                f"{unpaired(number)[0]}",
            )
        return index
    if number is None:
        raise _contradiction(node, "neither its id nor its `feature` says which feature it is")
    of_layer, index = unpaired(number)
    if of_layer != layer:
        raise _contradiction(node, f"its `feature` {number} is of layer {of_layer}, the node of {layer}")
    return index


def _of_old(number: int, layer: int, index: int, version: int | None) -> bool:
    """Whether a file before schema version 1 would write this number: the index, or the layer before its digits."""
    if version == SCHEMA_VERSION:
        return False
    return number == index or any(number == layer * 10**k + index for k in range(len(str(index)), 10))


def _vocabulary_number(node: FileNode) -> int:
    if node.feature is not None and 0 <= node.feature < LARGEST_NUMBER:
        return node.feature
    named = re.fullmatch(r"\w{1,9}?_(\d{1,9})_\d{1,9}", node.node_id)
    if not named:
        raise _contradiction(node, "neither its id nor its `feature` says which token it is")
    return int(named[1])


def _probability(node: FileNode) -> float:
    """How much the logit counts: `token_prob`, or where that is absent or nothing, what the label says."""
    named = _PROBABILITY.search(node.clerp or "")
    found = node.token_prob or (float(named[1]) if named else node.token_prob)
    if found is None:
        raise _contradiction(node, "it is a logit with neither `token_prob` nor a probability in its `clerp`")
    return found


def _contradiction(node: FileNode, what: str) -> ToolError:
    return ToolError(f"Node `{short(node.node_id)}` is not sound: {what}.", mend=_MEND)
