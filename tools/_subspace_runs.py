"""Pairs whose base runs get one subspace of a site from their donors, at one position."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen
from ._patch_places import SitePlace
from ._patching import Patching
from ._positions import differing_positions, token_positions
from ._reader import Tokens
from ._subspaces import exchanged, random_subspace

PROMPTS_AT_ONCE = 512  # of all draws together


class Patched(Frozen):
    """What exchanging one subspace does, over all pairs."""

    dimension: int = Field(description="Dimensions that were exchanged (count); 0 where there is no such part.")
    effect: float = Field(description="Mean over pairs of (clean - patched) / gap (share).")
    moved: float = Field(description="Pairs whose most likely token became the foil (share).")
    effects: tuple[float, ...] = Field(description="Effect of each pair (share of the mean gap).")
    answers_moved: tuple[bool, ...] = Field(description="Whether each pair's most likely token became the foil.")


@dataclass(frozen=True)
class Exchange:
    """One site and position of pairs; values are lists, per pair [tokens at the position, width]."""

    patching: Patching
    site: str
    position: str

    @property
    def own(self) -> list[Tensor]:
        """The base runs' own values."""
        return self.patching.base_values(self.site, self.position)

    @property
    def donor(self) -> list[Tensor]:
        """The values that they are given."""
        return self.patching.donor_values(self.site, self.position, "source", None)

    def of_subspace(self, basis: Float[Tensor, "feature d_model"]) -> Patched:
        """The subspace taken from the donors, the rest from the bases."""
        return self._patched(self._mixed(self.donor, basis), len(basis))

    def of_component(self) -> Patched:
        """The whole value taken from the donors."""
        return self._patched(self.donor, self.own[0].shape[-1])

    def of_random_subspaces(self, like: Float[Tensor, "feature d_model"], seeds: Sequence[int]) -> tuple[float, ...]:
        """Mean effect of exchanging each of as many random subspaces of the same dimension."""
        return self._mean_effects([self._mixed(self.donor, random_subspace(like, seed)) for seed in seeds])

    def of_random_pushes(self, basis: Float[Tensor, "feature d_model"], seeds: Sequence[int]) -> tuple[float, ...]:
        """Mean effect of moving each token as far as exchanging the subspace does, in one random direction per seed."""
        moved = {self.site: self._mixed(self.donor, basis)}
        return self._mean_effects(
            [self.patching.random_values(self.position, moved, seed)[self.site] for seed in seeds]
        )

    def no_op_change(self, basis: Float[Tensor, "feature d_model"]) -> float:
        """Largest change of any logit when the subspace is taken from the base itself."""
        return self.patching.logits_changed_by(self.position, {self.site: self._mixed(self.own, basis)})

    @cached_property
    def places(self) -> list[tuple[int, ...]]:
        """Tokens of each base that are written."""
        subject, at = self.patching.subject, self.position
        return [
            differing_positions(subject, p.base, p.corrupted)
            if at == "differs"
            else token_positions(subject, p.base, at, p.base_entity)
            for p in self.patching.pairs
        ]

    def _mixed(self, donors: Sequence[Tensor], basis: Float[Tensor, "feature d_model"]) -> list[Tensor]:
        return [exchanged(own, donor, basis) for own, donor in zip(self.own, donors, strict=True)]

    def _patched(self, values: list[Tensor], dimension: int) -> Patched:
        drops, moved = self.patching.effect_of(self.position, {self.site: values})
        effects = [drop / self.patching.gap for drop in drops]
        return Patched(
            dimension=dimension,
            effect=sum(effects) / len(effects),
            moved=sum(moved) / len(moved),
            effects=tuple(effects),
            answers_moved=tuple(moved),
        )

    def _mean_effects(self, variants: Sequence[list[Tensor]]) -> tuple[float, ...]:
        """Mean effect of each way to write the values: many ways in one pass, each a copy of the pairs."""
        patching, n = self.patching, len(self.patching.pairs)
        tokens = patching.tokens
        effects: list[float] = []
        at_once = max(1, PROMPTS_AT_ONCE // n)
        for start in range(0, len(variants), at_once):
            some = variants[start : start + at_once]
            copies = Tokens(tokens.ids.repeat(len(some), 1), tokens.lengths * len(some))
            values, places = [value for each in some for value in each], self.places * len(some)

            def edits(rows: slice, values: list[Tensor] = values, places: Sequence[tuple[int, ...]] = places):
                return dict(SitePlace(self.site).edits(places[rows], values[rows], values[rows]))

            logits = patching.subject.last_logits(copies, edits)
            drops = [patching.clean - patching.differences(part) for part in logits.split(n)]
            effects += [drop.mean().item() / patching.gap for drop in drops]
        return tuple(effects)
