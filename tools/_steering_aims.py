"""Directions at the sites that are written, and the pushes along them or along random ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._linear_probe import ProbeFit
from ._steering import Mode, Passages, Push, Pushes, coefficient


@dataclass(frozen=True)
class Aim:
    """A direction at one site, and how long values are there."""

    rows: Float[Tensor, "*any d_model"]  # mean length 1
    reading: Float[Tensor, " d_model"]  # length 1
    length: float  # of the direction as it was found or given (units)
    unit: float
    probe: ProbeFit | None

    def push(self, mode: Mode, strength: float, along: Float[Tensor, "*any d_model"] | None = None) -> Push:
        """The push of that strength, or one exactly as long along something else."""
        return Push(self.reading, self.rows if along is None else along, coefficient(mode, strength, self.unit))

    def random_rows(self, draws: int, generator: torch.Generator) -> Float[Tensor, "batch *any d_model"]:
        """Random directions whose rows are as long as this one's."""
        noise = torch.randn(draws, *self.rows.shape, generator=generator).to(self.rows)
        return noise / noise.norm(dim=-1, keepdim=True) * self.rows.norm(dim=-1, keepdim=True)


Aims = Mapping[str, Aim]
"""By site."""


def pushes_of(
    aims: Aims, mode: Mode, strength: float, along: Mapping[str, Float[Tensor, "*any d_model"]] | None = None
) -> Pushes:
    """Every site pushed along its own direction, or along others."""
    return {site: aim.push(mode, strength, None if along is None else along[site]) for site, aim in aims.items()}


def random_directions(aims: Aims, draws: int, seed: int) -> list[dict[str, Float[Tensor, "*any d_model"]]]:
    """Random directions for every site, as long as the aims' own; one mapping for each draw."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {site: aim.random_rows(draws, generator) for site, aim in aims.items()}
    return [{site: rows[draw] for site, rows in drawn.items()} for draw in range(draws)]


def no_op_change(measured: Sequence[Passages], aims: Aims, mode: Mode) -> float:
    """Largest change of any logit when nothing is pushed, or every projection is set to what it is."""
    if mode == "clamp":
        readings = {site: aim.reading for site, aim in aims.items()}
        return max(passages.change_when_kept(readings) for passages in measured)
    return max(passages.change_by(pushes_of(aims, mode, 0.0)) for passages in measured)
