"""Pairs whose activations are split: what is relevant of which node, at which tokens, and against what."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, ToolError
from ._circuit_graph import START
from ._pair_answers import Pair, PairAnswers, gap_between
from ._positions import check_position, differing_positions, token_positions
from ._proof import TOLERANCE
from ._split_pass import Relevances, Row, Start, Target, relevances
from ._split_prompts import SplitPrompts, run_to_split
from ._split_rules import Rules
from ._subject import Subject

Against = Literal["corrupted", "mean", "zero"]
ALL, EACH = "all", "each"


class Common(Frozen):
    """A prompt that the mean is taken over."""

    prompt: str = Field(description="Prompt to read.")
    entity: str = Field("", description="Word at position `entity`.")


@dataclass(frozen=True)
class Source:
    """A node at some tokens; where a slot is named, only as that slot reads it."""

    node: str
    position: str
    slot: str = ""

    @property
    def name(self) -> str:
        """The node, or the link."""
        return f"{self.node}->{self.slot}" if self.slot else self.node


class Prompts:
    """Prompts, run when a value is asked for."""

    def __init__(self, subject: Subject, prompts: Sequence[str], entities: Sequence[str]) -> None:
        self.subject, self.prompts, self.entities = subject, prompts, entities
        self.tokens = subject.tokenise(prompts)

    @cached_property
    def runs(self) -> list[tuple[slice, SplitPrompts]]:
        """Which of the prompts, and what the subject did on them."""
        return [(rows, run_to_split(self.subject, part)) for rows, part in self.subject.passes(self.tokens)]

    def value(self, place: str) -> Float[Tensor, "batch pos _"]:
        """What a node writes, or a slot reads."""
        if place not in self._values:
            self._values[place] = torch.cat([run.value(place) for _, run in self.runs])
        return self._values[place]

    @cached_property
    def _values(self) -> dict[str, Tensor]:
        return {}

    def places(self, number: int, position: str) -> tuple[int, ...]:
        """Tokens of one prompt."""
        if position == ALL:
            return tuple(range(self.tokens.lengths[number]))
        return token_positions(self.subject, self.prompts[number], position, self.entities[number])


class Decomposition:
    """Pairs on a subject, with the values that relevance is counted from."""

    def __init__(
        self, subject: Subject, pairs: Sequence[Pair], rules: Rules, against: Against, common: Sequence[Common]
    ) -> None:
        """
        Raises:
            ToolError: an answer or foil that is no single token of its own, or a prompt that cannot be read.
        """
        self.subject, self.pairs, self.rules, self.against = subject, pairs, rules, against
        self._asked = PairAnswers(subject, pairs)
        self._answers = torch.stack([self._asked.answers, self._asked.foils], 1)
        self._base = Prompts(subject, [p.base for p in pairs], [p.base_entity for p in pairs])
        if against == "mean":
            self._other = Prompts(subject, [one.prompt for one in common], [one.entity for one in common])
        else:
            entities = [p.source_entity or p.base_entity for p in pairs]
            self._other = Prompts(subject, [p.corrupted for p in pairs], entities)
        self.error, self.n_rows = 0.0, 0

    @cached_property
    def _logits(self) -> Float[Tensor, "batch vocab"]:
        return self.subject.last_logits(self._base.tokens)

    @cached_property
    def clean(self) -> Float[Tensor, " batch"]:
        """Logit difference of each base prompt (nats)."""
        return self._asked.differences(self._logits)

    @cached_property
    def corrupted(self) -> Float[Tensor, " batch"]:
        """The same logit difference on each counterfactual (nats)."""
        return self._asked.differences(self._asked.corrupted_logits())

    @cached_property
    def clean_correct(self) -> Bool[Tensor, " batch"]:
        """Whether each base prompt's most likely token is its answer."""
        return self._asked.right(self._logits)

    @cached_property
    def gap(self) -> float:
        """Mean of clean minus corrupted (nats).

        Raises:
            ToolError: there is none.
        """
        return gap_between(self.clean, self.corrupted)

    def positions(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Positions with `each` spelled out.

        Raises:
            ToolError: no such position, or one that the prompts do not share.
        """
        found: list[str] = []
        for position in asked:
            if position not in (ALL, EACH):
                check_position(position)
            found += self._each() if position == EACH else [position]
        for position in found:
            self._refuse_unequal(position)
        return tuple(dict.fromkeys(found))

    def relevances(
        self, groups: Sequence[tuple[Source, ...]], targets: Sequence[tuple[str, str]] = ()
    ) -> tuple[Float[Tensor, "_ batch"], Float[Tensor, "_ _ batch"]]:
        """Per group of sources and pair: what of the answers' difference is relevant (nats), and per target its share.

        Args:
            targets: Places with their positions; a share is that of the place's own deviation, and 0 without one.
        """
        logits, shares = [], []
        for part, clean in self._base.runs:
            numbers = range(len(self.pairs))[part]
            rows = [
                Row(i, tuple(self._start(number, source) for source in group))
                for group in groups
                for i, number in enumerate(numbers)
            ]
            read = [Target(place, self._direction(place, position)[part]) for place, position in targets]
            found = self._measured(clean, part, rows, read)
            logits.append(found.logits.reshape(len(groups), len(numbers)))
            shares.append(found.at_targets.reshape(len(targets), len(groups), len(numbers)))
        return torch.cat(logits, -1).cpu(), torch.cat(shares, -1).cpu()

    def controls(self) -> tuple[float, float]:
        """Largest relevance where nothing is relevant, and largest miss where the whole stream is (nats)."""
        nothing, everything = 0.0, 0.0
        for part, clean in self._base.runs:
            rows: list[Row] = []
            for i, number in enumerate(range(len(self.pairs))[part]):
                at = self._base.places(number, ALL)
                own = clean.value(START)[i, list(at)]
                rows += [Row(i, (Start(START, at, value),)) for value in (torch.zeros_like(own), own)]
            none, whole = self._measured(clean, part, rows, ()).logits.cpu().reshape(-1, 2).unbind(1)
            nothing = max(nothing, none.abs().max().item())
            everything = max(everything, (whole - self.clean[part]).abs().max().item())
        return nothing, everything

    def _measured(self, clean: SplitPrompts, part: slice, rows: Sequence[Row], targets: Sequence[Target]) -> Relevances:
        found = relevances(clean, self.rules, self._answers[part], rows, targets)
        self.error, self.n_rows = max(self.error, found.error), self.n_rows + len(rows)
        allowed = TOLERANCE[self.subject.model.dtype]
        if not found.error <= allowed:
            raise ToolError(
                f"Relevant and irrelevant parts miss the model's own values by {found.error:.2g} of the largest "
                f"(allowed {allowed:.0e}).",
                mend="Let norms be live or absorb opposite signs, which keeps both parts small, or load in float32.",
            )
        return found

    def _start(self, number: int, source: Source) -> Start:
        deviation = self._deviation(source.node, number, source.position)
        return Start(source.node, self._places(number, source.position), deviation, source.slot)

    def _direction(self, place: str, position: str) -> Float[Tensor, "batch pos _"]:
        """Per pair a place's deviation over the square of its length: times the deviation itself it is 1."""
        own = self._base.value(place)
        direction = torch.zeros_like(own)
        for number in range(len(self.pairs)):
            away = self._deviation(place, number, position)
            size = away.square().sum()
            direction[number, list(self._places(number, position))] = away / size if size > 0 else 0
        return direction

    def _deviation(self, place: str, number: int, position: str) -> Float[Tensor, "_ _"]:
        """How far a place's value at one pair's tokens is from what it is counted from."""
        own = self._base.value(place)[number, list(self._places(number, position))]
        if self.against == "zero":
            return own
        values = self._other.value(place)
        found = [values[other, list(at)] for other, at in self._elsewhere(number, position)]
        return own - torch.stack(found).mean(0)

    def _places(self, number: int, position: str) -> tuple[int, ...]:
        pair = self.pairs[number]
        if position == "differs":
            return differing_positions(self.subject, pair.base, pair.corrupted)
        return self._base.places(number, position)

    def _elsewhere(self, number: int, position: str) -> list[tuple[int, tuple[int, ...]]]:
        """The prompts that a pair's values are counted from, and their tokens."""
        if self.against == "mean":
            return [(other, self._other.places(other, position)) for other in range(len(self._other.prompts))]
        at = self._places(number, position) if position == "differs" else self._other.places(number, position)
        return [(number, at)]

    def _each(self) -> list[str]:
        lengths = set(self._base.tokens.lengths)
        if len(lengths) > 1:
            raise ToolError(
                f"Prompts have {sorted(lengths)} tokens, so that a token of one is none of another.",
                mend="Give prompts of equal length for `each`, or name positions by role.",
            )
        return [str(place) for place in range(lengths.pop())]

    def _refuse_unequal(self, position: str) -> None:
        if position == "differs" and self.against == "mean":
            raise ToolError("The prompts of a mean have no position `differs`.", mend="Use `last` or `entity`.")
        for number, pair in enumerate(self.pairs):
            due = len(self._places(number, position))
            for other, at in [] if self.against == "zero" else self._elsewhere(number, position):
                if len(at) != due:
                    raise ToolError(
                        f"At `{position}`, {pair.base!r} has {due} tokens and {self._other.prompts[other]!r} has "
                        f"{len(at)}.",
                        mend="Give prompts of equal length, name positions by role, or count from `zero`.",
                    )
