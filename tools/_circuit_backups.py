"""Links that only show when what they stand in for is gone: scores in the subject, and in it with nodes taken out.

A backup head writes nothing while the first head works. Cut a link of the first and the backup answers; cut a link of
the backup and the first does: links of both have no effect, though both are part of how the model answers. So links are
scored again in copies of the subject with nodes taken out (`contexts`), wherever the answer survives that:

1. In the subject as it is. Nodes with a link above the threshold are found.
2. Without each found node. Where the answer survives, nodes that show only now stand in for it.
3. Without each node that came up so, alone and together with those that came up beside it: now the links of what they
   stand in for show. And without both sides, for what stands in for the backup.

This goes on until no context finds another node. A link has the score of the family and the context in which it is
largest, as a share of the gap of the whole subject: what little a broken copy still does counts for little.

In each context gradients rank all links and the strongest are then measured, by cutting them. Gradients miss what acts
through saturated attention, so every slot is measured too, with all links into it cut, and where that reaches the
threshold, every link into it. After Wang et al. 2022 (backup heads) and McGrath et al. 2023 (self-repair); the order of
contexts is ours.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._base import Progress, silent
from ._circuit_families import Family
from ._circuit_graph import START, CircuitGraph, Link
from ._circuit_lesions import without
from ._circuit_methods import Method
from ._circuit_scores import Asking, drops_without, union

Out = frozenset[str]


@dataclass(frozen=True)
class Plan:
    """How to look."""

    method: Method
    most_steps: int
    check: int  # strongest links by gradients to cut, per family and context (count)
    slots: bool  # whether slots are cut as a whole, and all links into those that matter
    threshold: float  # share of the gap
    most_contexts: int  # the subject as it is among them (count)


@dataclass(frozen=True)
class Context:
    """Scores in the subject with some nodes taken out."""

    out: Out
    left: tuple[float, ...]  # of each family's gap (share)
    shares: tuple[Float[Tensor, "_ _"], ...]  # by family: of each pair and link, a share of the whole subject's gap
    screened: tuple[Float[Tensor, " _"], ...]  # by family: what gradients said

    @property
    def means(self) -> list[Float[Tensor, " _"]]:
        """By family: of each link, over the pairs."""
        return [shares.mean(0) for shares in self.shares]

    def strong(self, graph: CircuitGraph, threshold: float) -> set[str]:
        """Heads and MLPs with a link that is strong here.

        In the whole subject by gradients too: of two that each suffice, cutting either moves nothing.
        """
        largest = torch.stack([*self.means, *(() if self.out else self.screened)]).abs().max(0).values
        return set(_nodes(graph, [graph.links[i] for i in (largest >= threshold).nonzero()[:, 0].tolist()]))


@dataclass(frozen=True)
class Searched:
    """Every context that was looked into, the subject as it is first."""

    graph: CircuitGraph
    contexts: tuple[Context, ...]
    n_left: int  # contexts that the limit left out (count)

    def scores(self) -> tuple[Float[Tensor, " _"], list[tuple[int, int]]]:
        """The union over contexts and families, and for each link its context and family."""
        places = [(c, f) for c, context in enumerate(self.contexts) for f in range(len(context.shares))]
        best, which = union([self.contexts[c].means[f] for c, f in places])
        return best, [places[i] for i in which.tolist()]


def search(
    asking: Asking, families: Sequence[Family], plan: Plan, backups: bool = True, progress: Progress = silent
) -> Searched:
    """Look into the subject, and where `backups` into it without nodes, until nothing new comes up."""
    gaps = [runs.gap for runs in asking.runs]
    due, seen, known = deque[Out]([Out()]), {Out()}, set[str]()
    contexts: list[Context] = []
    while due and len(contexts) < plan.most_contexts:
        out = due.popleft()
        progress(len(contexts), len(contexts) + len(due) + 1, f"without {', '.join(sorted(out)) or 'nothing'}")
        here = asking if not out else Asking.unrefused(without(asking.subject, out), families)
        contexts.append(_context(here, gaps, out, plan))
        fresh = contexts[-1].strong(asking.graph, plan.threshold) - known - out
        known |= fresh
        for more in _next(out, fresh) if backups else ():
            if more not in seen:
                seen.add(more)
                due.append(more)
    return Searched(asking.graph, tuple(contexts), len(due))


def _next(out: Out, fresh: Collection[str]) -> Iterator[Out]:
    """What to take out after this brought up some nodes."""
    for node in sorted(fresh):
        yield Out({node})
    if out and fresh:
        yield Out(fresh)
        yield out | Out(fresh)


def _context(here: Asking, gaps: Sequence[float], out: Out, plan: Plan) -> Context:
    shares: list[Tensor] = []
    screened: list[Tensor] = []
    left = tuple((runs.clean - runs.corrupted).mean().item() / gap for runs, gap in zip(here.runs, gaps, strict=True))
    for place, (gap, alive) in enumerate(zip(gaps, left, strict=True)):
        if abs(alive) < plan.threshold:  # nothing that could be cut any more
            nothing = torch.zeros(len(here.asked[place].pairs), len(here.graph.links))
            shares.append(nothing)
            screened.append(nothing[0])
            continue
        scores = here.family(place, plan.method, plan.most_steps)
        screened.append(scores.drops.mean(0) / gap)
        shares.append(_measured(here, place, scores.drops / gap, gap, plan))
    return Context(out, left, tuple(shares), tuple(screened))


def _measured(
    here: Asking, place: int, screened: Float[Tensor, "batch _"], gap: float, plan: Plan
) -> Float[Tensor, "batch _"]:
    """Shares of the gap by gradients, and in their place measured ones where those are worth it."""
    links, runs = here.graph.links, here.runs[place]
    worth = set(screened.mean(0).abs().topk(min(plan.check, len(links))).indices.tolist())
    if plan.slots:
        into = {slot: [(node, slot) for node in here.graph.read_by(slot)] for slot in here.graph.slots}
        whole = drops_without(runs, list(into.values())).mean(0) / gap
        strong = (
            one for one, effect in zip(into.values(), whole.tolist(), strict=True) if abs(effect) >= plan.threshold
        )
        worth |= {runs.places[link] for group in strong for link in group}
    if not worth:
        return screened
    chosen = sorted(worth)
    measured = drops_without(runs, [[links[i]] for i in chosen]) / gap
    return screened.index_copy(1, torch.tensor(chosen), measured.to(screened))


def _nodes(graph: CircuitGraph, links: Collection[Link]) -> Iterator[str]:
    for source, slot in links:
        if source != START:
            yield source
        yield from graph.nodes_of(slot)
