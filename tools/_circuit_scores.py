"""Scores of links by family as shares of the family's own gap, and their union.

The union of several families gives a link the score of the family in which it is largest in size: a circuit is what
moves the answer in one way or another. Each family is divided by its own gap first, so that none drowns the others.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._base import Progress, silent
from ._circuit_families import Asked, Family, ask
from ._circuit_graph import CircuitGraph, Link
from ._circuit_methods import Method, completeness, node_scores, pair_sums
from ._circuit_rules import GRADIENT, Rules
from ._circuit_runs import CircuitRuns
from ._subject import Subject

COMPLETE = 0.02  # of the gap: how far a sum may be from what it must be when there were points enough


@dataclass(frozen=True)
class FamilyScores:
    """What one family says of every link, or of every node."""

    name: str
    clusters: tuple[str, ...]  # of each pair
    runs: CircuitRuns
    drops: Float[Tensor, "batch _"]  # nats
    steps: int = 1  # points that gradients were taken at
    complete: float | None = None  # share of the gap that the links of the start add up to; none where they need not

    @property
    def gap(self) -> float:
        """Mean of clean minus corrupted (nats)."""
        return self.runs.gap

    @cached_property
    def shares(self) -> Float[Tensor, "batch _"]:
        """Per pair, as a share of the mean gap."""
        return self.drops / self.gap

    @cached_property
    def mean(self) -> Float[Tensor, " _"]:
        """Over the pairs."""
        return self.shares.mean(0)


@dataclass(frozen=True)
class Asking:
    """Families on a subject, refused where one cannot be measured, and run once."""

    subject: Subject
    asked: tuple[Asked, ...]
    runs: tuple[CircuitRuns, ...]

    @classmethod
    def of(cls, subject: Subject, families: Sequence[Family]) -> "Asking":
        """
        Raises:
            ToolError: a family that cannot be measured, or one without a gap.
        """
        made = cls.unrefused(subject, families)
        _ = [runs.gap for runs in made.runs]  # refused before anything is scored
        return made

    @classmethod
    def unrefused(cls, subject: Subject, families: Sequence[Family]) -> "Asking":
        """Families of which some may be without a gap, as where the subject was broken on purpose."""
        asked = ask(subject, families)
        return cls(subject, asked, tuple(CircuitRuns(subject, family.pairs) for family in families))

    @cached_property
    def graph(self) -> CircuitGraph:
        """Nodes, slots and links."""
        return CircuitGraph(self.subject.shape)

    def links(self, method: Method, most_steps: int | None = None, progress: Progress = silent) -> list[FamilyScores]:
        """Scores of all links, by family.

        Args:
            most_steps: Between two embeddings, steps are tripled up to this many until the scores are complete.
        """
        found: list[FamilyScores] = []
        for place, one in enumerate(self.asked):
            progress(place, len(self.asked), f"scoring links by {one.name!r}")
            found.append(self.family(place, method, most_steps))
        return found

    def family(self, place: int, method: Method, most_steps: int | None = None) -> FamilyScores:
        """Scores of all links by one family, with as many points as it takes."""
        one, runs = self.asked[place], self.runs[place]
        sums = pair_sums(one, method, method.shares)
        while True:
            scores = FamilyScores(one.name, one.clusters, runs, sums / len(method.shares), method.steps)
            if method.along != "inputs":
                return scores
            share = completeness(one, scores.drops).mean().item() / runs.gap
            finer = method._replace(steps=3 * method.steps)
            if abs(share - 1) <= COMPLETE or finer.steps > (most_steps or method.steps):
                return replace(scores, complete=share)
            # Of three times as many middles, each third is one of before.
            sums = sums + pair_sums(one, finer, [s for i, s in enumerate(finer.shares) if i % 3 != 1])
            method = finer

    def nodes(self, rules: Rules = GRADIENT, progress: Progress = silent) -> list[FamilyScores]:
        """Scores of all nodes."""

        def score(one: Asked, runs: CircuitRuns) -> FamilyScores:
            return FamilyScores(one.name, one.clusters, runs, node_scores(one, rules))

        return self._each("scoring nodes", score, progress)

    def exact(self, cuts: Sequence[Collection[Link]], progress: Progress = silent) -> list[FamilyScores]:
        """What happens when each of these sets of links carries the counterfactual: measured, a run for each."""

        def measure(one: Asked, runs: CircuitRuns) -> FamilyScores:
            return FamilyScores(one.name, one.clusters, runs, drops_without(runs, cuts))

        return self._each("cutting links", measure, progress)

    def _each(
        self, what: str, make: Callable[[Asked, CircuitRuns], FamilyScores], progress: Progress
    ) -> list[FamilyScores]:
        found: list[FamilyScores] = []
        for done, (one, runs) in enumerate(zip(self.asked, self.runs, strict=True)):
            progress(done, len(self.asked), f"{what} by {one.name!r}")
            found.append(make(one, runs))
        return found


def drops_without(runs: CircuitRuns, cuts: Sequence[Collection[Link]]) -> Float[Tensor, "batch _"]:
    """How far each pair's logit difference falls when each of these sets of links carries the counterfactual (nats)."""
    kept = torch.ones(len(cuts), len(runs.graph.links))
    for row, links in enumerate(cuts):
        kept[row, [runs.places[link] for link in links]] = 0
    return (runs.clean[None] - runs.answers_of(kept)).T.cpu()


def union(scores: Sequence[Float[Tensor, " _"]]) -> tuple[Float[Tensor, " _"], Int[Tensor, " _"]]:
    """Of each link the score that is largest in size, and which of them that is."""
    together = torch.stack(list(scores))
    best = together.abs().argmax(0)
    return together.gather(0, best[None])[0], best
