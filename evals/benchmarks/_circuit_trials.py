"""One organism, every method: what each says of the links whose truth is known, and how long it took.

Methods run through their instruments, with the arguments that a user would give. Effects of single links measured by
path patching are both a method and what the fast scores are compared with. Fast are methods that make no run for each
link: gradients make a fixed number, secants one or two for each slot. Of these `secant_patch` measures some links as it
goes, the likely strongest; so the figure of the fast scores is that of `secant_patch_whole`, the same instrument with
one run for all nodes of a slot, which measures none by itself but those into the logits and those into slots that one
node alone moves. In compiled organisms such slots are many, and a large part of what their figure shows.

Contextual decomposition is measured on nodes alone (`_circuit_nodes.py`), which its paper scores. With links as sources
it makes a split for each, and live, as its instrument leaves norms and attention by default, that is path patching
again at several times the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...tools import CircuitGraph, Link, Progress, silent
from ..organisms._organism import Organism
from ._circuit_metrics import Verdict, score_pearson, union, verdict
from ._circuit_nodes import NodeTrial, node_trial
from ._organism_runs import families_of, run_on, scored_by_family, timed

EXACT, SEARCH = "path_patch", "circuit_search"
FAST: dict[str, tuple[str, dict[str, Any]]] = {  # instrument and arguments
    "eap": ("eap", {}),
    "eap_ig": ("eap_ig", {}),
    "relp": ("relp", {}),
    "secant_patch": ("secant_patch", {}),
    "secant_patch_whole": ("secant_patch", {"first": "whole", "runs": 1}),
}
METHODS = (*FAST, EXACT, SEARCH)
MAIN_FAST = "secant_patch_whole"  # whose correlation with exact patching is the figure of the fast scores
Scores = Mapping[Link, float]


@dataclass(frozen=True)
class Trial:
    """One organism."""

    name: str
    kind: str
    n_links: int
    n_true: int
    verdicts: Mapping[str, Verdict]  # on links
    nodes: NodeTrial
    searched: Mapping[str, Any] = field(default_factory=dict)  # result of the search: curve, complement, overlap


def trial(organism: Organism, seed: int, progress: Progress = silent) -> Trial:
    """Every method on one organism."""
    links = CircuitGraph(organism.subject.shape).links
    found: dict[str, tuple[dict[str, Scores], float]] = {}
    for done, method in enumerate((*FAST, EXACT)):
        progress(done, len(METHODS), f"{organism.name}: {method}")
        found[method] = timed(lambda method=method: _by_family(organism, method))
    progress(len(METHODS) - 1, len(METHODS), f"{organism.name}: {SEARCH}")
    result, seconds = timed(lambda: _search(organism, seed))
    exact = found[EXACT][0]
    pearsons = {method: score_pearson(found[method][0], exact, links) for method in FAST}
    scores = {method: (union(by_family), cpu_s) for method, (by_family, cpu_s) in found.items()}
    scores[SEARCH] = dict(zip(links, result["scores"], strict=True)), seconds
    verdicts = {
        method: verdict(said, organism.links, links, cpu_s, pearsons.get(method))
        for method, (said, cpu_s) in scores.items()
    }
    nodes = node_trial(organism, scores, progress)
    return Trial(organism.name, organism.kind, len(links), len(organism.links), verdicts, nodes, result)


def _by_family(organism: Organism, method: str) -> Mapping[str, Scores]:
    """Of each counterfactual family, every link's score as a share of the family's gap."""
    if method == EXACT:
        return {family["name"]: _exact(organism, family["pairs"]) for family in families_of(organism)}
    return scored_by_family(organism, *FAST[method])


def _exact(organism: Organism, pairs: Sequence[Mapping[str, Any]]) -> Scores:
    graph = CircuitGraph(organism.subject.shape)
    cells = run_on(organism, EXACT, {"pairs": pairs})["cells"]
    return {graph.link(link): cell["effect"] for cell in cells for link in cell["links"]}


def _search(organism: Organism, seed: int) -> dict[str, Any]:
    return run_on(organism, SEARCH, {"families": families_of(organism), "seed": seed})
