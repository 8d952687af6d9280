"""The batch behind activation patching: pairs tokenised and run once, then run again with values written into them."""

from collections.abc import Sequence
from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from ._base import NO_GAP, Frozen, ToolError
from ._positions import check_position, differing_positions, token_positions
from ._subject import Subject, Tokens

SMALLEST_GAP = 1e-6


class Pair(Frozen):
    """A prompt, its counterfactual, and the answers that tell them apart."""

    base: str = Field(description="Prompt that is run and patched.")
    corrupted: str = Field(description="Counterfactual of the base: defines the gap.")
    answer: str = Field(description="The base's next word.")
    foil: str = Field(description="The counterfactual's next word.")
    source: str = Field("", description="Prompt that the value is taken from; the counterfactual where empty.")
    base_entity: str = Field("", description="Word of the base at position `entity`.")
    source_entity: str = Field("", description="Word of the source at position `entity`.")
    base_label: str = Field("", description="Class of the base, for `class_mean`.")
    source_label: str = Field("", description="Class of the source, for `class_mean`.")
    cluster: str = Field("", description="Pairs with equal names are not independent; statistics count them as one.")

    @property
    def donor(self) -> str:
        """The prompt that values come from."""
        return self.source or self.corrupted


class Labelled(Frozen):
    """A reference prompt of a known class."""

    prompt: str = Field(description="Prompt to read.")
    entity: str = Field("", description="Word at position `entity`.")
    label: str = Field("", description="Its class; needed for `class_mean`.")


class Reference:
    """Labelled prompts, and what their classes have in common at a site."""

    def __init__(
        self,
        subject: Subject,
        prompts: Sequence[str],
        entities: Sequence[str],
        labels: Sequence[str],
        sites: Sequence[str],
        positions: Sequence[str],
    ) -> None:
        if "differs" in positions:
            raise ToolError("Reference prompts have no position `differs`.", mend="Use `last` or `entity`.")
        self.labels = list(labels)
        self._values = subject.run(subject.tokenise(prompts), read=sites).sites
        self._places = {
            position: [token_positions(subject, p, position, e) for p, e in zip(prompts, entities, strict=True)]
            for position in positions
        }

    def mean(self, site: str, position: str, label: str | None = None) -> Tensor:
        """Mean over the reference prompts, or over those of one class: [tokens at the position, site's width]."""
        rows = [
            self._values[site][i, list(places)]
            for i, places in enumerate(self._places[position])
            if label is None or self.labels[i] == label
        ]
        widths = {row.shape[0] for row in rows}
        if len(widths) != 1:
            raise ToolError(
                f"Reference prompts have {sorted(widths)} tokens at `{position}`.",
                mend="Use entities that the tokenizer writes with equally many tokens.",
            )
        return torch.stack(rows).mean(0)


class Patching:
    """Pairs on a subject: their clean and corrupted answers, and their answers under any write."""

    def __init__(self, subject: Subject, pairs: Sequence[Pair], sites: Sequence[str], positions: Sequence[str]) -> None:
        self.subject, self.pairs = subject, pairs
        for position in positions:
            check_position(position)
        self._answers = torch.tensor([subject.answer_token(p.base, p.answer) for p in pairs])
        self._foils = torch.tensor([subject.answer_token(p.base, p.foil) for p in pairs])
        for pair, answer, foil in zip(pairs, self._answers, self._foils, strict=True):
            if answer == foil:
                raise ToolError(f"Answer and foil of {pair.base!r} are one token.", mend="Give two different words.")
        self._base_places = {p: [self._of_base(pair, p) for pair in pairs] for p in positions}
        self._source_places = {p: [self._of_source(pair, p) for pair in pairs] for p in positions}
        self._refuse_unequal(positions)
        self.tokens: Tokens = subject.tokenise([p.base for p in pairs])
        base = subject.run(self.tokens, read=sites)
        donor = subject.run(subject.tokenise([p.donor for p in pairs]), read=sites)
        self._logits, self._base, self._donor = base.last_logits, base.sites, donor.sites
        self.clean = self._difference(base.last_logits)
        self.corrupted = self._difference(subject.run(subject.tokenise([p.corrupted for p in pairs])).last_logits)
        self.clean_correct = base.last_logits.argmax(-1).cpu() == self._answers
        self.gap = (self.clean - self.corrupted).mean().item()
        if abs(self.gap) < SMALLEST_GAP:
            raise ToolError(
                f"{NO_GAP}: clean and corrupted prompts differ by {self.gap:.1g} nats.",
                mend="Choose counterfactuals that change the answer.",
            )

    def base_values(self, site: str, position: str) -> list[Tensor]:
        """The base runs' own values, per pair [tokens at the position, width]."""
        return [self._base[site][i, list(places)] for i, places in enumerate(self._base_places[position])]

    def donor_values(self, site: str, position: str, value: str, reference: Reference | None) -> list[Tensor]:
        """What is to be written, per pair [tokens at the position, width]."""
        own = self.base_values(site, position)
        if value == "source":
            return [self._donor[site][i, list(places)] for i, places in enumerate(self._source_places[position])]
        if value == "zero":
            return [torch.zeros_like(x) for x in own]
        assert reference is not None, f"value {value} without reference prompts passed validation"
        if value == "mean":
            return [reference.mean(site, position).expand_as(x) for x in own]
        return [
            x + reference.mean(site, position, p.source_label) - reference.mean(site, position, p.base_label)
            for x, p in zip(own, self.pairs, strict=True)
        ]

    def random_values(self, position: str, donor: dict[str, list[Tensor]], seed: int) -> dict[str, list[Tensor]]:
        """The base's values moved as far as the donor's are, in a random direction."""
        generator = torch.Generator().manual_seed(seed)
        drawn: dict[str, list[Tensor]] = {}
        for site, values in donor.items():
            drawn[site] = []
            for own, value in zip(self.base_values(site, position), values, strict=True):
                noise = torch.randn(own.shape, generator=generator).to(own)
                length = (value - own).norm(dim=-1, keepdim=True)
                drawn[site].append(own + noise / noise.norm(dim=-1, keepdim=True) * length)
        return drawn

    def effect_of(self, position: str, values: dict[str, list[Tensor]]) -> tuple[list[float], list[bool]]:
        """Per pair: how far the logit difference fell (nats), and whether the foil became the most likely token."""
        logits = self._run_with(position, values)
        drops = self.clean - self._difference(logits)
        return drops.tolist(), (logits.argmax(-1).cpu() == self._foils).tolist()

    def logits_changed_by(self, position: str, values: dict[str, list[Tensor]]) -> float:
        """Largest change of any logit at the last token."""
        return (self._run_with(position, values) - self._logits).abs().max().item()

    def _run_with(self, position: str, values: dict[str, list[Tensor]]) -> Tensor:
        edits = {site: partial(_write, places=self._base_places[position], values=v) for site, v in values.items()}
        return self.subject.run(self.tokens, write=edits).last_logits

    def _difference(self, logits: Tensor) -> Tensor:
        rows = torch.arange(len(self.pairs))
        return (logits[rows, self._answers] - logits[rows, self._foils]).cpu()

    def _of_base(self, pair: Pair, position: str) -> tuple[int, ...]:
        if position == "differs":
            return differing_positions(self.subject, pair.base, pair.corrupted)
        return token_positions(self.subject, pair.base, position, pair.base_entity)

    def _of_source(self, pair: Pair, position: str) -> tuple[int, ...]:
        if position == "differs":
            return differing_positions(self.subject, pair.donor, pair.base)
        return token_positions(self.subject, pair.donor, position, pair.source_entity or pair.base_entity)

    def _refuse_unequal(self, positions: Sequence[str]) -> None:
        for position in positions:
            places = zip(self.pairs, self._base_places[position], self._source_places[position], strict=True)
            for pair, base, source in places:
                if len(base) != len(source):
                    raise ToolError(
                        f"At `{position}`, {pair.base!r} has {len(base)} tokens and {pair.donor!r} has {len(source)}.",
                        mend="Use entities that the tokenizer writes with equally many tokens, or position `last`.",
                    )


def _write(current: Tensor, places: list[tuple[int, ...]], values: list[Tensor]) -> Tensor:
    written = current.clone()
    for row, (positions, value) in enumerate(zip(places, values, strict=True)):
        written[row, list(positions)] = value.to(written.dtype)
    return written
