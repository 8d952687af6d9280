"""Influence, scores and pruning of an attribution graph, on its blocks: no square matrix is ever made.

Definitions as published with circuit-tracer (Hanna, Piotrowski, Lindsey, Ameisen 2025) and in Ameisen et al. 2025. A
target's absolute links are divided by their sum; influence on the weighted targets is w(A + A^2 + ...). Every link
leads to a higher layer, so one walk over the blocks from the top down sums paths of all lengths.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ._attribution_links import Links

SMALLEST_ROW = 1e-10


@dataclass(frozen=True)
class Kinds:
    """Which nodes are what; every other node is a feature."""

    error: Bool[Tensor, " batch"]
    token: Bool[Tensor, " batch"]
    logit: Bool[Tensor, " batch"]


@dataclass(frozen=True)
class Pruned:
    """What pruning leaves."""

    nodes: Bool[Tensor, " batch"]
    targets: Int[Tensor, " feature"]  # of each link
    sources: Int[Tensor, " feature"]
    weights: Float[Tensor, " feature"]


def influence(
    links: Links, weight: Float[Tensor, " batch"], through: Bool[Tensor, " batch"] | None = None
) -> Float[Tensor, " batch"]:
    """How much of the weighted targets runs through each node, over paths of every length.

    Args:
        through: Nodes that paths may lead on from; all unless given.
    """
    reach, share = torch.zeros_like(weight), 1 / links.incoming.clamp(min=SMALLEST_ROW)
    if through is not None:
        share = share * through
    for targets, blocks in links.top_first:
        leads_on = (reach[targets] + weight[targets]) * share[targets]
        for block, some in zip(blocks, leads_on.split([len(block.targets) for block in blocks]), strict=True):
            reach.index_add_(0, block.sources, some @ block.values.abs())
    return reach


def scores(links: Links, weight: Float[Tensor, " batch"], kinds: Kinds) -> tuple[float, float]:
    """Replacement and completeness of a graph that was not pruned.

    Returns:
        Replacement: of the influence that ends in tokens or errors, the part that ends in tokens. Completeness: the
        part of each node's input that comes from no error, weighted by the node's influence.
    """
    reach = influence(links, weight)
    tokens, errors = reach[kinds.token].sum(), reach[kinds.error].sum()
    from_errors = links.zeros()
    for block in links.blocks:
        from_errors[block.targets] = block.values[:, kinds.error[block.sources]].abs().sum(1)
    explained = 1 - from_errors / links.incoming.clamp(min=SMALLEST_ROW)
    importance = reach + weight
    replacement = tokens / _above_zero(tokens + errors)
    return replacement.item(), ((explained * importance).sum() / importance.sum()).item()


def _above_zero(total: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """What shares are taken of. It grows with the targets' weights, so only zero is too small."""
    return torch.where(total > 0, total, 1)


def smallest_kept(score: Float[Tensor, " batch"], threshold: float) -> Float[Tensor, ""]:
    """The score at which the largest scores together reach that share of the total."""
    ordered = score.sort(descending=True).values
    reached = ordered.cumsum(0) / _above_zero(ordered.sum())
    place = int(torch.searchsorted(reached, threshold))
    return ordered[min(place, len(ordered) - 1)]


def cumulative_share(score: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Per node the share of all influence held by it and by every node before it: small means important."""
    order = score.sort(descending=True, stable=True).indices
    reached = score[order].cumsum(0) / _above_zero(score.sum())
    return torch.zeros_like(score).scatter(0, order, reached)


def prune(
    links: Links, weight: Float[Tensor, " batch"], kinds: Kinds, node_threshold: float, edge_threshold: float
) -> Pruned:
    """Which nodes and links carry most of the influence. Tokens and logits always stay."""
    always = kinds.token | kinds.logit
    reach = influence(links, weight)
    nodes = always | (reach >= smallest_kept(reach, node_threshold))
    kept = links.within(nodes)
    importance = (influence(kept, weight) + weight) / kept.incoming.clamp(min=SMALLEST_ROW)
    targets, sources, weights = kept.pairs()
    score = weights.abs() * importance[targets]
    strong = score >= smallest_kept(score, edge_threshold) if len(score) else score.bool()
    return _without_loose_ends(nodes, targets[strong], sources[strong], weights[strong], always, kinds.error)


def _without_loose_ends(
    nodes: Bool[Tensor, " batch"],
    targets: Int[Tensor, " feature"],
    sources: Int[Tensor, " feature"],
    weights: Float[Tensor, " feature"],
    always: Bool[Tensor, " batch"],
    error: Bool[Tensor, " batch"],
) -> Pruned:
    """Drop features and errors that lead nowhere and features that nothing leads to, until none is left."""
    while True:
        leads, led_to = torch.zeros_like(nodes), torch.zeros_like(nodes)
        leads[sources], led_to[targets] = True, True
        stays = nodes & (always | (leads & (led_to | error)))
        left = stays[targets] & stays[sources]
        targets, sources, weights = targets[left], sources[left], weights[left]
        if torch.equal(stays, nodes):
            return Pruned(nodes, targets, sources, weights)
        nodes = stays
