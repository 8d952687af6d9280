"""A circuit by cutting links one after another, from the output backwards, for as long as nothing is lost.

Conmy, Mavor-Parker, Lynch, Heimersheim, Garriga-Alonso 2023, "Towards Automated Circuit Discovery" (ACDC). Slots are
taken in reverse order and, in each, nodes in reverse order; a link stays cut unless that changes the answer by the
threshold or more; what nothing kept reads is cut without a run. The measure is the logit difference as a share of the
gap, on the family where it changes most; the paper's is the divergence from the whole model's distribution. Of parts
that each suffice, it keeps one.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._base import Progress, silent
from ._circuit_graph import END
from ._circuit_runs import CircuitRuns

AT_ONCE = 32  # links whose cutting, one after the other, is run in one batch


class _Cutting:
    """The circuit as it is so far, and how its families answer."""

    def __init__(self, runs: Sequence[CircuitRuns]) -> None:
        self.runs, self.graph = runs, runs[0].graph
        self.kept: Bool[Tensor, " _"] = torch.ones(len(self.graph.links), dtype=torch.bool)
        self.scores: Float[Tensor, " _"] = torch.zeros(len(self.graph.links))
        self.answers = self.of(self.kept[None])[0]

    def of(self, kept: Bool[Tensor, "_ _"]) -> Float[Tensor, "_ _"]:
        """Mean answers of circuits (rows) on families (columns), as shares of the gap."""
        return torch.stack([one.answers_of(kept.float()).mean(1) / one.gap for one in self.runs], 1).cpu()

    def is_read(self, slot: str) -> bool:
        """Whether what a slot has a part in is still read."""
        nodes = self.graph.nodes_of(slot)
        return slot == END or any(
            source in nodes for (source, _), kept in zip(self.graph.links, self.kept.tolist(), strict=True) if kept
        )

    def cut(self, links: Sequence[int], threshold: float) -> int:
        """Cut these one after the other up to the first that matters; tells how many were settled."""
        sets = self.kept.repeat(len(links), 1)
        for row, link in enumerate(links):
            sets[row:, link] = False
        answers = torch.cat([self.answers[None], self.of(sets)])
        changes = answers[:-1] - answers[1:]
        largest = changes.gather(1, changes.abs().argmax(1)[:, None])[:, 0]
        matters = (largest.abs() >= threshold).nonzero()[:1, 0].tolist()
        settled = matters[0] + 1 if matters else len(links)
        self.scores[list(links[:settled])] = largest[:settled]
        cut = links[: settled - len(matters)]
        self.kept[list(cut)] = False
        self.answers = answers[len(cut)]
        return settled


def greedy(
    runs: Sequence[CircuitRuns], threshold: float, progress: Progress = silent
) -> tuple[Bool[Tensor, " _"], Float[Tensor, " _"]]:
    """The links that are kept, and how much the answer changed when each was tried (share of the gap; 0 if not)."""
    cutting = _Cutting(runs)
    places = runs[0].places
    slots = list(reversed(cutting.graph.slots))
    for done, slot in enumerate(slots):
        progress(done, len(slots), f"cutting links into {slot}")
        due = [places[node, slot] for node in reversed(cutting.graph.read_by(slot))]
        if not cutting.is_read(slot):
            cutting.kept[due] = False
            continue
        while due:
            due = due[cutting.cut(due[:AT_ONCE], threshold) :]
    return cutting.kept, cutting.scores
