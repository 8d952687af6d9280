"""One organism, every method: what each says of the links whose truth is known, and how long it took.

Methods run through their instruments, with the arguments that a user would give. Effects of single links measured by
path patching are both a method and what the fast scores are compared with. Fast are methods that make no run for each
link: gradients make a fixed number, secants one or two for each slot. Of these `secant_patch` measures some links as it
goes, the likely strongest; so the figure of the fast scores is that of `secant_patch_whole`, the same instrument with
one run for all nodes of a slot, which measures none by itself but those into the logits and those into slots that one
node alone moves. In compiled organisms such slots are many, and a large part of what their figure shows.

Contextual decomposition has no row. Its paper scores components; with links as sources it makes a split for each, and
live, as its instrument leaves norms and attention by default, that is path patching again at several times the time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...tools import CircuitGraph, Link, Progress, get_tool, silent
from ..organisms._organism import Organism
from ._circuit_metrics import average_precision, found_at, link_auroc, score_pearson

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
ALL_LINKS = 100_000
Scores = Mapping[Link, float]


@dataclass(frozen=True)
class Verdict:
    """What one method says of one organism."""

    auroc: float
    precision: float
    recall: float  # of the true links, at 5 % of the gap (share)
    false: int  # links found there that are not true (count)
    cpu_s: float
    pearson: float | None = None  # of fast scores and exact effects, over families and links


@dataclass(frozen=True)
class Trial:
    """One organism."""

    name: str
    kind: str
    n_links: int
    n_true: int
    verdicts: Mapping[str, Verdict]
    searched: Mapping[str, Any] = field(default_factory=dict)  # result of the search: curve, complement, overlap


def trial(organism: Organism, seed: int, progress: Progress = silent) -> Trial:
    """Every method on one organism."""
    graph = CircuitGraph(organism.subject.shape)
    found: dict[str, tuple[dict[str, Scores], float]] = {}
    for done, method in enumerate((*FAST, EXACT)):
        progress(done, len(METHODS), f"{organism.name}: {method}")
        found[method] = _timed(lambda method=method: _by_family(organism, method))
    progress(len(METHODS) - 1, len(METHODS), f"{organism.name}: {SEARCH}")
    result, seconds = _timed(lambda: _search(organism, seed))
    exact = found[EXACT][0]
    verdicts = {method: _verdict(organism, graph, _union(scores), cpu_s) for method, (scores, cpu_s) in found.items()}
    for method in FAST:
        verdicts[method] = replace(verdicts[method], pearson=_pearson(found[method][0], exact, graph))
    ranked = dict(zip(graph.links, result["scores"], strict=True))
    verdicts[SEARCH] = _verdict(organism, graph, ranked, seconds)
    return Trial(organism.name, organism.kind, len(graph.links), len(organism.links), verdicts, result)


def _verdict(organism: Organism, graph: CircuitGraph, scores: Scores, cpu_s: float) -> Verdict:
    at = found_at(scores, organism.links, graph.links)
    return Verdict(
        auroc=link_auroc(scores, organism.links, graph.links),
        precision=average_precision(scores, organism.links, graph.links),
        recall=at.recall,
        false=at.false,
        cpu_s=cpu_s,
    )


def _by_family(organism: Organism, method: str) -> dict[str, Scores]:
    """Of each counterfactual family, every link's score as a share of the family's gap."""
    families = _families(organism)
    if method == EXACT:
        return {family["name"]: _exact(organism, family["pairs"]) for family in families}
    instrument, more = FAST[method]
    result = _run(organism, instrument, {"families": families, "top": ALL_LINKS, "check": 0, **more})
    found: dict[str, dict[Link, float]] = {family["name"]: {} for family in families}
    for one in result["scored"]:
        for said in one["families"]:
            found[said["family"]][one["source"], one["slot"]] = said["effect"]
    return dict(found)


def _exact(organism: Organism, pairs: Sequence[Mapping[str, Any]]) -> Scores:
    graph = CircuitGraph(organism.subject.shape)
    cells = _run(organism, EXACT, {"pairs": pairs})["cells"]
    return {graph.link(link): cell["effect"] for cell in cells for link in cell["links"]}


def _search(organism: Organism, seed: int) -> dict[str, Any]:
    return _run(organism, SEARCH, {"families": _families(organism), "seed": seed})


def _families(organism: Organism) -> list[dict[str, Any]]:
    return [
        {"name": name, "pairs": [pair.model_dump(mode="json") for pair in pairs]}
        for name, pairs in organism.families.items()
    ]


def _run(organism: Organism, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    instrument = get_tool(name)
    return instrument(organism.subject, instrument.parse(dict(args))).model_dump(mode="json")


def _union(by_family: Mapping[str, Scores]) -> Scores:
    """Of each link the score that is largest in size."""
    links = {link for scores in by_family.values() for link in scores}
    return {link: max((scores.get(link, 0.0) for scores in by_family.values()), key=abs) for link in links}


def _pearson(scores: Mapping[str, Scores], exact: Mapping[str, Scores], graph: CircuitGraph) -> float | None:
    """Over all links of all families together."""
    flat, true = (
        {(f"{family}: {source}", slot): value for family, one in side.items() for (source, slot), value in one.items()}
        for side in (scores, exact)
    )
    names = [(f"{family}: {source}", slot) for family in exact for source, slot in graph.links]
    return score_pearson(flat, true, names)


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What came out, and the seconds of processor time that it took."""
    started = time.process_time()
    return run(), time.process_time() - started
