"""What can be patched: a site, whose value is replaced, or a feature of a dictionary, which is added to what it writes.

A feature's change is additive: (new less own activation) times what it writes is added at that token, to the site that
its dictionary writes and to those of later layers that it writes to. So what the dictionary misses stays in the run,
and a feature given its own activation changes nothing. Its control in random draws is another feature of its layer that
writes a vector of the same length.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ._base import ToolError
from ._dictionary import Dictionary, FeatureLayer, Transcoder
from ._hooks import Edit
from ._sites import refuse_read_only
from ._subject import Subject

Where = Sequence[tuple[int, ...]]
"""Per prompt the tokens at a position."""


@runtime_checkable
class Place(Protocol):
    """What is patched."""

    @property
    def name(self) -> str:
        """Canonical name, as results print it."""
        ...

    @property
    def reads(self) -> str:
        """Site that its value is read from."""
        ...

    def value(self, site: Tensor) -> Tensor:
        """Its value from that of the site."""
        ...

    def edits(self, where: Where, values: Sequence[Tensor], own: Sequence[Tensor]) -> list[tuple[str, Edit]]:
        """What gives it these values in runs that have their own ones."""
        ...


@dataclass(frozen=True)
class SitePlace:
    """A site of the subject."""

    name: str

    @property
    def reads(self) -> str:
        return self.name

    def value(self, site: Tensor) -> Tensor:
        return site

    def edits(self, where: Where, values: Sequence[Tensor], own: Sequence[Tensor]) -> list[tuple[str, Edit]]:
        return [(self.name, partial(_write, where=where, values=values))]


@dataclass(frozen=True)
class FeaturePlace:
    """A feature of a dictionary; its value has width one."""

    layer: FeatureLayer
    feature: int
    writes: tuple[tuple[str, Float[Tensor, " d_model"]], ...]  # site, and what one unit of activation adds there

    @property
    def name(self) -> str:
        return f"{self.layer.layer}/{self.feature}"

    @property
    def reads(self) -> str:
        return self.layer.reads

    def value(self, site: Tensor) -> Tensor:
        return self.layer.acts(site)[..., self.feature, None]

    def edits(self, where: Where, values: Sequence[Tensor], own: Sequence[Tensor]) -> list[tuple[str, Edit]]:
        change = [value - mine for value, mine in zip(values, own, strict=True)]
        return [
            (site, partial(_add, where=where, values=[one * vector for one in change])) for site, vector in self.writes
        ]

    def another(self, generator: torch.Generator) -> "FeaturePlace":
        """A random other feature of its layer that writes to the same sites, as long a vector to each."""
        decoders = (self.layer.W_dec, *self.layer.W_dec_later)
        for other in torch.randperm(self.layer.n_features, generator=generator).tolist():
            if other != self.feature and all(W[other].any() for W in decoders):
                due = (W[self.feature].norm() / W[other].norm() for W in decoders)
                theirs = zip(_written(self.layer, other), due, strict=True)
                return replace(self, writes=tuple((site, vector * ratio) for (site, vector), ratio in theirs))
        raise ToolError(
            f"Layer {self.layer.layer} has no other feature than {self.feature} that writes where it does.",
            mend="Ask for no `random_draws`, or use a dictionary with more features.",
        )


def places_of(subject: Subject, names: Sequence[str], load: Callable[[], Dictionary]) -> list[Place]:
    """The places of these names: LAYER/FEATURE is a feature, anything else a site.

    Args:
        load: Finds the dictionary; called when a feature is named.

    Raises:
        ToolError: no such site or feature, or a site that can be read alone.
    """
    if not any("/" in name for name in names):
        return _sites(subject, names)
    dictionary = load()
    return [_feature(dictionary, name) if "/" in name else _sites(subject, [name])[0] for name in names]


def _sites(subject: Subject, names: Sequence[str]) -> list[Place]:
    sites = [subject.site(name) for name in names]
    refuse_read_only(sites)
    return [SitePlace(str(site)) for site in sites]


def _feature(dictionary: Dictionary, name: str) -> FeaturePlace:
    layer, feature = dictionary.feature(name)
    return FeaturePlace(layer, feature, _written(layer, feature))


def _written(layer: FeatureLayer, feature: int) -> tuple[tuple[str, Tensor], ...]:
    """By site what one unit of a feature adds."""
    if not isinstance(layer, Transcoder):  # a neuron: its own site, in front of the norm that may stand behind the MLP
        one = layer.W_dec.new_zeros(layer.n_features)
        one[feature] = 1
        return ((layer.reads, one),)
    decoders = (layer.W_dec, *layer.W_dec_later)
    return tuple((f"{layer.writes_at}.{layer.layer + later}", W[feature]) for later, W in enumerate(decoders))


def joined(edits: Iterable[tuple[str, Edit]]) -> Mapping[str, Edit]:
    """One edit per site: those of one site one after the other."""
    found: dict[str, Edit] = {}
    for site, edit in edits:
        found[site] = partial(_after, found[site], edit) if site in found else edit
    return found


def _after(first: Edit, second: Edit, current: Tensor) -> Tensor:
    return second(first(current))


def _write(current: Tensor, where: Where, values: Sequence[Tensor]) -> Tensor:
    written = current.clone()
    for row, (positions, value) in enumerate(zip(where, values, strict=True)):
        written[row, list(positions)] = value.to(written.dtype)
    return written


def _add(current: Tensor, where: Where, values: Sequence[Tensor]) -> Tensor:
    written = current.clone()
    for row, (positions, value) in enumerate(zip(where, values, strict=True)):
        written[row, list(positions)] += value.to(written.dtype)
    return written
