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

from ._attribution_build import Graph, build_graph, intervention_error
from ._attribution_local import LocalModel, local_model
from ._attribution_nodes import answer_vectors, logit_targets, most_likely
from ._attribution_scores import cumulative_share, influence, prune, scores
from ._attribution_types import AttributionGraphResult, GraphLink, GraphNode
from ._base import Progress, ToolArgs, ToolError, silent, tool
from ._dictionary_file import dictionary_of
from ._subject import Subject

__all__ = ["AttributionGraphArgs", "AttributionGraphResult", "GraphLink", "GraphNode", "attribution_graph"]


class AttributionGraphArgs(ToolArgs):
    prompt: str = Field(description="Text whose next token is explained.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    targets: tuple[str, ...] = Field((), description="Next words to explain; none for the most likely tokens.")
    foil: str = Field("", description="Explain each target's logit minus this word's; needs targets.")
    desired_probability: float = Field(
        0.95, gt=0, le=1, description="Without targets: explain the fewest tokens that reach this probability."
    )
    skip_first: bool = Field(
        False, description="Leave features and errors at the first token out, for dictionaries that never saw one."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
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
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    progress(0, 3, "running the prompt")
    local = local_model(subject, dictionary, args.prompt, args.skip_first)
    if answers is None:
        answers = most_likely(local.probabilities, args.desired_probability, args.max_logits)
    weight = _weight(local.probabilities[answers], foil)
    progress(1, 3, "sweeping direct effects")
    targets = logit_targets(local, answer_vectors(local, answers, foil))
    graph = build_graph(local, targets, weight, args.max_feature_nodes, progress)
    progress(2, 3, "scoring and pruning")
    replacement, completeness = scores(graph.links, graph.weight, graph.kinds)
    error, n_interventions = intervention_error(graph)
    nodes, links = _pruned(subject, graph, answers, foil, args)
    return AttributionGraphResult(
        prompt=args.prompt,
        tokens=subject.token_strings(local.ids),
        nodes=nodes,
        links=links,
        replacement_score=replacement,
        completeness_score=completeness,
        n_nodes_before_pruning=int(graph.present.sum()),
        n_links_before_pruning=graph.links.count,
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
        n_active_features=local.n_active,
        n_features_left_out=local.n_active - len(graph.chosen),
        links_into_features="exact" if dictionary.exact_targets else "first order",
        intervention_error=error,
        n_interventions=n_interventions,
    )


def _weight(probabilities: Float[Tensor, " batch"], foil: int | None) -> Float[Tensor, " batch"]:
    """How much each target counts: by its probability, and all the same where each is compared with a foil."""
    if foil is not None:
        return torch.ones_like(probabilities)
    if not probabilities.sum() > 0:
        raise ToolError(
            "The model gives the targets no probability at all, so none can be weighed.",
            mend="Name likelier targets, or pass a `foil`: differences of logits count the same.",
        )
    return probabilities / probabilities.sum()


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
    subject: Subject, graph: Graph, answers: Int[Tensor, " batch"], foil: int | None, args: AttributionGraphArgs
) -> tuple[tuple[GraphNode, ...], tuple[GraphLink, ...]]:
    """The nodes and links that pruning leaves."""
    left = prune(graph.links, graph.weight, graph.kinds, args.node_threshold, args.edge_threshold)
    kept = (left.nodes & graph.present).nonzero()[:, 0]
    nodes = dict(zip(kept.tolist(), _nodes(subject, graph, kept, answers, foil), strict=True))
    ends = sorted(zip(left.targets.tolist(), left.sources.tolist(), left.weights.tolist(), strict=True))
    return (
        tuple(nodes.values()),
        tuple(GraphLink(source=nodes[s].id, target=nodes[t].id, weight=weight) for t, s, weight in ends),
    )


def _nodes(
    subject: Subject, graph: Graph, kept: Int[Tensor, " _"], answers: Int[Tensor, " batch"], foil: int | None
) -> list[GraphNode]:
    """Some of the nodes, by number."""
    local = graph.local
    tokens, n_pos = subject.token_strings(local.ids), len(local.ids)
    reach = influence(graph.links, graph.weight)
    held, own = cumulative_share(reach)[kept].tolist(), (reach / reach.sum())[kept].tolist()
    features = kept[kept < local.n_active]
    parts = [
        {
            "id": f"{layer}/{f}@{at}",
            "kind": "feature",
            "layer": layer,
            "position": at,
            "feature": f,
            "activation": value,
        }
        | {"token": tokens[at], "label": f"feature {layer}/{f} at {tokens[at]!r}"}
        for layer, at, f, value in zip(
            *(v[features].tolist() for v in (local.layer, local.position, local.feature, local.activation)), strict=True
        )
    ]
    for number in kept[kept >= local.n_active].tolist():
        layer, at = divmod(number - local.n_active, n_pos)
        if layer < len(local.blocks):
            parts.append(
                {"id": f"error.{layer}@{at}", "kind": "error", "layer": layer, "position": at, "token": tokens[at]}
                | {"label": f"what the features of layer {layer} miss at {tokens[at]!r}"}
            )
        elif number < local.n_sources:
            parts.append(
                {"id": f"token@{at}", "kind": "token", "layer": -1, "position": at, "token": tokens[at]}
                | {"label": f"token {tokens[at]!r}", "token_id": local.ids[at]}
            )
    parts += _logit_parts(subject, local, answers.tolist(), foil)
    none = {"feature": None, "token_id": None, "activation": None, "probability": None}
    return [
        GraphNode.model_validate(none | part | {"influence": reached, "influence_share": share})
        for part, reached, share in zip(parts, held, own, strict=True)
    ]


def _logit_parts(subject: Subject, local: LocalModel, answers: list[int], foil: int | None) -> list[dict[str, object]]:
    last = len(local.ids) - 1
    against = "" if foil is None else f" minus {subject.token_strings([foil])[0]!r}"
    less = "" if foil is None else f"-{foil}"
    return [
        {"id": f"logit.{answer}{less}@{last}", "kind": "logit", "layer": len(local.blocks), "position": last}
        | {"token": token, "token_id": answer, "probability": p, "label": f"output {token!r}{against} (p={p:.3f})"}
        for answer, token, p in zip(
            answers, subject.token_strings(answers), local.probabilities[answers].tolist(), strict=True
        )
    ]
