"""How far the answer would move if a link carried the counterfactual's value, told from gradients.

The score of a link is what its node writes on the clean prompt less what it writes on the counterfactual, times the
gradient of the logit difference at the slot's own copy of the stream, summed over tokens: positive where the link
holds the answer up. Methods differ in where the gradient is taken.

| method | gradient |
| --- | --- |
| `gradient` (Syed, Rager, Conmy 2023) | on the clean prompt, or by the rules of relevance propagation there |
| `inputs` (Hanna, Pezzelle, Belinkov 2024) | mean over points between the two embeddings |
| `activations` (ibid.) | of each layer's heads and of each MLP: mean over points between the two values of theirs |

Points are the middles of equal steps, with which a mean converges fastest; the paper takes each step's end.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ._circuit_families import Asked, Chunk
from ._circuit_graph import START
from ._circuit_rules import GRADIENT, Rules
from ._circuit_walk import Instead, Tap

Along = Literal["gradient", "inputs", "activations"]


class Method(NamedTuple):
    """How links are scored."""

    along: Along = "gradient"
    steps: int = 1
    rules: Rules = GRADIENT

    @property
    def shares(self) -> tuple[float, ...]:
        """Where between the counterfactual (0) and the clean prompt (1) gradients are taken."""
        return (1.0,) if self.along == "gradient" else tuple((step + 0.5) / self.steps for step in range(self.steps))


class _Point(NamedTuple):
    """A run to take gradients in."""

    start: Float[Tensor, "batch pos d_model"]
    instead: Instead | None = None


def pair_sums(asked: Asked, method: Method, shares: Sequence[float]) -> Float[Tensor, "batch _"]:
    """Of each pair and link in the graph's order, the sum of its scores at these points (nats)."""
    return torch.cat([_in_order(chunk, _table(chunk, method, shares)).cpu() for chunk in asked.chunks()])


def node_scores(asked: Asked, rules: Rules = GRADIENT) -> Float[Tensor, "batch _"]:
    """Of each pair, the score of every node: its change times the gradient at the stream that it writes to (nats)."""
    found: list[Tensor] = []
    for chunk in asked.chunks():
        walk = chunk.part.walk(chunk.clean, chunk.last, rules)
        with torch.enable_grad():  # whatever the caller holds
            gradients = torch.autograd.grad(chunk.differences(walk.logits).sum(), walk.added, allow_unused=True)
        changes = _change(chunk).split([part.shape[2] for part in walk.nodes], 2)
        scores = [
            einsum(_zeros_if_none(gradient, added), change, "batch pos model, batch pos node model -> batch node")
            for gradient, added, change in zip(gradients, walk.added, changes, strict=True)
        ]
        found.append(torch.cat(scores, 1).cpu())
    return torch.cat(found)


def completeness(asked: Asked, scores: Float[Tensor, "batch _"]) -> Float[Tensor, " batch"]:
    """Of each pair, the sum over the links of the start (nats).

    Between two embeddings everything that changes goes through these links, so with ever more points the sum becomes
    clean less corrupted exactly: how far it is from that tells whether there were points enough.
    """
    from_start = torch.tensor([node == START for node, _ in asked.part.graph.links])
    return scores[:, from_start].sum(1)


def _change(chunk: Chunk) -> Float[Tensor, "batch pos _ d_model"]:
    """What each node writes on the clean prompt less what it writes on the counterfactual."""
    clean, corrupted = (chunk.part.walk(start, chunk.last).written for start in (chunk.clean, chunk.corrupted))
    return clean - corrupted


def _table(chunk: Chunk, method: Method, shares: Sequence[float]) -> Float[Tensor, "batch _ _"]:
    """Sums of scores over points, by node and slot."""
    change, graph = _change(chunk), chunk.part.graph
    table = change.new_zeros(len(change), len(graph.nodes), len(graph.slots))
    for nodes, points in _points(chunk, method, shares):
        for tap, gradients in _gradients(chunk, points, method.rules):
            before = slice(nodes.start, min(nodes.stop, len(graph.read_by(graph.slots[tap.first]))))
            moved = change[:, :, before]
            if tap.first + tap.n_slots == len(graph.slots):  # the end is read at last tokens alone
                moved = moved[torch.arange(len(moved), device=moved.device), chunk.last][:, None]
            table[:, before, tap.first : tap.first + tap.n_slots] = einsum(
                moved, gradients, "batch pos node model, batch pos slot model -> batch node slot"
            )
    return table


def _points(chunk: Chunk, method: Method, shares: Sequence[float]) -> Iterator[tuple[slice, list[_Point]]]:
    """Runs to take gradients in, beside the nodes whose links they score."""
    if method.along != "activations":
        everything = slice(0, len(chunk.part.graph.nodes))
        yield everything, [_Point(_between(chunk.corrupted, chunk.clean, share)) for share in shares]
        return
    clean, corrupted = (chunk.part.walk(start, chunk.last).nodes for start in (chunk.clean, chunk.corrupted))
    first = 0
    for part, (one, other) in enumerate(zip(clean, corrupted, strict=True)):
        nodes = slice(first, first + one.shape[2])
        yield nodes, [_Point(chunk.clean, Instead(part, _between(other, one, share))) for share in shares]
        first = nodes.stop


def _gradients(
    chunk: Chunk, points: Sequence[_Point], rules: Rules
) -> Iterator[tuple[Tap, Float[Tensor, "batch pos _ d_model"]]]:
    """At every slot, the sum over points of the gradient at its own copy of the stream."""
    found: list[tuple[Tap, Tensor]] = []
    for first in range(0, len(points), chunk.room):
        some = points[first : first + chunk.room]
        walk = chunk.part.walk(torch.cat([p.start for p in some]), chunk.last.repeat(len(some)), rules, _together(some))
        made = [tap.made for tap in walk.taps]
        with torch.enable_grad():  # whatever the caller holds
            behind = torch.autograd.grad(chunk.differences(walk.logits).sum(), made, allow_unused=True)
        at_slots = (
            chunk.part.slot_gradients(tap, _zeros_if_none(gradient, tap.made), rules)
            for tap, gradient in zip(walk.taps, behind, strict=True)
        )
        sums = [gradient.unflatten(0, (len(some), -1)).sum(0) for gradient in at_slots]
        before = [total for _, total in found] or [0] * len(sums)
        found = [(tap, one + other) for tap, one, other in zip(walk.taps, before, sums, strict=True)]
    yield from found


def _between(corrupted: Tensor, clean: Tensor, share: float) -> Tensor:
    """At share 1 the clean value to the last bit."""
    return clean - (1 - share) * (clean - corrupted)


def _together(points: Sequence[_Point]) -> Instead | None:
    values = [point.instead for point in points if point.instead is not None]
    return Instead(values[0].part, torch.cat([one.values for one in values])) if values else None


def _in_order(chunk: Chunk, table: Float[Tensor, "batch _ _"]) -> Float[Tensor, "batch _"]:
    """The entries of a table of nodes by slots, in the order of the graph's links."""
    graph = chunk.part.graph
    node_at, slot_at = ({name: i for i, name in enumerate(names)} for names in (graph.nodes, graph.slots))
    return table[:, [node_at[node] for node, _ in graph.links], [slot_at[slot] for _, slot in graph.links]]


def _zeros_if_none(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
