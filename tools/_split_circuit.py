"""A circuit by iteration: what is most relevant to the answer, what is most relevant to what that reads, and so on."""

from collections.abc import Sequence

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen
from ._circuit_graph import END, CircuitGraph
from ._decomposition import ALL, Decomposition, Source


class CircuitPart(Frozen):
    """A node and what it is relevant to."""

    step: int = Field(description="In which step it was found, from 1.")
    node: str = Field(description="Node.")
    position: str = Field(description="Which tokens of it.")
    target: str = Field(description="The logits, or what a node of the step before reads.")
    share: float = Field(description="Mean over pairs: share of the gap, or of the deviation of what is read.")


def circuit_by_iteration(
    split: Decomposition,
    graph: CircuitGraph,
    sources: Sequence[Source],
    to_logits: Float[Tensor, "_ batch"],
    steps: int,
    per_target: int,
    smallest: float,
) -> tuple[CircuitPart, ...]:
    """The parts of a circuit, step by step.

    Args:
        to_logits: Relevance of each source to the answers' difference (nats).
        per_target: Sources kept of each target (count).
        smallest: Share that a kept source has at least.
    """
    if not steps:
        return ()
    parts = _kept(1, sources, END, to_logits.mean(-1) / split.gap, per_target, smallest)
    newest = _nodes(parts)
    met = set(newest)
    for step in range(2, steps + 1):
        targets = list(dict.fromkeys(target for node in newest for target in _read_by(graph, *node)))
        if not targets:
            break
        _, shares = split.relevances([(source,) for source in sources], targets)
        found = [
            part
            for (slot, _), share in zip(targets, shares.mean(-1), strict=True)
            for part in _kept(step, sources, slot, share, per_target, smallest)
        ]
        parts += found
        newest = [node for node in _nodes(found) if node not in met]
        met |= set(newest)
    return tuple(parts)


def _kept(
    step: int, sources: Sequence[Source], target: str, share: Float[Tensor, " _"], most: int, smallest: float
) -> list[CircuitPart]:
    best = sorted(zip(sources, share.tolist(), strict=True), key=lambda one: -abs(one[1]))[:most]
    return [
        CircuitPart(step=step, node=source.node, position=source.position, target=target, share=share)
        for source, share in best
        if abs(share) >= smallest and share
    ]


def _nodes(parts: Sequence[CircuitPart]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((part.node, part.position) for part in parts))


def _read_by(graph: CircuitGraph, node: str, position: str) -> list[tuple[str, str]]:
    """What a node reads, and at which tokens: a head takes keys and values from all of them."""
    return [(slot, ALL if slot[0] in "kv" else position) for slot in graph.slots_of(node)]
