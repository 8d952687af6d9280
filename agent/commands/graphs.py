"""`vesalius graph`: attribution graphs to and from the formats of circuit-tracer, Neuronpedia and GraphML.

A graph goes out with the supernodes that its run named, pinned; a name that is not confirmed begins with `?`.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from ...tools import Measurement, ToolError, digest
from ..report._text import cut
from ..runs import RunFolder, UnreadableFile, write_whole
from ..settings import Settings
from .graph_folders import json_text, write_listed
from .graph_names import DESCRIPTION, FileSupernodes, file_supernodes, run_supernodes
from .kept import MEASUREMENT_ID, kept_anywhere, kept_by
from .output import print_json, print_line, print_table

if TYPE_CHECKING:
    from ...tools import AttributionGraphResult, PlainGraph, PlainNode

TOOL = "attribution_graph"
ENDINGS = {"neuronpedia": ".json", "graphml": ".graphml"}
_WANTED = "Give a run, `last`, the id of a measurement of attribution_graph, or a JSON file of one or of its result."


class Measured(NamedTuple):
    """A graph, and what is known of how it was measured."""

    result: "AttributionGraphResult"
    measurement: Measurement | None
    folder: RunFolder | None = None  # of the run that it was found in


def export_command(
    settings: Settings,
    of: str,
    kind: str,
    out: Path | None,
    model: str | None,
    slug: str,
    scan: str,
    as_json: bool,
) -> None:
    """Write a measured graph in one of the field's formats, with the supernodes that its run named."""
    from ...tools import ExportOptions, export_graph, named_graph

    if kind not in ENDINGS:
        raise ToolError(f"There is no format `{kind}`.", mend=f"Formats: {', '.join(ENDINGS)}.")
    measured = find_graph(settings.home, of)
    name, fingerprint = _weights(measured, model, settings.device)
    given = measured.measurement.args if measured.measurement else {}
    options = ExportOptions(slug=slug, scan=scan)
    try:
        graph = named_graph(measured.result, fingerprint, given, options)
    except ValidationError as error:
        raise _unreadable(of, error) from error
    shown = _supernodes(measured, graph)
    if shown is not None:
        options = options.model_copy(update={"supernodes": shown.groups, "pinned": shown.pinned})
        graph = named_graph(measured.result, fingerprint, given, options)
    named = graph.slug + ENDINGS[kind]
    into_folder = out is not None and out.is_dir()
    path = out / named if out is not None and into_folder else out or Path(named)
    if kind == "graphml":
        from ...tools import graphml_of

        write_whole(path, graphml_of(graph))
    else:
        file = export_graph(measured.result, name, fingerprint, given, options)
        if shown is not None:
            file["metadata"]["info"]["description"] += f" {DESCRIPTION}"
        if into_folder:
            write_listed(path.parent, file)
        else:
            write_whole(path, json_text(file))
    found = {"path": str(path), "format": kind, "slug": graph.slug, "scan": graph.scan}
    counts = {"nodes": len(graph.nodes), "links": len(graph.links), "supernodes": len(graph.supernodes)}
    counts["names_hold"] = 0 if shown is None else shown.n_hold
    if as_json:
        print_json(found | counts)
        return
    print_line(f"Written to {path}: {counts['nodes']} nodes, {counts['links']} links, scan {graph.scan}")
    if shown is not None:
        print_line(f"  {counts['supernodes']} supernodes; names that hold: {shown.n_hold}, others begin with ?")


def _supernodes(measured: Measured, graph: "PlainGraph") -> FileSupernodes | None:
    """What the run that the graph was found in named in it."""
    if measured.folder is None or measured.measurement is None:
        return None
    return file_supernodes(graph, run_supernodes(measured.measurement, measured.folder, kept_by(measured.folder)))


def find_graph(home: Path, of: str) -> Measured:
    """A measured graph by run, measurement or file.

    Raises:
        ToolError: a run with several graphs or none, or a measurement of another instrument.
        UnknownRun: no such run.
        UnreadableFile: a file that holds no graph, or was changed after it was written.
    """
    if Path(of).is_file():
        return _from_file(Path(of))
    if MEASUREMENT_ID.fullmatch(of):
        return _measured(*kept_anywhere(home, of, _WANTED))
    folder = RunFolder.open(home, of)
    graphs = [found for found in kept_by(folder) if found.tool == TOOL]
    if len(graphs) == 1:
        return _measured(graphs[0], folder)
    if not graphs:
        raise ToolError(
            f"Run {folder.name} holds no finished attribution graph.",
            mend="Ask `Why does the model answer 'ANSWER' after 'PROMPT'?`, go on with a stopped run by `vesalius ask "
            "--resume`, or measure one with `vesalius run attribution_graph`.",
        )
    listed = ", ".join(f"{graph.id} ({cut(str(graph.args.get('prompt')))})" for graph in graphs)
    raise ToolError(f"Run {folder.name} has {len(graphs)} attribution graphs.", mend=f"Give one of them: {listed}.")


def _from_file(path: Path) -> Measured:
    """A measurement as `vesalius run --json` prints it, or a result alone."""
    from ...tools import read_text

    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path} is no JSON: {error}. {_WANTED}") from error
    if isinstance(value, dict) and value.keys() >= {"tool", "result", "digest"}:
        try:
            found = Measurement.model_validate(value)
        except ValidationError as error:
            raise _unreadable(str(path), error) from error
        if found.digest != digest(found.result):
            raise UnreadableFile(f"{path} was changed after it was written: its result has another digest. {_WANTED}")
        return _measured(found)
    return Measured(_result(value, str(path)), None)


def _measured(measurement: Measurement, folder: RunFolder | None = None) -> Measured:
    if measurement.tool != TOOL:
        raise ToolError(f"{measurement.id} is a measurement of {measurement.tool}, which is no graph.", mend=_WANTED)
    return Measured(_result(measurement.result, measurement.id), measurement, folder)


def _result(value: Any, where: str) -> "AttributionGraphResult":
    from ...tools import AttributionGraphResult

    try:
        return AttributionGraphResult.model_validate(value)
    except ValidationError as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: ValidationError) -> UnreadableFile:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"])) or "the whole"
    return UnreadableFile(
        f"{where} holds no attribution graph of this version: `{field}`: {first['msg']}. {_WANTED} "
        "A graph of an earlier version can be measured again with `vesalius run attribution_graph`."
    )


def _weights(measured: Measured, model: str | None, device: str) -> tuple[str, str]:
    """Name and fingerprint of the weights that were measured. A measurement says both; only a result alone, or a model
    that was given to be compared, needs the model itself.

    Raises:
        ToolError: no model to a result alone, other weights than were measured, or a prompt of other tokens.
    """
    key = measured.measurement.subject if measured.measurement else None
    if model is not None:
        name, fingerprint = model, _fingerprint(measured, model, device)
    elif key is not None:
        name, fingerprint = key.model, key.fingerprint
    else:
        raise ToolError("A result alone does not say which model was measured.", mend="Pass `--model`.")
    twin = "" if key is None or key.reinit_seed is None else f"+reinit{key.reinit_seed}"
    return name, fingerprint + twin


def _fingerprint(measured: Measured, model: str, device: str) -> str:
    """Of a model, if the graph can be its own."""
    from ...tools import load_subject

    subject = load_subject(model, device)
    fingerprint = subject.key.fingerprint
    if measured.measurement and measured.measurement.subject.fingerprint != fingerprint:
        raise ToolError(
            f"The graph was measured on other weights than those of {model}.",
            mend="Leave `--model` out: the measurement says which weights it was made on.",
        )
    ids = subject.tokenise([measured.result.prompt]).ids[0].tolist()
    if tuple(ids) != tuple(node.token_id for node in measured.result.nodes if node.kind == "token"):
        raise ToolError(
            f"{model} reads the graph's prompt as other tokens.", mend="Pass the right model with `--model`."
        )
    return fingerprint


def show_command(path: Path, top: int, as_json: bool) -> None:
    """Nodes and strongest links of a graph file."""
    graph = read_graph(path)
    links = sorted(graph.links, key=lambda link: (-abs(link.weight), link.target, link.source))
    nodes = sorted(graph.nodes, key=_least_important_last)
    if as_json:
        print_json(
            graph.model_dump(mode="python", exclude={"nodes", "links"})
            | {"n_nodes": len(nodes), "n_links": len(links)}
            | {"nodes": [node.model_dump() for node in nodes], "strongest_links": [x.model_dump() for x in links[:top]]}
        )
        return
    kinds = [f"{kind}s {sum(node.kind == kind for node in nodes)}" for kind in ("feature", "error", "token", "logit")]
    print_line(f"{cut(graph.slug) or path.name}, scan {cut(graph.scan) or 'not given'}")
    print_line(f"  prompt  {cut(graph.prompt)}")
    print_line(f"  nodes   {', '.join(kinds)}; links {len(links)}")
    if graph.left_out:
        print_line(f"  beside  {', '.join(f'{cut(name)}: {count}' for name, count in graph.left_out.items())}")
    print_line("")
    heads = ("node", "what", "activation or probability", "cumulative influence")
    print_table(heads, [_node_row(node) for node in nodes[:top]])
    if len(nodes) > top:
        print_line(f"  and {len(nodes) - top} nodes more (--top)")
    print_line("")
    print_table(("from", "to", "weight"), [(x.source, x.target, _short(x.weight)) for x in links[:top]])
    if len(links) > top:
        print_line(f"  and {len(links) - top} links more (--top)")


def read_graph(path: Path) -> "PlainGraph":
    """A graph file in GraphML or the JSON of circuit-tracer and Neuronpedia, told apart by how it begins.

    Raises:
        ToolError: neither, or no sound graph.
    """
    from ...tools import graph_from_json, read_text

    text = read_text(path)
    if text.lstrip()[:1] == "<":
        from ...tools import graph_from_graphml

        return graph_from_graphml(text)
    return graph_from_json(text)


def _least_important_last(node: "PlainNode") -> tuple[bool, float, str]:
    """Answers first, the likeliest before others; then by cumulative influence."""
    if node.kind == "logit":
        return False, -(node.probability or 0.0), node.id
    return True, math.inf if node.influence is None else node.influence, node.id


def _node_row(node: "PlainNode") -> tuple[str, ...]:
    value = node.probability if node.kind == "logit" else node.activation
    what = cut(node.label) or f"{node.kind} at {cut(repr(node.token))}"
    return node.id, what, "" if value is None else _short(value), _short(node.influence)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"
