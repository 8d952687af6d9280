"""A subspace learned from discovery pairs: the difference of their class means, or an alignment search."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ._alignment_search import Learned, Lesson, Search, aligned_subspace, class_subspace, dealt_anew
from ._base import Frozen, Progress
from ._pair_answers import Pair
from ._sites import Site
from ._subspace_runs import Exchange


@dataclass(frozen=True)
class Found:
    """A subspace, and what is known of its learning."""

    basis: Float[Tensor, "feature d_model"]
    effect: float | None = None  # on the discovery pairs (share of their gap)
    losses: tuple[float, float] | None = None  # first and last (nats)


class Recipe(Frozen):
    """How a subspace is learned."""

    direction: Literal["difference", "das"]
    dimension: int
    search: Search
    shuffle: bool
    seed: int


def find_subspace(exchange: Exchange, site: Site, recipe: Recipe, progress: Progress) -> Found:
    """The subspace that the pairs teach, with its effect on them.

    Raises:
        ToolError: fewer classes than the dimensions asked for need, or a search that runs out of numbers.
    """
    if recipe.direction == "difference":
        basis, losses = _of_classes(exchange, recipe), None
    else:
        learned = _searched(exchange, site, recipe, progress)
        basis, losses = learned.basis, (learned.first_loss, learned.last_loss)
    return Found(basis, exchange.of_subspace(basis).effect, losses)


def _of_classes(exchange: Exchange, recipe: Recipe) -> Float[Tensor, "feature d_model"]:
    pairs = exchange.patching.pairs
    labels = [p.base_label or "base" for p in pairs] + [p.source_label or "source" for p in pairs]
    if recipe.shuffle:
        keys = [p.base_entity or p.base for p in pairs] + [_donor_of(p) for p in pairs]
        labels = dealt_anew(keys, labels, recipe.seed)
    values = torch.stack([value.float().mean(0) for value in (*exchange.own, *exchange.donor)])
    return class_subspace(values, labels, recipe.dimension)


def _searched(exchange: Exchange, site: Site, recipe: Recipe, progress: Progress) -> Learned:
    patching = exchange.patching
    foils = [p.foil for p in patching.pairs]
    if recipe.shuffle:
        foils = dealt_anew([_donor_of(p) for p in patching.pairs], foils, recipe.seed)
    subject = patching.subject
    due = [subject.answer_token(p.base, foil) for p, foil in zip(patching.pairs, foils, strict=True)]
    lesson = Lesson(
        tokens=patching.tokens,
        places=exchange.places,
        own=exchange.own,
        donor=exchange.donor,
        due=torch.tensor(due),
    )
    return aligned_subspace(subject, site, lesson, recipe.dimension, recipe.search, recipe.seed, progress)


def _donor_of(pair: Pair) -> str:
    return pair.source_entity or pair.donor
