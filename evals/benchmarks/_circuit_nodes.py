"""Nodes of an organism: which heads and MLPs each method finds.

The truth follows from the links and is no second one: a node is true where it writes in a true link. `embed` is left
out. It writes in every circuit, and cutting all of it is running the counterfactual itself, so that its exact effect is
1 by definition: it would give every method a node that it cannot miss. (The logits are no node: they read.) Where all
heads and MLPs are true, or none, there is nothing to tell apart, and the organism has no figures. Where the instrument
of an estimate refuses an organism, that method has none there, and why is kept.

Three kinds of methods. Estimates: `attribution_patch`, and `contextual_decomposition` to the answer as its instrument
leaves it and, `_frozen`, with norms and patterns of attention held as its paper holds them; both against the
counterfactual. Exact: `patch_sweep`, a node's score being the largest over tokens, and `cut`, the whole node at all
tokens at once, which is the control that `attribution_patch` measures where `check` asks for it (so its time has the
estimate in it) and what the estimates are compared with; `patch` takes one token's or the differing tokens' value.
And methods that score links: a node's score is the largest of its links, as a true node is one with a true link. They
take no further run, and their time is that of the links.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ...tools import CircuitGraph, Link, Progress, ToolError, silent
from ..organisms._organism import Organism
from ._circuit_metrics import Verdict, score_pearson, union, verdict
from ._organism_runs import ALL_PARTS, families_of, run_on, scored_by_family, timed

Scores = Mapping[str, Mapping[str, float]]  # by family and node
CUT, SWEEP = "cut", "patch_sweep"


def heads_and_mlps(organism: Organism) -> tuple[str, ...]:
    """All nodes but the first, `embed`."""
    return CircuitGraph(organism.subject.shape).nodes[1:]


def _attributed(organism: Organism, value: str = "effect", check: int = 0) -> Scores:
    nodes = heads_and_mlps(organism)
    found = scored_by_family(organism, "attribution_patch", {"check": check}, value)
    return {family: {node: scores[node, ""] for node in nodes} for family, scores in found.items()}


def _decomposed(organism: Organism, **held: str) -> Scores:
    nodes = heads_and_mlps(organism)
    found: dict[str, Mapping[str, float]] = {}
    for family in families_of(organism):
        said = run_on(organism, "contextual_decomposition", {"pairs": family["pairs"], "nodes": nodes, **held})
        found[family["name"]] = {one["source"]: one["share"] for one in said["relevances"]}
    return found


def _swept(organism: Organism) -> Scores:
    found: dict[str, Mapping[str, float]] = {}
    for family in families_of(organism):
        said = run_on(organism, SWEEP, {"pairs": family["pairs"], "kinds": ("head", "mlp_out")})
        found[family["name"]] = {
            f"{grid['kind']}.{layer}" + (f".{head}" if grid["kind"] == "head" else ""): max(by_token, key=abs)
            for grid in said["grids"]
            for layer, by_head in enumerate(grid["effect"])
            for head, by_token in enumerate(by_head)
        }
    return found


ESTIMATES: dict[str, Callable[[Organism], Scores]] = {
    "attribution_patch": _attributed,
    "contextual_decomposition": _decomposed,
    "contextual_decomposition_frozen": partial(_decomposed, norms="frozen", attention="frozen"),
}
EXACT_OF_NODES: dict[str, Callable[[Organism], Scores]] = {
    CUT: partial(_attributed, value="measured", check=ALL_PARTS),
    SWEEP: _swept,
}
OF_NODES = {**ESTIMATES, **EXACT_OF_NODES}


@dataclass(frozen=True)
class NodeTrial:
    """Nodes of one organism."""

    n_nodes: int  # heads and MLPs
    n_true: int
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)  # empty where all of them are true, or none
    refused: Mapping[str, str] = field(default_factory=dict)  # why a method has no verdict


def node_trial(
    organism: Organism, of_links: Mapping[str, tuple[Mapping[Link, float], float]], progress: Progress = silent
) -> NodeTrial:
    """Every method on the nodes of one organism.

    Args:
        of_links: By method the scores of links over all families, and the seconds that they took.
    """
    nodes = heads_and_mlps(organism)
    true = organism.nodes.intersection(nodes)
    if not 0 < len(true) < len(nodes):
        return NodeTrial(len(nodes), len(true))
    found: dict[str, tuple[Scores, float]] = {}
    refused: dict[str, str] = {}
    for done, (method, score) in enumerate(OF_NODES.items()):
        progress(done, len(OF_NODES), f"{organism.name}: nodes by {method}")
        try:
            found[method] = timed(lambda score=score: score(organism))
        except ToolError as error:
            if method in EXACT_OF_NODES:
                raise
            refused[method] = str(error)
    exact = found[CUT][0]
    verdicts = {
        method: verdict(
            union(scores), true, nodes, cpu_s, score_pearson(scores, exact, nodes) if method in ESTIMATES else None
        )
        for method, (scores, cpu_s) in found.items()
    }
    for method, (links, cpu_s) in of_links.items():
        verdicts[method] = verdict(strongest_link(links, nodes), true, nodes, cpu_s, None)
    return NodeTrial(len(nodes), len(true), verdicts, refused)


def strongest_link(links: Mapping[Link, float], nodes: Sequence[str]) -> dict[str, float]:
    """Of each node the score that is largest in size among the links that it writes in; 0 without any."""
    found = dict.fromkeys(nodes, 0.0)
    for (source, _), score in links.items():
        if source in found:
            found[source] = max(found[source], score, key=abs)
    return found
