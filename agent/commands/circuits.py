"""`vesalius circuit`: the circuit that a run found, in the form of MIB (Mueller et al. 2025)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...tools import Measurement, ToolError
from ..runs import UnreadableFile, write_whole
from ..settings import Settings
from .kept import find_measurement
from .output import print_json, print_line

if TYPE_CHECKING:
    from ...tools import CircuitGraph, Link

TOOL = "circuit_search"
_MAKE = (
    "Ask `Where is BEHAVIOUR computed?` with --pairs, or measure one: `vesalius run circuit_search --help`; the id of "
    "what it finds can be given here."
)


def export_command(settings: Settings, of: str, out: Path | None, as_json: bool) -> None:
    """Write a circuit as MIB's JSON: every link of the model with its score, and which are in the circuit."""
    from ...tools import mib_circuit

    found = find_measurement(settings.home, of, TOOL, _MAKE)
    graph = _graph_of(found, settings.device)
    scores, circuit = links_of(found, graph.links)
    file = mib_circuit(graph, scores, circuit)
    named = Path(f"circuit-{found.id}.json")
    path = named if out is None else out / named if out.is_dir() else out
    write_whole(path, json.dumps(file, indent=1) + "\n")
    n_nodes = sum(node["in_graph"] for node in file["nodes"].values())
    if as_json:
        counts = {"links": len(circuit), "links_of_model": len(scores), "nodes": n_nodes}
        print_json({"path": str(path), "format": "mib", "measurement": found.id} | counts)
        return
    print_line(f"Written to {path}: {len(circuit)} of {len(scores)} links are in the circuit, {n_nodes} nodes")


def _graph_of(found: Measurement, device: str) -> "CircuitGraph":
    """The graph of the subject that was measured, whose sizes a measurement does not say.

    Raises:
        ToolError: the subject cannot be loaded, or has other weights by now.
    """
    from ...tools import CircuitGraph, load_subject

    subject = load_subject(found.subject.model, device)
    if subject.key.fingerprint != found.subject.fingerprint:
        raise ToolError(
            f"`{found.subject.model}` has other weights than were measured: fingerprint "
            f"{subject.key.fingerprint[:12]}, not {found.subject.fingerprint[:12]}.",
            mend="Get the weights that were measured, or search for the circuit again.",
        )
    return CircuitGraph(subject.shape)


def links_of(found: Measurement, links: "Sequence[Link]") -> "tuple[dict[Link, float], set[Link]]":
    """Scores of all links, and the circuit: whatever the method, it holds the links of the largest scores.

    Raises:
        UnreadableFile: the measurement scores another number of links.
    """
    scores: list[float] = found.result["scores"]
    if len(scores) != len(links):
        raise UnreadableFile(
            f"{found.id} scores {len(scores)} links, where `{found.subject.model}` has {len(links)}. Search for the "
            "circuit again: another version of this program measured it."
        )
    strongest = sorted(range(len(links)), key=lambda i: -abs(scores[i]))[: found.result["n_circuit"]]
    return dict(zip(links, scores, strict=True)), {links[i] for i in strongest}
