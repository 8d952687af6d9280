"""Subspaces learned from pairs: class means, and distributed alignment search.

Distributed alignment search after Geiger et al. 2023, "Finding Alignments Between Interpretable Causal Variables and
Distributed Neural Representations" (arXiv 2303.02536): an orthogonal map is trained so that exchanging the first
dimensions of the rotated value makes the model give the counterfactual's answer. Deviations: only those dimensions are
stored, as an orthonormal basis that a QR decomposition takes from free weights (the others do not change what is
exchanged), and their number is fixed, where boundaries of a rotated space can be learned too.

The axis feature counts dimensions of a subspace; d_model is the site's width.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from ._base import Frozen, Progress, ToolError
from ._hooks import hooked
from ._reader import Tokens
from ._sites import Site
from ._subject import Subject
from ._subspaces import orthonormal

SMALLEST_CLASS_SPREAD = 1e-4  # of the largest: a smaller one is rounding


class Search(Frozen):
    """How a subspace is searched for."""

    steps: int = Field(200, ge=1, le=100_000, description="Steps of Adam (count).")
    rate: float = Field(0.05, gt=0, le=10, description="Its learning rate at the first step; it falls to 0 linearly.")
    batch: int = Field(32, ge=1, le=10_000, description="Pairs of each step, drawn anew (count).")


@dataclass(frozen=True)
class Lesson:
    """Base runs at one position, what they are given, and the answer that is then due."""

    tokens: Tokens
    places: Sequence[tuple[int, ...]]
    own: Sequence[Tensor]  # per pair [tokens at the position, width]
    donor: Sequence[Tensor]
    due: Int[Tensor, " batch"]  # the counterfactual's answers


@dataclass(frozen=True)
class Learned:
    """A subspace, and the loss on its way."""

    basis: Float[Tensor, "feature d_model"]
    first_loss: float  # nats
    last_loss: float


def dealt_anew(keys: Sequence[str], values: Sequence[str], seed: int) -> list[str]:
    """Values exchanged between keys; equal keys keep sharing one value."""
    of = dict(zip(keys, values, strict=True))
    dealt = list(of.values())
    random.Random(seed).shuffle(dealt)
    new = dict(zip(of, dealt, strict=True))
    return [new[key] for key in keys]


def class_subspace(
    values: Float[Tensor, "batch d_model"], labels: Sequence[str], dimension: int
) -> Float[Tensor, "feature d_model"]:
    """The directions in which the means of classes differ most; of two classes, the difference of their means.

    Raises:
        ToolError: more dimensions than classes less one, or means that do not differ in so many.
    """
    classes = sorted(set(labels))
    if dimension >= len(classes):
        raise ToolError(
            f"{len(classes)} classes differ in {len(classes) - 1} dimensions at most, and {dimension} were asked for.",
            mend=f"Ask for 1..{len(classes) - 1}, or give the discovery pairs more labels.",
        )
    of = torch.tensor([classes.index(label) for label in labels], device=values.device)
    means = torch.stack([values[of == index].mean(0) for index in range(len(classes))])
    if len(classes) == 2:
        spread = (means[1] - means[0])[None]
        sizes = spread.norm(dim=-1)
    else:
        _, sizes, spread = torch.linalg.svd((means - means.mean(0)).cpu().double(), full_matrices=False)
    if sizes[dimension - 1] <= SMALLEST_CLASS_SPREAD * sizes.max():
        raise ToolError(
            f"The classes' means do not differ in {dimension} dimensions.", mend="Ask for fewer, or other pairs."
        )
    chosen = spread[:dimension].to(values)
    return orthonormal(chosen / chosen.norm(dim=-1, keepdim=True))


def aligned_subspace(
    subject: Subject, site: Site, lesson: Lesson, dimension: int, search: Search, seed: int, progress: Progress
) -> Learned:
    """The subspace whose exchange makes the counterfactual's answer most likely, as far as the search finds it.

    Raises:
        ToolError: a loss that is no number.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(lesson.own[0].shape[-1], dimension, generator=generator)
    weights = (start / start.norm(dim=0)).to(subject.device).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=search.rate)
    losses: list[float] = []
    for step in range(search.steps):
        progress(step, search.steps, "searching the subspace")
        optimiser.param_groups[0]["lr"] = search.rate * (1 - step / search.steps)
        rows = torch.randperm(len(lesson.own), generator=generator)[: search.batch].tolist()
        with torch.enable_grad():
            loss = _loss(subject, site, lesson, rows, torch.linalg.qr(weights)[0].T)
            (weights.grad,) = torch.autograd.grad(loss, weights)
        losses.append(loss.item())
        if not torch.isfinite(weights.grad).all():
            raise ToolError(f"The search's loss is {losses[-1]:g} at step {step}.", mend="Use a smaller rate.")
        optimiser.step()
    progress(search.steps, search.steps, "searched the subspace")
    basis = torch.linalg.qr(weights.detach())[0].T.contiguous()
    return Learned(basis, losses[0], losses[-1])


def _loss(
    subject: Subject, site: Site, lesson: Lesson, rows: list[int], basis: Float[Tensor, "feature d_model"]
) -> Float[Tensor, ""]:
    """Mean cross entropy of the counterfactual's answers (nats)."""
    lengths = tuple(lesson.tokens.lengths[row] for row in rows)
    ids = lesson.tokens.ids[rows, : max(lengths)]
    at = [(i, place) for i, row in enumerate(rows) for place in lesson.places[row]]
    index = tuple(torch.tensor(part, device=ids.device) for part in zip(*at, strict=True))
    differences = torch.cat([lesson.donor[row].float() - lesson.own[row].float() for row in rows])
    moved = differences @ basis.T @ basis

    def write(value: Tensor) -> Tensor:
        return value.index_put(index, moved.to(value.dtype), accumulate=True)

    with hooked(subject.architecture, subject.shape.d_head, set(), {site: write}):
        logits = subject.model(ids, use_cache=False).logits
    last = torch.tensor(lengths, device=ids.device) - 1
    answers = logits[torch.arange(len(rows), device=ids.device), last].float()
    return cross_entropy(answers, lesson.due[rows].to(ids.device))
