"""How selective units look for one set of prompts over another: by how active they are, or by what gradients say.

| score | of a unit |
| --- | --- |
| `activation` | difference of mean sizes over their pooled standard deviation; a neuron's size is its absolute activation, a head's or layer's the length of its value, mean over tokens |
| `attribution` | difference of the shares that ablating it should take, to first order: gradient of the answer's height times (value - what ablation puts there), summed over tokens (attribution patching, Nanda 2023) |

The axis feature counts units or dimensions of a site; d_model is a site's width.
"""  # noqa: E501  # a table's row cannot be broken

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._base import Progress
from ._hooks import hooked
from ._unit_ablation import Exam
from ._units import Units

Score = Literal["activation", "attribution"]
TINY = 1e-12


@dataclass(frozen=True)
class UnitReadings:
    """What every unit and site does on every prompt."""

    sizes: Float[Tensor, "batch feature"]
    slopes: Float[Tensor, "batch feature"]  # gradient times value, summed over tokens (nats)
    gradients: dict[str, Float[Tensor, "batch d_model"]]  # by site, summed over tokens
    values: dict[str, Float[Tensor, "batch d_model"]]  # by site, mean over tokens
    units: Units

    def means(self, rows: Bool[Tensor, " batch"]) -> dict[str, Float[Tensor, " d_model"]]:
        """By site the mean over some prompts."""
        return {site: value[rows].mean(0) for site, value in self.values.items()}

    def expected_losses(
        self, rows: Bool[Tensor, " batch"], means: dict[str, Float[Tensor, " d_model"]]
    ) -> Float[Tensor, "_ feature"]:
        """Per prompt and unit how far ablation should bring the answer down, to first order (nats).

        Args:
            means: What ablation puts there, by site; empty for zero.
        """
        if not means:
            return self.slopes[rows]
        kept = {site: gradient[rows] * means[site] for site, gradient in self.gradients.items()}
        return self.slopes[rows] - _by_unit(self.units, kept)


def read_units(exam: Exam, units: Units, progress: Progress) -> UnitReadings:
    """Run every prompt once with gradients of its answer's height at every unit."""
    names = [site for sites in units.sites for site in sites]
    parts: list[tuple[dict[str, Tensor], ...]] = []
    for rows, _ in exam.subject.passes(exam.tokens):
        progress(rows.start, len(exam.answers), "reading units")
        parts.append(_read(exam, rows, names, units))
    sizes, slopes, gradients, values = (
        {name: torch.cat([part[kind][name] for part in parts]) for name in names} for kind in range(4)
    )
    return UnitReadings(_by_unit(units, sizes), _by_unit(units, slopes), gradients, values, units)


def _read(exam: Exam, rows: slice, names: Sequence[str], units: Units) -> tuple[dict[str, Tensor], ...]:
    """By site its sizes, gradient times value, gradients and values of some prompts."""
    subject, mask = exam.subject, exam.mask[rows]
    added: dict[str, Tensor] = {}

    def nudge(name: str):  # adds zeros whose gradient is the site's, without cutting the graph before it
        def edit(value: Tensor) -> Tensor:
            added[name] = torch.zeros_like(value, requires_grad=True)
            return value + added[name]

        return edit

    sites = {subject.site(name): name for name in names}
    edits = {site: nudge(name) for site, name in sites.items()}
    tokens = exam.tokens.take(rows)
    with torch.enable_grad(), hooked(subject.architecture, subject.shape.d_head, set(sites), edits) as seen:
        logits = subject.model(tokens.ids, use_cache=False).logits
        last = logits[torch.arange(len(tokens.lengths)), tokens.last].float()
        heights = last[torch.arange(len(last)), exam.answers[rows].to(last.device)] - last.mean(-1)
        found = torch.autograd.grad(heights.sum(), [added[name] for name in names])
    count = mask.sum(-1, keepdim=True)
    sizes, slopes, gradients, values = {}, {}, {}, {}
    for site, gradient in zip(sites, found, strict=True):
        name, value = sites[site], seen[site].detach().float() * mask[..., None]
        size = value.abs() if units.level == "neurons" else value.norm(dim=-1, keepdim=True)
        sizes[name], values[name] = (size.sum(1) / count).cpu(), (value.sum(1) / count).cpu()
        masked = gradient.float() * mask[..., None]
        gradients[name], slopes[name] = masked.sum(1).cpu(), (masked * value).sum(1).cpu()
    return sizes, slopes, gradients, values


def _by_unit(units: Units, by_site: dict[str, Tensor]) -> Float[Tensor, "batch feature"]:
    """One column for each unit: a neuron's own, and for other units the sum over their sites' dimensions."""
    columns = []
    for sites in units.sites:
        parts = [by_site[site] for site in sites]
        columns += parts if units.level == "neurons" else [sum(part.sum(-1, keepdim=True) for part in parts)]
    return torch.cat(columns, -1)


def selectivity_scores(
    exam: Exam,
    readings: UnitReadings,
    finding: Bool[Tensor, " batch"],
    means: dict[str, Float[Tensor, " d_model"]],
    score: Score,
) -> Float[Tensor, " feature"]:
    """Per unit how selective it looks for the first set, on the prompts of one fold; negative for the second."""
    one, two = finding & exam.of_first, finding & ~exam.of_first
    if score == "attribution":
        lost = [readings.expected_losses(rows, means).mean(0) for rows in (one, two)]
        return lost[0] / exam.scale[0] - lost[1] / exam.scale[1]
    first, second = readings.sizes[one], readings.sizes[two]
    spread = (first.var(0, correction=0) + second.var(0, correction=0)) / 2
    return (first.mean(0) - second.mean(0)) / (spread + TINY).sqrt()
