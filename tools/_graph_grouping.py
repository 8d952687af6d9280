"""Classes, names and supernodes for the features of a graph file, from a file of their activations on probes.

No model is needed: "Automated Circuit Interpretation via Probe Prompting" (2025) on what others have measured. Which
part of it is to the letter and which our own is in `Thresholds`; `PUBLISHED` gives the published class and name of
every feature.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ._activation_dump import ActivationDump, Feature
from ._base import ToolError
from ._graph_scores import most_influential
from ._graph_types import PlainGraph, PlainNode
from ._probe_groups import Thresholds, metrics_of
from ._probe_names import Evidence, Supernode, admissible_words, names_of, supernodes_of
from ._probe_readings import Line, reading_of, vocabulary
from ._probe_tokens import FunctionWords, bare, is_functional, n_before_text, shown
from ._probe_values import decided
from ._published_comparison import Signature, signature_of


@dataclass(frozen=True)
class Grouping:
    """Features of a graph with their classes and names."""

    found: tuple[Evidence, ...]  # by layer, then index
    names: tuple[str, ...]
    admissible: tuple[str, ...]  # what may name a Relationship, as words are compared
    influence: tuple[float, ...]  # largest own part of the influence over the feature's places
    not_probed: tuple[Feature, ...]  # picked in the graph, but not in the file of activations

    @property
    def supernodes(self) -> tuple[Supernode, ...]:
        """Features of equal name."""
        return supernodes_of(self.found, self.names)


def picked_features(graph: PlainGraph, threshold: float | None) -> tuple[str, ...]:
    """Ids of the features to group or score: up to a cumulative influence, else the pinned ones, else all.

    Raises:
        ToolError: a threshold that no feature meets.
    """
    features = {node.id: node.influence for node in graph.nodes if node.kind == "feature"}
    if threshold is None:
        return tuple(name for name in graph.pinned if name in features) or tuple(features)
    found = most_influential(graph, threshold)
    if not found:
        known = [influence for influence in features.values() if influence is not None]
        least = f"The most influential has {min(known):.3g}." if known else "The file gives none to its features."
        raise ToolError(f"No feature has a cumulative influence of {threshold:g} or less.", mend=least)
    return found


def group_graph(
    graph: PlainGraph,
    dump: ActivationDump,
    picked: Collection[str],
    words: FunctionWords,
    thresholds: Thresholds,
    blacklist: Collection[str] = (),
) -> Grouping:
    """Class and name of each picked feature that the file of activations has.

    Args:
        picked: ids of feature nodes of the graph.
        blacklist: words that name no Relationship.

    Raises:
        ToolError: no picked feature in the file, or a graph that does not say where a feature counts most.
    """
    nodes = _nodes_of_features(graph, {*picked})
    shared = sorted(nodes.keys() & {*dump.features})
    if not shared:
        raise _strangers(graph, dump, sorted(nodes))
    line, own = _prompt(graph), own_influence(graph)
    units = dict(zip(line.places, line.units(thresholds), strict=True))
    depth = next(node.layer for node in graph.nodes if node.kind == "logit")
    counts = vocabulary(dump.lines, thresholds)
    found = [
        _evidence(feature, dump, units.get(_place(nodes[feature], own, thresholds)), depth, counts, words, thresholds)
        for feature in shared
    ]
    prompt_words = [shown(unit) for unit in units.values() if not is_functional(unit, words)]
    names = names_of(found, prompt_words, blacklist, thresholds)
    return Grouping(
        found=tuple(found),
        names=tuple(names),
        admissible=admissible_words(found, names, prompt_words, blacklist, thresholds),
        influence=tuple(max(own.get(node.id, 0.0) for node in nodes[feature]) for feature in shared),
        not_probed=tuple(sorted(nodes.keys() - {*shared})),
    )


def _nodes_of_features(graph: PlainGraph, picked: Collection[str]) -> dict[Feature, list[PlainNode]]:
    """Each picked feature's places."""
    nodes: dict[Feature, list[PlainNode]] = {}
    for node in graph.nodes:
        if node.id in picked and node.feature is not None:
            nodes.setdefault((node.layer, node.feature), []).append(node)
    return nodes


def _evidence(
    feature: Feature,
    dump: ActivationDump,
    seed_token: str | None,
    depth: int,
    counts: Counter[str],
    words: FunctionWords,
    t: Thresholds,
) -> Evidence:
    acts = dump.of(feature)
    read = (reading_of(i, line, one, words, t) for i, (line, one) in enumerate(zip(dump.lines, acts, strict=True)))
    readings = tuple(reading for reading in read if reading is not None)
    metrics = metrics_of(readings, counts)
    strongest: dict[str, float] = {}
    for line, one in zip(dump.lines, acts, strict=True):
        for unit, act in zip(map(bare, line.units(t)), one, strict=True):
            strongest[unit] = max(strongest.get(unit, 0.0), act)
    found = decided(metrics, readings, {}, feature[0], depth, {}, t)
    return Evidence(
        layer=feature[0],
        feature=feature[1],
        decision=found.decision,
        metrics=metrics,
        readings=readings,
        seed_token=seed_token,
        strongest=strongest,
        own_name=found.name,
    )


def _prompt(graph: PlainGraph) -> Line:
    start = n_before_text(graph.tokens)
    return Line(graph.prompt, graph.tokens[start:], tuple(range(start, len(graph.tokens))))


def signatures(grouping: Grouping) -> tuple[Signature, ...]:
    """The features as published comparisons have them: by what they do at the admissible words."""
    return tuple(
        signature_of(one, name, grouping.admissible, influence)
        for one, name, influence in zip(grouping.found, grouping.names, grouping.influence, strict=True)
    )


def held_out_signatures(grouping: Grouping, dump: ActivationDump) -> tuple[Signature, ...]:
    """The same features on probes that made neither names nor groups: their activations at every token.

    Args:
        dump: of the held-out probes.

    Raises:
        ToolError: a feature that it lacks.
    """
    found = []
    for one, name, influence in zip(grouping.found, grouping.names, grouping.influence, strict=True):
        acts = dump.of((one.layer, one.feature))
        peaks = tuple(bare(line.words[int(np.argmax(a))]) for line, a in zip(dump.lines, acts, strict=True))
        values = tuple(max(a) for a in acts)
        found.append(Signature(name, one.layer, influence, peaks, values, np.concatenate(acts)))
    return tuple(found)


def own_influence(graph: PlainGraph) -> dict[str, float]:
    """Each node's own part of the influence: its cumulative share less that of the one before it."""
    ranked = sorted((node.influence, node.id) for node in graph.nodes if node.influence is not None)
    before = [0.0, *(cumulative for cumulative, _ in ranked)]
    return {name: cumulative - last for (cumulative, name), last in zip(ranked, before, strict=False)}


def _place(nodes: Sequence[PlainNode], own: dict[str, float], thresholds: Thresholds) -> int:
    """The token of the prompt at which a feature counts most."""
    by = thresholds.prompt_token_by
    values = [own.get(node.id) if by == "influence" else node.activation for node in nodes]
    if None in values:
        raise ToolError(
            f"The graph gives no {by} of `{nodes[values.index(None)].id}`.",
            mend=f"Set `prompt_token_by` to `{'activation' if by == 'influence' else 'influence'}`.",
        )
    return max(zip(values, nodes, strict=True), key=lambda pair: pair[0] or 0.0)[1].position


def _strangers(graph: PlainGraph, dump: ActivationDump, wanted: Sequence[Feature]) -> ToolError:
    def shown_few(features: Sequence[Feature]) -> str:
        return ", ".join(f"{layer}/{index}" for layer, index in features[:3]) or "none"

    return ToolError(
        f"None of the {len(wanted)} picked features ({shown_few(wanted)} …) is among the {len(dump.features)} of the "
        f"activations ({shown_few(dump.features)} …).",
        mend=f"Give activations of this graph's dictionary (scan `{graph.scan or 'not given'}`); these are of "
        f"`{dump.model or 'a model not named'}`, `{dump.source_set or 'a dictionary not named'}`.",
    )
