"""What an intervention on features adds to what MLPs write, and random features that add as much.

A change is additive: (new minus clean activation) times what the feature writes, so what a dictionary misses stays as
it was. A neuron's change enters in front of the norm that Gemma has behind its MLPs, a transcoder's behind it, because
a transcoder stands in for both.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import working_type
from ._base import ToolError
from ._dictionary import Dictionary, FeatureLayer, Neurons
from ._reader import Tokens
from ._rerun import Outcome, Rerun
from ._stand_ins import standing_in
from ._subject import Subject

MIN_DRAWS = 20  # random features that a control is made of
Mode = Literal["set", "scale", "ablate"]


@dataclass(frozen=True)
class Place:
    """A feature at some tokens."""

    layer: FeatureLayer
    feature: int
    positions: tuple[int, ...]

    @property
    def name(self) -> str:
        """As it is written, without a position."""
        return f"{self.layer.layer}/{self.feature}"


@dataclass(frozen=True)
class Change:
    """What becomes of a feature."""

    place: Place
    clean: Float[Tensor, " pos"]  # activation at each position of the place
    new: Float[Tensor, " pos"]


def place_of(subject: Subject, dictionary: Dictionary, name: str, tokens: Tokens) -> Place:
    """The feature LAYER/FEATURE at all tokens but special ones, or LAYER/FEATURE@POS at that token.

    Raises:
        ToolError: written otherwise, no such feature or token, or a feature that stands in for no MLP.
    """
    found = re.fullmatch(r"(\d+/\d+)(?:@(\d+))?", name.strip())
    if not found:
        raise ToolError(
            f"`{name}` names no feature.", mend="Write it as LAYER/FEATURE or LAYER/FEATURE@POS, for example 1/37@4."
        )
    layer, feature = dictionary.feature(found[1])
    standing_in(layer)
    length = tokens.lengths[0]
    if found[2] is None:
        text = subject.reader.is_text(tokens)[0].nonzero()[:, 0].tolist()
        if not text:
            raise ToolError("The prompt has special tokens alone.", mend=f"Say which to write: `{name}@0`.")
        return Place(layer, feature, tuple(text))
    if int(found[2]) >= length:
        raise ToolError(
            f"`{name}`: the prompt has no token {found[2]}.", mend=f"It has {length} tokens: 0..{length - 1}."
        )
    return Place(layer, feature, (int(found[2]),))


def refuse_doubles(places: Sequence[Place]) -> None:
    """Refuse a feature that is named twice at one token.

    Raises:
        ToolError: there is one.
    """
    seen: set[tuple[str, int]] = set()
    for place in places:
        for at in place.positions:
            if (place.name, at) in seen:
                raise ToolError(f"Feature {place.name} is named twice at token {at}.", mend="Name it once.")
            seen.add((place.name, at))


def change_of(rerun: Rerun, place: Place, mode: Mode, value: float) -> Change:
    """What becomes of a feature's activations: to scale or ablate, at those of the tokens where it is active.

    Raises:
        ToolError: to scale or ablate a feature that is active at none of the tokens.
    """
    every = rerun.wide(place.layer.acts(rerun.sites[place.layer.reads])[:, place.feature])
    clean = every[list(place.positions)]
    if mode != "set" and not clean.any():
        active = ", ".join(map(str, every.nonzero()[:, 0].tolist()))
        named = f"It is active at {active}. Name such a token: `{place.name}@POS`; or"
        raise ToolError(
            f"Feature {place.name} is active at none of the tokens {', '.join(map(str, place.positions))}: there is "
            f"nothing to {mode}.",
            mend=f"{named if active else 'It is active nowhere;'} use mode `set`.",
        )
    if mode == "set":
        return Change(place, clean, torch.full_like(clean, value))
    there = tuple(at for at, one in zip(place.positions, clean.tolist(), strict=True) if one)
    active_ones = clean[clean != 0]
    return Change(replace(place, positions=there), active_ones, active_ones * (value if mode == "scale" else 0.0))


class Plan:
    """What is added in each run: nothing, the intervention, and then random features of the same layers."""

    def __init__(self, rerun: Rerun, changes: Sequence[Change], n_draws: int, seed: int) -> None:
        self._rerun, self._n_rows = rerun, n_draws + 2
        self.in_front = isinstance(changes[0].place.layer, Neurons)
        drawn = _drawn(rerun, changes, n_draws, torch.Generator().manual_seed(seed))
        self.added: dict[int, Float[Tensor, "batch pos d_model"]] = {}
        for change in changes:
            place = change.place
            features = torch.tensor([place.feature, *drawn[place.name]])
            delta = change.new - change.clean
            for later, decoder in enumerate(decoders(rerun, place.layer)):
                written = rerun.wide(decoder[features.to(decoder.device)])
                into = self._into(place.layer.layer + later)
                into[1:, list(place.positions)] += written[:, None] * delta[:, None]
        for written in self.added.values():
            lengths = written.norm(dim=-1, keepdim=True)
            written[2:] *= lengths[1:2] / lengths[2:].clamp(min=1e-20)

    @property
    def length(self) -> float:
        """Length of all that the intervention adds."""
        return sum(written[1].pow(2).sum().item() for written in self.added.values()) ** 0.5

    def _into(self, layer: int) -> Tensor:
        if layer not in self.added:
            start = self._rerun.sites["resid_pre.0"]
            self.added[layer] = self._rerun.wide(start.new_zeros(self._n_rows, *start.shape))
        return self.added[layer]


def decoders(rerun: Rerun, layer: FeatureLayer) -> tuple[Float[Tensor, "feature d_model"], ...]:
    """What a layer's features write to their own MLP's output and to later ones."""
    if isinstance(layer, Neurons):
        return (rerun.subject.weights(layer.layer).W_down,)
    return (layer.W_dec, *layer.W_dec_later)


def _drawn(rerun: Rerun, changes: Sequence[Change], n_draws: int, generator: torch.Generator) -> dict[str, list[int]]:
    """Per changed feature the random ones in its place: none twice in a draw, none again before most had a turn."""
    found: dict[str, list[int]] = {}
    layers = {change.place.layer.layer: change.place.layer for change in changes}
    for number, layer in layers.items():
        mine = list(dict.fromkeys(c.place.name for c in changes if c.place.layer.layer == number))
        changed = {c.place.feature for c in changes if c.place.layer.layer == number}
        writes = torch.stack([decoder.any(-1) for decoder in decoders(rerun, layer)]).all(0)
        others = [feature for feature in writes.nonzero()[:, 0].tolist() if feature not in changed]
        due = max(MIN_DRAWS, len(mine))
        if len(others) < due:
            raise ToolError(
                f"Layer {number} has {len(others)} other features that write anything; controls need {due}.",
                mend="Change fewer features of it, or use a dictionary with more.",
            )
        groups = _groups(others, len(mine), n_draws, generator)
        found |= {name: [group[i] for group in groups] for i, name in enumerate(mine)}
    return found


def _groups(others: list[int], size: int, count: int, generator: torch.Generator) -> list[list[int]]:
    groups: list[list[int]] = []
    while len(groups) < count:
        order = torch.randperm(len(others), generator=generator).tolist()
        groups += [[others[i] for i in order[start : start + size]] for start in range(0, len(order) - size + 1, size)]
    return groups[:count]


@dataclass(frozen=True)
class Reading:
    """One feature at one token, in every run."""

    activation: Float[Tensor, " batch"]
    moved: Float[Tensor, " batch"]  # how far the value has moved that links into it are about


def readings(rerun: Rerun, outcome: Outcome, places: Sequence[Place]) -> Iterator[Reading]:
    """What features make of their changed input, compared with the first of the runs."""
    for place in places:
        layer, (at,), chosen = place.layer, place.positions, torch.tensor([place.feature])
        mlp_in = outcome.mlp_in[layer.layer][:, at]
        native = mlp_in.to(rerun.subject.model.dtype)
        acts = _neurons(layer, native) if isinstance(layer, Neurons) else layer.acts(native)
        vector, _ = layer.listens(native[0], chosen.to(native.device))
        yield Reading(rerun.wide(acts[:, place.feature]), (mlp_in - mlp_in[:1]) @ working_type(vector)(vector[0]))


def _neurons(layer: Neurons, mlp_in: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch feature"]:
    seen: list[Tensor] = []
    handle = layer.mlp_output.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        with torch.no_grad():
            layer.mlp(mlp_in[:, None])
    finally:
        handle.remove()
    return seen[0][:, 0]
