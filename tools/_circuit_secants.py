"""What every single link does, told from a few runs for each slot instead of one for each link.

Path patching (`_path_runs.py`) exchanges what one node hands to one slot and runs all that follows, once per link. Here
such a run is cut behind the part that the slot belongs to (heads, or an MLP); `_circuit_secant_runs.py` makes the runs:

1. How far each node's exchange moves what the part writes is computed exactly, softmax and activation as they are, one
   part at a time: as AtP* does for queries and keys (Kramár et al. 2024), here for every slot and node.
2. One run for each slot goes on to the end from what the part writes when the slot reads the counterfactual: of the
   node whose move is the largest, or of all nodes. Each node does as much of what that did to the answer as its move
   has of the move that was run: a secant where others take a gradient, as in DeepLIFT (Shrikumar et al. 2017), so that
   no saturated softmax and no threshold behind the part hides it. Further runs go on from the node whose move is the
   largest of what is left of them.
3. What is left at last goes by the gradient of the clean run. At a threshold that is many times too steep, so it is
   scaled down by as much as it overstated the first run.

Exact are links into the logits, all links where what lies behind the slot is linear, and those whose move was run:
with a run for every node, this is path patching. When the one run exchanges all nodes, no link of a slot that several
nodes move is measured by itself: then its scores are estimates, if less near ones. Where one node alone moves a slot,
the run of all is its own.
"""

from typing import Literal, NamedTuple

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

First = Literal["largest", "whole"]
NEW = 1e-4  # share of a move's square that is left of it when what its run does is told of other nodes too


class Slots(NamedTuple):
    """Slots of one kind in one block. The first axis is the slot, and where there is one of nodes, it is the third."""

    moves: Float[Tensor, "_ batch _ pos _"]  # how far each node's exchange moves what the part makes
    whole: Float[Tensor, "_ batch pos _"]  # how far the exchange of all nodes does
    slope: Float[Tensor, "_ batch pos _"]  # how far the answer moves with that (nats per unit)
    gram: Float[Tensor, "_ _ _"] | None  # products of what parts write, from what they make; none where that is one


class Plan(NamedTuple):
    """What is run for some slots, and what their nodes have of it. The first axis is the run, then comes the slot."""

    moves: Float[Tensor, "_ _ batch pos _"]
    nodes: Int[Tensor, "_ _ batch"]  # whose moves they are, from the second run on
    shares: Float[Tensor, "_ _ batch _"]  # each node's, of what is new in the run
    steep: Float[Tensor, "_ batch"]  # what the gradient says of the first run, its size (nats)
    rest: Float[Tensor, "_ batch _"]  # what it says of what is left of each node's move (nats)


def planned(slots: Slots, n_runs: int, first: First) -> Plan:
    """The largest move of a node or the whole move, then the largest of what is left of nodes' moves, and so on.

    Args:
        n_runs: For each slot and pair, 1 or more; no more are planned than one and one for each node (count).
    """
    way = slots.whole if first == "whole" else taken(slots.moves, _sizes(slots, slots.moves).argmax(-1))
    steep = (way * slots.slope).sum((-1, -2)).abs()
    shares, nodes, run = [_shares(slots, slots.moves, way)], list[Tensor](), [way]
    left = slots.moves - _along(shares[0], way)
    for _ in range(min(n_runs - 1, slots.moves.shape[2])):
        nodes.append(_sizes(slots, left).argmax(-1))
        run.append(taken(slots.moves, nodes[-1]))
        way = taken(left, nodes[-1])
        own = torch.nn.functional.one_hot(nodes[-1], left.shape[2]).to(left)
        # Of a move that earlier runs tell nearly all of, what is new says something of its own node alone.
        new = _product(slots, way[:, :, None], way) > NEW * _product(slots, run[-1][:, :, None], run[-1])
        shares.append(torch.where(new, _shares(slots, left, way), own))
        left = left - _along(shares[-1], way)
    return Plan(
        moves=torch.stack(run),
        nodes=torch.stack(nodes) if nodes else torch.zeros(0, *shares[0].shape[:2], dtype=torch.long),
        shares=torch.stack(shares),
        steep=steep,
        rest=einsum(left, slots.slope, "slot batch node pos dim, slot batch pos dim -> slot batch node"),
    )


def told(plan: Plan, measured: Float[Tensor, "_ _ batch"], negligible: float) -> Float[Tensor, "_ batch _"]:
    """How far each node's exchange moves the answer, by slot (nats).

    Args:
        measured: How far each run moved it.
        negligible: By how much the gradient may be wrong before it is scaled down (nats).
    """
    said = plan.shares[0] * measured[0][..., None]
    for nodes, shares, moved in zip(plan.nodes, plan.shares[1:], measured[1:], strict=True):
        said = said + shares * (moved - taken(said, nodes))[..., None]
    trust = ((measured[0].abs() + negligible) / plan.steep).clamp(max=1)
    return said + trust[..., None] * plan.rest


def taken(x: Float[Tensor, "_ batch _ *any"], nodes: Int[Tensor, "_ batch"]) -> Float[Tensor, "_ batch *any"]:
    """Of each slot and pair its own node."""
    slots, pairs = (torch.arange(size, device=x.device) for size in nodes.shape)
    return x[slots[:, None], pairs, nodes]


def _shares(
    slots: Slots, moves: Float[Tensor, "_ batch _ pos _"], way: Float[Tensor, "_ batch pos _"]
) -> Float[Tensor, "_ batch _"]:
    """How much of the way each move goes, across it nothing; none of a way of no length.

    No share is above one: where nodes undo each other, their moves are many times the whole one, and what that did says
    nothing of what lies beyond it.
    """
    found = _product(slots, moves, way) / _product(slots, way[:, :, None], way)
    return found.nan_to_num(0, 0, 0).clamp(-1, 1)


def _product(
    slots: Slots, moves: Float[Tensor, "_ batch _ pos _"], way: Float[Tensor, "_ batch pos _"]
) -> Float[Tensor, "_ batch _"]:
    """Inner products of what moves and a way add to the stream."""
    if slots.gram is not None:
        way = einsum(way, slots.gram, "slot batch pos dim, slot dim other -> slot batch pos other")
    return einsum(moves, way, "slot batch node pos dim, slot batch pos dim -> slot batch node")


def _sizes(slots: Slots, moves: Float[Tensor, "_ batch _ pos _"]) -> Float[Tensor, "_ batch _"]:
    """Squares of what moves add to the stream."""
    other = moves if slots.gram is None else moves @ slots.gram[:, None, None]
    return (moves * other).sum((-1, -2))


def _along(shares: Float[Tensor, "_ batch _"], way: Float[Tensor, "_ batch pos _"]) -> Float[Tensor, "_ batch _ pos _"]:
    return shares[..., None, None] * way[:, :, None]
