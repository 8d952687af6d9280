"""Circuits as MIB writes them (Mueller et al. 2025): `cfg`, `nodes` and `edges`, with scores and who is in.

A link into keys or values that several heads share stands there once for each head, since MIB knows heads alone; read
back, it has the score that is largest in size among them, and is in the circuit where any of them is.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from ._base import Frozen, ToolError
from ._circuit_graph import END, START, CircuitGraph, Link
from ._subject import Shape


@dataclass(frozen=True)
class MibCircuit:
    """What such a file says, in our names."""

    scores: dict[Link, float]  # of the links that it lists
    circuit: frozenset[Link]


class _Config(Frozen):
    n_layers: int = Field(description="Layers.")
    n_heads: int = Field(description="Heads of each.")
    parallel_attn_mlp: bool = Field(description="Whether attention and MLP read the same stream.")
    d_model: int = Field(description="Width of the stream.")

    @classmethod
    def of(cls, shape: Shape) -> "_Config":
        return cls(
            n_layers=shape.n_layers, n_heads=shape.n_heads, parallel_attn_mlp=shape.parallel, d_model=shape.d_model
        )


class _Edge(Frozen):
    model_config = ConfigDict(frozen=True, extra="ignore")
    score: float | None = Field(None, allow_inf_nan=False, description="Of the link.")
    in_graph: bool = Field(description="Whether it is in the circuit.")


class _File(Frozen):
    model_config = ConfigDict(frozen=True, extra="ignore")
    cfg: _Config = Field(description="Sizes.")
    edges: dict[str, _Edge] = Field(description="By name.")


def mib_circuit(graph: CircuitGraph, scores: Mapping[Link, float], circuit: Collection[Link]) -> dict[str, Any]:
    """A circuit as plain data in MIB's form: every link of the model, those without a score as 0.

    Raises:
        ToolError: a link that the model lacks.
    """
    _ = [graph.link(f"{node}->{slot}") for node, slot in (*scores, *circuit)]
    chosen = set(circuit)
    inside = {START, END} | {node for node, _ in chosen} | {node for _, slot in chosen for node in graph.nodes_of(slot)}
    edges = {
        name: {"score": float(scores.get(link, 0.0)), "in_graph": link in chosen}
        for link in graph.links
        for name in graph.mib(link)
    }
    names = {node: next(graph.mib((node, END))).partition("->")[0] for node in graph.nodes} | {END: END}
    nodes = {name: {"in_graph": node in inside} for node, name in names.items()}
    return {"cfg": _Config.of(graph.shape).model_dump(), "nodes": nodes, "edges": edges}


def read_mib_circuit(graph: CircuitGraph, text: str) -> MibCircuit:
    """A circuit from MIB's form.

    Raises:
        ToolError: no such file, one of a model of other sizes, or a link that the model lacks.
    """
    try:
        read = _File.model_validate(json.loads(text))
    except (ValueError, RecursionError) as error:  # no JSON, numbers or nesting beyond all measure, or no such fields
        raise ToolError(
            f"This is no circuit as MIB writes it: {_reason(error)}.",
            mend="It has `cfg` with n_layers, n_heads, parallel_attn_mlp, d_model; and `edges` with `in_graph` each.",
        ) from error
    own = _Config.of(graph.shape)
    if read.cfg != own:
        raise ToolError(
            f"The circuit is of another model: {read.cfg.model_dump()}.", mend=f"This one is {own.model_dump()}."
        )
    scores: dict[Link, float] = {}
    inside: set[Link] = set()
    for name, edge in read.edges.items():
        link = graph.link(name)
        if edge.score is not None and abs(edge.score) >= abs(scores.get(link, 0.0)):
            scores[link] = edge.score
        if edge.in_graph:
            inside.add(link)
    return MibCircuit(scores, frozenset(inside))


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    first = error.errors()[0]
    return f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}"
