"""An attribution graph for its page: nodes, links as columns, and what the run has found out about its features.

All text is data, cut to what a page can hold. What an intervention or a description has to be asked with (prompt,
dictionary, answers) stands as it was measured.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError

from ...tools import Frozen, Measurement
from ..report._contexts import Peak, Span, peak_in, reader_of
from ..report._text import cut, visible
from ..runs import RunFolder, UnreadableFile
from .problems import NotHere
from .routes_runs import record_in
from .shelf import Shelf

TOOL = "attribution_graph"
NAMED, DESCRIBED = "probe_prompts", "describe_feature"
MOST_CONTEXTS = 5  # of a feature
MOST_TOKENS = 8  # that a feature raises, and that it lowers
AROUND = 90  # characters of a context in front of its peak and behind it

Kind = Literal["feature", "error", "token", "logit"]


class NodeShown(Frozen):
    """A node, its texts cut to what a page can hold."""

    id: str = Field(description="`LAYER/FEATURE@POS`, `error.LAYER@POS`, `token@POS`, `logit.TOKEN@POS`; unique.")
    kind: Kind = Field(description="What the node is.")
    layer: int = Field(description="Layer; -1 for tokens, the number of layers for logits.")
    position: int = Field(description="Index of the token it stands at.")
    feature: int | None = Field(description="Index in the layer's dictionary; features only.")
    token: str = Field(description="Text of the token it stands at; for logits, of the answer.")
    token_id: int | None = Field(description="Number in the vocabulary; tokens and logits only.")
    label: str = Field(description="For a reader.")
    activation: float | None = Field(description="Activation on the prompt; features only.")
    probability: float | None = Field(description="Probability of the answer; logits only.")
    influence: float | None = Field(
        description="Share of all influence in this node and those with more: small means important; none for logits."
    )


class GraphShown(Frozen):
    """A pruned attribution graph, with what it takes to measure more about it."""

    run: str = Field(description="Name of the run's folder.")
    measurement: str = Field(description="The measurement that holds the graph.")
    model: str = Field(description="The model under study.")
    fingerprint: str = Field(description="Of its weights, configuration and tokenizer.")
    twin: bool = Field(description="Whether it ran on re-initialised weights; nothing more is measured on those here.")
    prompt: str = Field(description="The prompt that was explained.")
    tokens: tuple[str, ...] = Field(description="Its tokens.")
    answers: tuple[str, ...] = Field(description="Next words that were asked for; none where the likeliest were taken.")
    foil: str = Field(description="Word that each answer is less; empty for none.")
    dictionary: str = Field(description="Dictionary, as it was asked for.")
    force_dictionary: bool = Field(description="Whether one of other weights was allowed.")
    replacement_score: float = Field(description="Of the influence that ends in tokens or errors, from tokens (share).")
    completeness_score: float = Field(description="Part of the nodes' inputs from no error (share).")
    n_nodes_before_pruning: int = Field(description="Nodes of the whole graph (count).")
    nodes: tuple[NodeShown, ...] = Field(description="Nodes left by pruning.")
    sources: tuple[int, ...] = Field(description="Per link, strongest first, the place of its source in `nodes`.")
    targets: tuple[int, ...] = Field(description="Per link the place of its target.")
    weights: tuple[float, ...] = Field(description="Per link its direct effect.")


class Context(Frozen):
    """A text in which a feature is active, in three parts."""

    before: str = Field(description="What stands in front of the peak; all of the text where the peak is not found.")
    peak: str = Field(description="The token where the feature is largest; empty where its place is not known.")
    after: str = Field(description="What stands behind it.")
    token: str = Field(description="The token where it is largest, wherever it stands.")
    activation: float = Field(description="Its activation there.")


class Weighed(Frozen):
    """A token that a feature raises or lowers directly."""

    token: str = Field(description="Text of the token.")
    weight: float = Field(description="By how much, on the direct path.")


class FeatureKnown(Frozen):
    """What a run's measurements say of a feature."""

    feature: str = Field(description="LAYER/FEATURE.")
    name: str = Field(default="", description="What probe prompts would call it: where it fires, not what it does.")
    group: str = Field(default="", description="Its class by probe prompts.")
    contexts: tuple[Context, ...] = Field(default=(), description="Where it fires most, the strongest first.")
    promoted: tuple[Weighed, ...] = Field(default=(), description="Tokens it raises most on the direct path.")
    suppressed: tuple[Weighed, ...] = Field(default=(), description="Tokens it lowers most on the direct path.")
    measurements: tuple[str, ...] = Field(default=(), description="Where this is from.")


class FeaturesKnown(Frozen):
    """What a run's measurements say of the features of a graph."""

    features: tuple[FeatureKnown, ...] = Field(description="Those of which anything is known.")


def graph_measurement(shelf: Shelf, folder: RunFolder, measurement_id: str) -> Measurement:
    """The measurement of a graph: the run's own file of it, or the report's record.

    Raises:
        NotHere: there is none of that id, or it is no graph.
        UnreadableFile: its file was changed after it was written.
    """
    found = folder.kept(measurement_id)
    if found is None and (folder.path / "report.json").is_file():
        found = record_in(shelf.report(folder), measurement_id).measurement
    if found is None:
        raise NotHere(f"Run {folder.name} has no measurement {measurement_id} yet.", mend="Wait until it has ended.")
    if found.tool != TOOL:
        raise NotHere(
            f"{measurement_id} is a measurement of {found.tool}, which is no graph.",
            mend=f"Open one of {TOOL}.",
        )
    return found


def graph_shown(measurement: Measurement, run: str) -> GraphShown:
    """The graph of a measurement, for its page.

    Raises:
        UnreadableFile: the result is no graph of this version.
    """
    from ...tools import AttributionGraphResult

    try:
        result = AttributionGraphResult.model_validate(measurement.result)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnreadableFile(
            f"{measurement.id} holds no attribution graph of this version: `{where}`: {first['msg']}. Measure it again."
        ) from error
    places = {node.id: place for place, node in enumerate(result.nodes)}
    links = sorted(result.links, key=lambda link: (-abs(link.weight), link.target, link.source))
    strangers = [link for link in links if link.source not in places or link.target not in places]
    if strangers or len(places) < len(result.nodes):
        raise UnreadableFile(f"{measurement.id} holds no sound graph: an id stands twice, or a link ends nowhere.")
    given = measurement.args
    return GraphShown(
        run=run,
        measurement=measurement.id,
        model=measurement.subject.model,
        fingerprint=measurement.subject.fingerprint,
        twin=measurement.subject.reinit_seed is not None,
        prompt=result.prompt,
        tokens=tuple(map(cut, result.tokens)),
        answers=tuple(given.get("targets", ())),
        foil=given.get("foil", ""),
        dictionary=given.get("dictionary", result.dictionary),
        force_dictionary=bool(given.get("force_dictionary", False)),
        replacement_score=result.replacement_score,
        completeness_score=result.completeness_score,
        n_nodes_before_pruning=result.n_nodes_before_pruning,
        nodes=tuple(
            NodeShown(
                id=node.id,
                kind=node.kind,
                layer=node.layer,
                position=node.position,
                feature=node.feature,
                token=cut(node.token),
                token_id=node.token_id,
                label=cut(node.label),
                activation=node.activation,
                probability=node.probability,
                influence=None if node.kind == "logit" else node.influence,
            )
            for node in result.nodes
        ),
        sources=tuple(places[link.source] for link in links),
        targets=tuple(places[link.target] for link in links),
        weights=tuple(link.weight for link in links),
    )


def features_known(graph: Measurement, kept: Sequence[Measurement]) -> FeaturesKnown:
    """What a run has measured about the features of a graph.

    Args:
        graph: measurement of the graph.
        kept: every finished measurement of the run; those of other weights or dictionaries say nothing of it.
    """
    wanted = {f"{n['layer']}/{n['feature']}" for n in graph.result["nodes"] if n["kind"] == "feature"}
    facts: dict[str, dict[str, Any]] = defaultdict(lambda: {"measurements": ()})
    for one in kept:
        same = one.result.get("dictionary_digest") == graph.result.get("dictionary_digest")
        if one.subject != graph.subject or not same:
            continue
        if one.tool == NAMED:
            found = _named(one, graph, wanted)
        elif one.tool == DESCRIBED:
            found = _described(one, wanted)
        else:
            continue
        for feature, more in found.items():
            mine = facts[feature]
            contexts = sorted((*mine.get("contexts", ()), *more.pop("contexts")), key=lambda c: -c.activation)
            mine |= more | {"contexts": _distinct(contexts), "measurements": (*mine["measurements"], one.id)}
    return FeaturesKnown(
        features=tuple(FeatureKnown(feature=feature, **facts[feature]) for feature in sorted(facts)),
    )


def _distinct(contexts: Iterable[Context]) -> tuple[Context, ...]:
    texts = {(one.before, one.peak, one.after): one for one in contexts}
    return tuple(texts.values())[:MOST_CONTEXTS]


def _named(probes: Measurement, graph: Measurement, wanted: set[str]) -> dict[str, dict[str, Any]]:
    """Names, classes and the probes on which features peak; a name only by the probes of the graph's own prompt."""
    result, own = probes.result, probes.args.get("prompt") == graph.result["prompt"]
    of = {f"{one['layer']}/{one['feature']}": one for one in result["features"]}
    texts = result["probes"]
    readings = [r for one in of.values() for r in (*one["readings"], *one["held_out"]["readings"])]
    reader = reader_of(graph.result["prompt"], graph.result["tokens"], texts, readings)
    found: dict[str, dict[str, Any]] = {}
    for feature in of.keys() & wanted:
        one = of[feature]
        strongest = sorted((*one["readings"], *one["held_out"]["readings"]), key=lambda r: -r["peak"])[:MOST_CONTEXTS]
        found[feature] = {
            "contexts": [
                _context(
                    texts[r["probe"]]["text"], peak_in(texts[r["probe"]]["text"], r, reader), r["token"], r["peak"]
                )
                for r in strongest
            ]
        }
        if own:
            found[feature] |= {"name": cut(one["name"]), "group": cut(one["group"])}
    return found


def _described(described: Measurement, wanted: set[str]) -> dict[str, dict[str, Any]]:
    result = described.result
    feature = f"{result['layer']}/{result['feature']}"
    if feature not in wanted:
        return {}
    return {
        feature: {
            "contexts": [_in_text(one) for one in result["contexts"][:MOST_CONTEXTS]],
            "promoted": _weighed(result["promoted"]),
            "suppressed": _weighed(result["suppressed"]),
        }
    }


def _in_text(one: Mapping[str, Any]) -> Context:
    """A context of `describe_feature`; its peak is marked where it can stand at one place alone."""
    token = one["tokens"][one["peak"]]
    bare, text = token.strip(), one["text"]
    spans: list[Span] = []
    if bare and text.count(bare) == 1:
        spans = [(text.index(bare), text.index(bare) + len(bare))]
    return _context(text, Peak(tuple(spans)), token, one["peak_activation"])


def _context(text: str, peak: Peak, token: str, activation: float) -> Context:
    if not peak.certain:
        return Context(before=_short(text, 2 * AROUND), peak="", after="", token=cut(token), activation=activation)
    (start, end) = peak.spans[0]
    first, last = max(0, start - AROUND), min(len(text), end + AROUND)
    return Context(
        before=("…" if first else "") + visible(text[first:start]),
        peak=cut(text[start:end]),
        after=visible(text[end:last]) + ("…" if last < len(text) else ""),
        token=cut(token),
        activation=activation,
    )


def _short(text: str, most: int) -> str:
    return visible(text[:most]) + ("…" if len(text) > most else "")


def _weighed(tokens: Sequence[Mapping[str, Any]]) -> tuple[Weighed, ...]:
    return tuple(Weighed(token=cut(one["token"]), weight=one["weight"]) for one in tokens[:MOST_TOKENS])
