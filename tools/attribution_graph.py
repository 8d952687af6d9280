"""Attribution graph of one prompt: which features, tokens and errors produced the answer, and by which direct effects.

Ameisen et al. 2025, "Circuit Tracing: Revealing Computational Graphs in Language Models"; per-layer transcoders after
Dunefsky, Chlenski, Nanda 2024; scores and pruning as circuit-tracer publishes them. Links are direct effects in the
local replacement model (`_attribution_local.py`, which lists the deviations), found by one explicit sweep.

A graph explains the model only as far as frozen attention patterns go: what decided where a head looks is no link.
"""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from ._attribution_build import Graph, build, intervention_error
from ._attribution_local import LocalModel, local_model
from ._attribution_scores import cumulative_share, influence, prune, scores, shares
from ._attribution_sweep import logit_targets
from ._attribution_types import AttributionGraphResult, GraphLink, GraphNode
from ._base import Progress, ToolArgs, ToolError, silent, tool
from ._dictionary_file import dictionary_of
from ._subject import Subject

__all__ = ["AttributionGraphArgs", "AttributionGraphResult", "GraphLink", "GraphNode", "attribution_graph"]


class AttributionGraphArgs(ToolArgs):
    prompt: str = Field(description="Text whose next token is explained.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, or a .safetensors path."
    )
    targets: tuple[str, ...] = Field((), description="Next words to explain; none for the most likely tokens.")
    foil: str = Field("", description="Explain each target's logit minus this word's; needs targets.")
    desired_probability: float = Field(
        0.95, gt=0, le=1, description="Without targets: explain the fewest tokens that reach this probability."
    )
    max_logits: int = Field(10, ge=1, le=100, description="Without targets: explain at most so many tokens (count).")
    max_feature_nodes: int = Field(
        2000, ge=1, le=50_000, description="Feature nodes before pruning; those of largest influence (count)."
    )
    node_threshold: float = Field(0.8, gt=0, le=1, description="Keep the nodes that hold this share of the influence.")
    edge_threshold: float = Field(0.98, gt=0, le=1, description="Keep the links that hold this share of the influence.")


@tool
def attribution_graph(
    subject: Subject, args: AttributionGraphArgs, progress: Progress = silent
) -> AttributionGraphResult:
    """Trace an answer back through features to tokens, as a graph of direct effects that interventions confirm.

    Raises:
        ToolError: no fitting dictionary, a prompt or target that the model cannot read, or a graph too large.
    """
    answers, foil = _asked(subject, args)
    dictionary = dictionary_of(subject, args.dictionary)
    progress(0, 3, "running the prompt")
    local = local_model(subject, dictionary, args.prompt)
    if answers is None:
        answers = most_likely(local.probabilities, args.desired_probability, args.max_logits)
    # Of a difference the model gives no probability; each counts the same.
    weight = local.probabilities[answers] if foil is None else torch.ones_like(local.probabilities[answers])
    progress(1, 3, "sweeping direct effects")
    targets = logit_targets(local, answer_vectors(local, answers, foil))
    graph = build(local, targets, weight, args.max_feature_nodes, progress)
    progress(2, 3, "scoring and pruning")
    replacement, completeness = scores(graph.adjacency, graph.node_weight, graph.kinds)
    error, n_interventions = intervention_error(graph)
    everything = _nodes(subject, graph, answers, foil)
    nodes, links = _pruned(graph, everything, args)
    return AttributionGraphResult(
        prompt=args.prompt,
        tokens=subject.token_strings(local.ids),
        nodes=nodes,
        links=links,
        replacement_score=replacement,
        completeness_score=completeness,
        n_nodes_before_pruning=len(everything),
        n_links_before_pruning=int((graph.adjacency != 0).sum()),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        n_active_features=local.n_active,
        n_features_left_out=local.n_active - len(graph.chosen),
        links_into_features="exact" if dictionary.exact_targets else "first order",
        intervention_error=error,
        n_interventions=n_interventions,
    )


def most_likely(probabilities: Float[Tensor, " vocab"], desired: float, at_most: int) -> Int[Tensor, " batch"]:
    """The fewest tokens that together reach the desired probability, most likely first."""
    best = probabilities.topk(min(at_most, len(probabilities)))
    reached = int(torch.searchsorted(best.values.cumsum(0), desired)) + 1
    return best.indices[:reached]


def answer_vectors(
    local: LocalModel, answers: Int[Tensor, " batch"], foil: int | None
) -> Float[Tensor, "batch d_model"]:
    """What each answer's logit, less the mean over the vocabulary or less the foil's, reads from the normed stream."""
    less = local.W_U.mean(-1) if foil is None else local.W_U[:, foil]
    return (local.W_U[:, answers] - less[:, None]).T


def _asked(subject: Subject, args: AttributionGraphArgs) -> tuple[Int[Tensor, " batch"] | None, int | None]:
    """Token ids of the targets and of the foil."""
    if args.foil and not args.targets:
        raise ToolError("A foil needs a target to be compared with.", mend="Pass the answer in `targets`.")
    answers = [subject.answer_token(args.prompt, word) for word in args.targets]
    foil = subject.answer_token(args.prompt, args.foil) if args.foil else None
    if len({*answers}) < len(answers) or foil in answers:
        raise ToolError("Two of the targets and the foil are the same token.", mend="Name each word once.")
    return torch.tensor(answers, device=subject.device) if answers else None, foil


def _pruned(
    graph: Graph, nodes: list[GraphNode], args: AttributionGraphArgs
) -> tuple[tuple[GraphNode, ...], tuple[GraphLink, ...]]:
    """The nodes and links that pruning leaves."""
    adjacency = graph.adjacency
    kept, links = prune(adjacency, graph.node_weight, graph.kinds, args.node_threshold, args.edge_threshold)
    targets, sources = links.nonzero(as_tuple=True)
    ends = zip(sources.tolist(), targets.tolist(), adjacency[targets, sources].tolist(), strict=True)
    return (
        tuple(node for node, stays in zip(nodes, kept.tolist(), strict=True) if stays),
        tuple(GraphLink(source=nodes[s].id, target=nodes[t].id, weight=weight) for s, t, weight in ends),
    )


def _nodes(subject: Subject, graph: Graph, answers: Int[Tensor, " batch"], foil: int | None) -> list[GraphNode]:
    """All nodes of a graph, in its order."""
    local = graph.local
    tokens = subject.token_strings(local.ids)
    reach = influence(shares(graph.adjacency), graph.node_weight)
    total = reach.sum()
    held = list(zip(cumulative_share(reach).tolist(), (reach / total).tolist(), strict=True))
    where = zip(*(v[graph.chosen].tolist() for v in (local.layer, local.position, local.feature)), strict=True)
    active = local.activation[graph.chosen].tolist()
    parts = [
        {"id": f"{at}/{f}@{p}", "kind": "feature", "layer": at, "position": p, "feature": f, "activation": value}
        | {"token": tokens[p], "label": f"feature {at}/{f} at {tokens[p]!r}"}
        for (at, p, f), value in zip(where, active, strict=True)
    ]
    parts += [
        {"id": f"error.{at}@{p}", "kind": "error", "layer": at, "position": p}
        | {"token": token, "label": f"what the features of layer {at} miss at {token!r}"}
        for at in range(len(local.blocks))
        for p, token in enumerate(tokens)
    ]
    parts += [
        {"id": f"token@{p}", "kind": "token", "layer": -1, "position": p, "token": token, "label": f"token {token!r}"}
        for p, token in enumerate(tokens)
    ]
    parts += _logit_parts(subject, local, answers.tolist(), foil)
    none = {"feature": None, "activation": None, "probability": None}
    return [
        GraphNode.model_validate(none | part | {"influence": reached, "influence_share": own})
        for part, (reached, own) in zip(parts, held, strict=True)
    ]


def _logit_parts(subject: Subject, local: LocalModel, answers: list[int], foil: int | None) -> list[dict[str, object]]:
    last = len(local.ids) - 1
    against = "" if foil is None else f" minus {subject.token_strings([foil])[0]!r}"
    less = "" if foil is None else f"-{foil}"
    return [
        {"id": f"logit.{answer}{less}@{last}", "kind": "logit", "layer": len(local.blocks), "position": last}
        | {"token": token, "probability": p, "label": f"output {token!r}{against} (p={p:.3f})"}
        for answer, token, p in zip(
            answers, subject.token_strings(answers), local.probabilities[answers].tolist(), strict=True
        )
    ]
