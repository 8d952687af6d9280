"""Influence, scores and pruning of an attribution graph, from its adjacency matrix alone.

Formulas as published with circuit-tracer (Hanna, Piotrowski, Lindsey, Ameisen 2025) and in Ameisen et al. 2025. Rows
are targets, columns sources. Rows of absolute weights are divided by their sum; influence on the weighted targets is
w(A + A^2 + ...), a finite sum because a graph of layers has no cycle.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMALLEST_ROW = 1e-10


@dataclass(frozen=True)
class Kinds:
    """Which nodes are what; every other node is a feature."""

    error: Bool[Tensor, " batch"]
    token: Bool[Tensor, " batch"]
    logit: Bool[Tensor, " batch"]


def shares(adjacency: Float[Tensor, "*any feature"]) -> Float[Tensor, "*any feature"]:
    """Each target's absolute incoming weights as shares of their sum."""
    size = adjacency.abs()
    return size / size.sum(-1, keepdim=True).clamp(min=SMALLEST_ROW)


def influence(share: Float[Tensor, "batch batch"], weight: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """How much of the weighted targets runs through each node, over paths of every length."""
    total, step = torch.zeros_like(weight), weight
    for _ in range(len(weight) + 1):
        step = step @ share
        if not step.any():
            return total
        total = total + step
    raise AssertionError("the graph has a cycle")


def scores(
    adjacency: Float[Tensor, "batch batch"], weight: Float[Tensor, " batch"], kinds: Kinds
) -> tuple[float, float]:
    """Replacement and completeness of a graph that was not pruned.

    Returns:
        Replacement: of the influence that ends in tokens or errors, the part that ends in tokens. Completeness: the
        part of each node's input that comes from no error, weighted by the node's influence.
    """
    share = shares(adjacency)
    reach = influence(share, weight)
    tokens, errors = reach[kinds.token].sum(), reach[kinds.error].sum()
    explained = share.sum(-1).new_ones(len(share)) - share[:, kinds.error].sum(-1)
    importance = reach + weight
    replacement = tokens / (tokens + errors).clamp(min=SMALLEST_ROW)
    return replacement.item(), ((explained * importance).sum() / importance.sum()).item()


def smallest_kept(score: Float[Tensor, " batch"], threshold: float) -> Float[Tensor, ""]:
    """The score at which the largest scores together reach that share of the total."""
    ordered = score.sort(descending=True).values
    reached = ordered.cumsum(0) / ordered.sum().clamp(min=SMALLEST_ROW)
    place = int(torch.searchsorted(reached, threshold))
    return ordered[min(place, len(ordered) - 1)]


def cumulative_share(score: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Per node the share of all influence held by it and by every node before it: small means important."""
    order = score.sort(descending=True, stable=True).indices
    reached = score[order].cumsum(0) / score.sum().clamp(min=SMALLEST_ROW)
    return torch.zeros_like(score).scatter(0, order, reached)


def prune(
    adjacency: Float[Tensor, "batch batch"],
    weight: Float[Tensor, " batch"],
    kinds: Kinds,
    node_threshold: float,
    edge_threshold: float,
) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, "batch batch"]]:
    """Which nodes and links carry most of the influence. Tokens and logits always stay."""
    always = kinds.token | kinds.logit
    reach = influence(shares(adjacency), weight)
    nodes = always | (reach >= smallest_kept(reach, node_threshold))
    kept = adjacency * (nodes[:, None] & nodes)
    share = shares(kept)
    score = share * (influence(share, weight) + weight)[:, None]
    links = (score >= smallest_kept(score.flatten(), edge_threshold)) & (kept != 0)
    return _without_loose_ends(nodes, links, always, kinds.error)


def _without_loose_ends(
    nodes: Bool[Tensor, " batch"],
    links: Bool[Tensor, "batch batch"],
    always: Bool[Tensor, " batch"],
    error: Bool[Tensor, " batch"],
) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, "batch batch"]]:
    """Drop features and errors that lead nowhere and features that nothing leads to, until none is left."""
    while True:
        stays = nodes & (always | (links.any(0) & (links.any(1) | error)))
        links = links & stays[:, None] & stays
        if torch.equal(stays, nodes):
            return nodes, links
        nodes = stays
