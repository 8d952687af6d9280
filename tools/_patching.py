"""The batch behind activation patching: pairs tokenised and run once, then run again with values written into them."""

import random
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, ToolError
from ._hooks import Edit
from ._pair_answers import Pair, PairAnswers, gap_between
from ._part_runs import Direction
from ._patch_places import FeaturePlace, Place, joined
from ._positions import check_position, differing_positions, token_positions
from ._reader import Tokens
from ._subject import Subject

Values = dict[str, list[Tensor]]
"""By place what is written, per pair [tokens at the position, width]."""


class Labelled(Frozen):
    """A reference prompt of a known class."""

    prompt: str = Field(description="Prompt to read.")
    entity: str = Field("", description="Word at position `entity`.")
    label: str = Field("", description="Its class; needed for `class_mean`.")


class Reference:
    """Labelled prompts, and what their classes have in common at a place."""

    def __init__(
        self,
        subject: Subject,
        prompts: Sequence[str],
        entities: Sequence[str],
        labels: Sequence[str],
        places: Sequence[Place],
        positions: Sequence[str],
    ) -> None:
        if "differs" in positions:
            raise ToolError("Reference prompts have no position `differs`.", mend="Use `last` or `entity`.")
        self._labels, self.prompts = list(labels), list(prompts)
        where = {
            position: [token_positions(subject, p, position, e) for p, e in zip(prompts, entities, strict=True)]
            for position in positions
        }
        _, self._values = _read(subject, subject.tokenise(prompts), places, where)

    def mean(self, place: str, position: str, label: str | None = None) -> Tensor:
        """Mean over the reference prompts, or over those of one class: [tokens at the position, place's width]."""
        values = zip(self._values[place, position], self._labels, strict=True)
        rows = [value for value, its_label in values if label is None or its_label == label]
        widths = {row.shape[0] for row in rows}
        if len(widths) != 1:
            raise ToolError(
                f"Reference prompts have {sorted(widths)} tokens at `{position}`.",
                mend="Use entities that the tokenizer writes with equally many tokens.",
            )
        return torch.stack(rows).mean(0)

    def of(self, place: str, position: str) -> list[Tensor]:
        """Each reference prompt's value [tokens at the position, place's width]."""
        return self._values[place, position]


class Patching:
    """Pairs on a subject: their clean and corrupted answers, and their answers under any write.

    The prompt that runs and is patched is the base, and with direction `denoising` the counterfactual, which then takes
    values from the base.
    """

    def __init__(
        self,
        subject: Subject,
        pairs: Sequence[Pair],
        places: Sequence[Place],
        positions: Sequence[str],
        direction: Direction = "noising",
    ) -> None:
        self.subject, self.direction = subject, direction
        for position in positions:
            check_position(position)
        self._asked = PairAnswers(subject, pairs)
        _ = self._asked.foils  # refused before anything runs
        self.pairs = list(pairs) if direction == "noising" else [_turned(pair) for pair in pairs]
        self._places = {place.name: place for place in places}
        self._where = {p: [self._of_run(pair, p) for pair in self.pairs] for p in positions}
        self._source_where = {p: [self._of_source(pair, p) for pair in self.pairs] for p in positions}
        self._refuse_unequal(positions)
        self.tokens: Tokens = subject.tokenise([p.base for p in self.pairs])
        self._logits, self._own = _read(subject, self.tokens, places, self._where)
        _, self._donor = _read(subject, subject.tokenise([p.donor for p in self.pairs]), places, self._source_where)
        others = subject.last_logits(subject.tokenise([p.corrupted for p in self.pairs]))
        clean, corrupted = (self._logits, others) if direction == "noising" else (others, self._logits)
        self.clean, self.corrupted = self.differences(clean), self.differences(corrupted)
        self.clean_correct = self._asked.right(clean)
        self.gap = gap_between(self.clean, self.corrupted)
        self.largest_logit = self._logits.abs().max().item()

    def base_values(self, place: str, position: str) -> list[Tensor]:
        """The own values of the prompts that run, per pair [tokens at the position, width]."""
        return self._own[place, position]

    def donor_values(
        self, place: str, position: str, value: str, reference: Reference | None, seed: int = 0
    ) -> list[Tensor]:
        """What is to be written, per pair [tokens at the position, width].

        Raises:
            ToolError: the reference prompts have another number of tokens at the position than a prompt that runs, or
                there is none to draw from.
        """
        own = self.base_values(place, position)
        if value == "source":
            return self._donor[place, position]
        if value == "zero":
            return [torch.zeros_like(x) for x in own]
        if value == "resample":
            return self._resampled(place, position, reference, seed)
        assert reference is not None, f"value {value} without reference prompts passed validation"
        labels = {None} if value == "mean" else {x for p in self.pairs for x in (p.base_label, p.source_label)}
        means = {label: reference.mean(place, position, label) for label in labels}
        for pair, mine in zip(self.pairs, own, strict=True):
            self._refuse_other_widths(position, pair, mine, list(means.values()))
        if value == "mean":
            return [means[None]] * len(own)
        return [x + means[p.source_label] - means[p.base_label] for x, p in zip(own, self.pairs, strict=True)]

    def _resampled(self, place: str, position: str, reference: Reference | None, seed: int) -> list[Tensor]:
        """Per pair the value of one random other prompt: the same prompt at every place, as they belong together."""
        if reference is None:
            prompts, values = [pair.donor for pair in self.pairs], self._donor[place, position]
        else:
            prompts, values = reference.prompts, reference.of(place, position)
        drawn, generator = [], random.Random(seed)
        for pair, own in zip(self.pairs, self.base_values(place, position), strict=True):
            able = [i for i, prompt in enumerate(prompts) if prompt not in (pair.base, pair.donor)]
            if not able:
                raise ToolError(
                    f"There is no other prompt to draw a value for {pair.base!r} from.",
                    mend="Give `reference` prompts, or several pairs with different sources.",
                )
            drawn.append(values[generator.choice(able)])
            self._refuse_other_widths(position, pair, own, drawn[-1:])
        return drawn

    def random_values(self, position: str, donor: Values, seed: int) -> Values:
        """A site's own values moved as far as the donor's are, all of them in one random direction.

        One direction for all pairs, as a direction that means something is one for all: directions drawn pair by pair
        would cancel out in the mean, and make a control that nothing fails to beat.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn: Values = {}
        for place, values in donor.items():
            longest = max(values, key=len)
            noise = torch.randn(longest.shape, generator=generator).to(longest)
            unit = noise / noise.norm(dim=-1, keepdim=True)
            drawn[place] = [
                own + unit[: len(own)] * (value - own).norm(dim=-1, keepdim=True)
                for own, value in zip(self.base_values(place, position), values, strict=True)
            ]
        return drawn

    def effect_of(self, position: str, values: Values) -> tuple[list[float], list[bool]]:
        """Per pair how far the logit difference moved towards the donor (nats), and whether its answer won."""
        logits = self._run_with(position, values, self._places)
        towards = 1 if self.direction == "noising" else -1
        drops = towards * (self.differences(self._logits) - self.differences(logits))
        won = self._asked.foiled(logits) if self.direction == "noising" else self._asked.right(logits)
        return drops.tolist(), won.tolist()

    def random_effect_of(self, position: str, donor: Values, seed: int) -> list[float]:
        """The control of `effect_of`: random directions at sites, random other features for features."""
        generator = torch.Generator().manual_seed(seed)
        features = {name: place for name in donor if isinstance(place := self._places[name], FeaturePlace)}
        others = {name: place.another(generator) for name, place in features.items()}
        sites = self.random_values(position, {n: v for n, v in donor.items() if n not in features}, seed)
        logits = self._run_with(position, donor | sites, self._places | others)
        towards = 1 if self.direction == "noising" else -1
        return (towards * (self.differences(self._logits) - self.differences(logits))).tolist()

    def differences(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
        """Per pair the logit of the answer less that of the foil (nats).

        Raises:
            ToolError: one is no finite number.
        """
        found = self._asked.differences(logits)
        if not found.isfinite().all():
            pair = self.pairs[int((~found.isfinite()).nonzero()[0])]
            raise ToolError(
                f"On {pair.base!r} or its counterfactual, as they are or patched, the model's logits are not finite.",
                mend="Check the weights for NaN, or load the model in float32.",
            )
        return found

    def logits_changed_by(self, position: str, values: Values) -> float:
        """Largest change of any logit at the last token."""
        return (self._run_with(position, values, self._places) - self._logits).abs().max().item()

    def _run_with(self, position: str, values: Values, places: Mapping[str, Place]) -> Tensor:
        return self.subject.last_logits(self.tokens, partial(self._edits, position, values, places))

    def _edits(self, position: str, values: Values, places: Mapping[str, Place], rows: slice) -> Mapping[str, Edit]:
        where = self._where[position][rows]
        return joined(
            edit
            for name, each in values.items()
            for edit in places[name].edits(where, each[rows], self._own[name, position][rows])
        )

    def _of_run(self, pair: Pair, position: str) -> tuple[int, ...]:
        if position == "differs":
            return differing_positions(self.subject, pair.base, pair.corrupted)
        return token_positions(self.subject, pair.base, position, pair.base_entity)

    def _of_source(self, pair: Pair, position: str) -> tuple[int, ...]:
        if position == "differs":
            return differing_positions(self.subject, pair.donor, pair.base)
        return token_positions(self.subject, pair.donor, position, pair.source_entity or pair.base_entity)

    def _refuse_unequal(self, positions: Sequence[str]) -> None:
        for position in positions:
            places = zip(self.pairs, self._where[position], self._source_where[position], strict=True)
            for pair, base, source in places:
                if len(base) != len(source):
                    raise ToolError(
                        f"At `{position}`, {pair.base!r} has {len(base)} tokens and {pair.donor!r} has {len(source)}.",
                        mend="Use entities that the tokenizer writes with equally many tokens, or position `last`.",
                    )

    def _refuse_other_widths(self, position: str, pair: Pair, own: Tensor, given: Sequence[Tensor]) -> None:
        widths = {len(one) for one in given} - {len(own)}
        if widths:
            raise ToolError(
                f"At `{position}`, {pair.base!r} has {len(own)} tokens and reference prompts have {min(widths)}.",
                mend="Use entities that the tokenizer writes with equally many tokens, or position `last`.",
            )


def _turned(pair: Pair) -> Pair:
    """Base and counterfactual in each other's place.

    Raises:
        ToolError: the pair names another source than its counterfactual.
    """
    if pair.source not in ("", pair.corrupted):
        raise ToolError(
            f"With direction `denoising` values come from the base, and {pair.base!r} names another `source`.",
            mend="Leave `source` empty, or use direction `noising`.",
        )
    return pair.model_copy(
        update={
            "base": pair.corrupted,
            "corrupted": pair.base,
            "source": "",
            "base_entity": pair.source_entity or pair.base_entity,
            "source_entity": pair.base_entity,
            "base_label": pair.source_label,
            "source_label": pair.base_label,
        }
    )


def _read(
    subject: Subject, tokens: Tokens, places: Sequence[Place], where: Mapping[str, Sequence[tuple[int, ...]]]
) -> tuple[Float[Tensor, "batch vocab"], dict[tuple[str, str], list[Tensor]]]:
    """Last logits, and by place and position each prompt's values [tokens at the position, width]."""
    logits: list[Tensor] = []
    named = {place.name: place for place in places}
    values: dict[tuple[str, str], list[Tensor]] = {(name, position): [] for name in named for position in where}
    for rows, part in subject.passes(tokens):
        run = subject.run(part, read=[place.reads for place in places])
        logits.append(run.last_logits)
        for name, place in named.items():
            value = place.value(run.sites[place.reads])
            for position in where:
                values[name, position] += [value[i, list(at)] for i, at in enumerate(where[position][rows])]
    return torch.cat(logits), values
