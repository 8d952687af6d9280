"""An attribution graph as others exchange it: nodes, links and what names them, whoever made it.

A graph from a file is as good as its file, so `checked` refuses one that no score could be trusted on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from pydantic import Field, FiniteFloat
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ._attribution_types import GraphLink, NodeKind
from ._base import Frozen, ToolError

LARGEST_FILE = 100 * 2**20  # bytes; Neuronpedia takes no larger one either
NODES_OF_TYPE = "nodes of type "  # how `left_out` begins to name nodes that were not understood
SHOWN = 100  # characters of a foreign name in a message


class PlainNode(Frozen):
    """A feature at a token, what a layer's features miss there, a token, or an answer."""

    id: str = Field(
        pattern=r"^[!-~]{1,200}$",
        description="`LAYER/FEATURE@POS`, `error.LAYER@POS`, `token@POS`, `logit.TOKEN@POS`; unique.",
    )
    kind: NodeKind = Field(description="What the node is.")
    layer: int = Field(description="Layer; -1 for tokens, the number of layers for logits.")
    position: int = Field(ge=0, description="Index of the token it stands at.")
    feature: int | None = Field(default=None, ge=0, description="Index in the layer's dictionary; features only.")
    token: str = Field(description="Text of the token it stands at; for logits, of the answer.")
    token_id: int | None = Field(default=None, ge=0, description="Number in the vocabulary; tokens, logits.")
    activation: FiniteFloat | None = Field(default=None, description="The feature's activation on the prompt.")
    probability: FiniteFloat | None = Field(
        default=None,
        ge=0,
        description="Logits only: how much the answer counts in scores. Its probability, or equal parts where answers "
        "are explained against a foil.",
    )
    influence: FiniteFloat | None = Field(
        default=None,
        description="Share of all influence in this node and those with more; none for logits.",
    )
    influence_share: FiniteFloat | None = Field(default=None, description="Its own part of all influence (share).")
    label: str = Field(default="", description="For a reader.")


class PlainGraph(Frozen):
    """Nodes and links, and what a viewer keeps beside them."""

    prompt: str = Field(description="The prompt that was explained.")
    tokens: tuple[str, ...] = Field(description="Its tokens.")
    nodes: tuple[PlainNode, ...] = Field(description="Nodes, in the order in which they were given.")
    links: tuple[GraphLink, ...] = Field(description="Links, likewise.")
    slug: str = Field(default="", description="Name of the graph.")
    scan: str = Field(default="", description="Name of the model with its dictionary, as a viewer knows it.")
    node_threshold: float | None = Field(default=None, description="Share of influence that pruning kept, if known.")
    pinned: tuple[str, ...] = Field(default=(), description="Ids of nodes that a person picked.")
    supernodes: tuple[tuple[str, ...], ...] = Field(default=(), description="Per group its name, then ids of nodes.")
    left_out: dict[str, int] = Field(default={}, description="What a file held beside, by name (counts).")


def node_id(kind: NodeKind, layer: int, position: int, number: int | None) -> str:
    """The id of a node; `number` is a feature's index or a logit's number in the vocabulary."""
    match kind:
        case "feature":
            return f"{layer}/{number}@{position}"
        case "error":
            return f"error.{layer}@{position}"
        case "token":
            return f"token@{position}"
        case "logit":
            return f"logit.{number}@{position}"


def checked(graph: PlainGraph) -> PlainGraph:
    """The graph, if it is one.

    Raises:
        ToolError: an id or a link that stands twice, a link to no node, a cycle, a token that the prompt lacks, or no
            answer that counts.
    """
    numbers = _numbered([node.id for node in graph.nodes])
    for node in graph.nodes:
        if node.position >= len(graph.tokens):
            raise _broken(f"node `{node.id}` stands at token {node.position} of {len(graph.tokens)}")
        if node.kind == "feature" and node.feature is None:
            raise _broken(f"node `{node.id}` is a feature of no index")
        if node.kind == "logit" and node.probability is None:
            raise _broken(f"logit `{node.id}` has no probability, so no score could weigh it")
    if not any(node.probability for node in graph.nodes if node.kind == "logit"):
        raise _broken("there is no logit with a probability above 0, so nothing is explained")
    _refuse_bad_ends(numbers, graph.links)
    _refuse_cycles(numbers, graph)
    for name in (*graph.pinned, *(member for group in graph.supernodes for member in group[1:])):
        if name not in numbers:
            raise _broken(f"`{short(name)}` is picked or grouped, but no node has that id")
    return graph


def short(text: str) -> str:
    """Foreign text for a message."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _numbered(ids: Sequence[str]) -> dict[str, int]:
    numbers = {name: place for place, name in enumerate(ids)}
    if len(numbers) < len(ids):
        name, count = Counter(ids).most_common(1)[0]
        raise _broken(f"{count} nodes are `{short(name)}`")
    return numbers


def _refuse_bad_ends(numbers: Mapping[str, int], links: Sequence[GraphLink]) -> None:
    for link in links:
        for end in (link.source, link.target):
            if end not in numbers:
                raise _broken(f"a link from `{short(link.source)}` to `{short(link.target)}` ends at no node")
        if not isfinite(link.weight):
            raise _broken(f"the link from `{link.source}` to `{link.target}` weighs {link.weight}")
    pairs = Counter((link.source, link.target) for link in links)
    if len(pairs) < len(links):
        (source, target), count = pairs.most_common(1)[0]
        raise _broken(f"{count} links lead from `{source}` to `{target}`")


def _refuse_cycles(numbers: Mapping[str, int], graph: PlainGraph) -> None:
    """A node that reads itself, at once or over others."""
    itself = next((link.source for link in graph.links if link.source == link.target), None)
    if itself is not None:
        raise _broken(f"a link leads from `{itself}` to itself")
    n = len(graph.nodes)
    ends = [[numbers[getattr(link, end)] for link in graph.links] for end in ("target", "source")]
    reads = csr_array((np.ones(len(graph.links)), ends), shape=(n, n))
    groups, group_of = connected_components(reads, directed=True, connection="strong")
    if groups < n:
        ring = np.flatnonzero(group_of == np.bincount(group_of).argmax())[:5]
        names = ", ".join(f"`{graph.nodes[place].id}`" for place in ring.tolist())
        raise _broken(f"links lead in a circle, among others over {names}")


def _broken(what: str) -> ToolError:
    return ToolError(f"This is no attribution graph: {what}.", mend="Export it again, or mend the file at that place.")
