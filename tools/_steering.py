"""Texts that are run while their tokens are pushed along directions at one or several sites.

What a push is stands in `steer.py`; here are the batches, the writing, and what is read off the logits. The axis
d_model is the site's width, also where the site is narrower than the stream; the axis pos of a direction counts the
tokens that it has a row for, so that a direction without that axis is the same at every token.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from ._base import ToolError
from ._hooks import Edit
from ._positions import token_positions
from ._reader import Tokens
from ._subject import Run, Subject

BATCH = 16
Mode = Literal["add", "clamp", "ablate"]
Positions = Literal["all", "last", "entity"]
Coefficient = Callable[[Tensor], Tensor]
"""How far to move each token, from its projection."""


@dataclass(frozen=True)
class Push:
    """Move each token's value along `direction`, by an amount that depends on its projection on `reading`.

    Rows of a direction that differs by position end at the last token written, and begin anew before the first.
    """

    reading: Float[Tensor, " d_model"]
    direction: Float[Tensor, "*any d_model"]
    coefficient: Coefficient

    def __call__(
        self, value: Float[Tensor, "batch pos d_model"], mask: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        amount = self.coefficient(projection(value, self.reading)) * mask
        # Adding zero times the direction is how an untouched token keeps every bit.
        return value + (amount[..., None] * self._along(mask)).to(value.dtype)

    def _along(self, mask: Bool[Tensor, "batch pos"]) -> Float[Tensor, "*any d_model"]:
        if self.direction.ndim == 1:
            return self.direction
        from_the_end = mask.flip(-1).cumsum(-1).flip(-1)  # 1 at the last token written
        return self.direction[-from_the_end % len(self.direction)]


Pushes = Mapping[str, Push]
"""What is written at each site."""


def projection(
    value: Float[Tensor, "batch pos d_model"], unit: Float[Tensor, " d_model"]
) -> Float[Tensor, "batch pos"]:
    """Component along a vector of length 1."""
    return value.float() @ unit


def coefficient(mode: Mode, strength: float, unit: float) -> Coefficient:
    """How far each token is moved along the direction, from its projection on it (see the head of `steer.py`).

    Raises:
        ToolError: a push that single precision has no number for.
    """
    if mode != "ablate" and not abs(strength * unit) < torch.finfo(torch.float32).max:
        raise ToolError(f"A push of strength {strength:g} is beyond all numbers.", mend="Use smaller strengths.")
    if mode == "add":
        return lambda seen: torch.full_like(seen, strength * unit)
    if mode == "clamp":
        return lambda seen: strength * unit - seen
    return lambda seen: -strength * seen


class Passages:
    """Texts in batches, with the tokens that are read or written."""

    def __init__(
        self,
        subject: Subject,
        texts: Sequence[str],
        at: Positions,
        entities: Sequence[str] = (),
        n_last: int | None = None,
    ) -> None:
        """
        Args:
            n_last: Tokens that are written at most, the last ones of those chosen (count); none for all of them.

        Raises:
            ToolError: an entity that is not in its text, a text of special tokens alone, or one with fewer tokens than
                `n_last`.
        """
        self.subject, self.n_texts = subject, len(texts)
        self._batches: list[tuple[Tokens, Bool[Tensor, "batch pos"]]] = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            tokens = subject.tokenise(batch)
            mask = subject.reader.is_text(tokens)
            if at != "all":
                mask = torch.zeros_like(mask)
                words = entities[start : start + BATCH] if at == "entity" else [""] * len(batch)
                for row, (text, word) in enumerate(zip(batch, words, strict=True)):
                    mask[row, list(token_positions(subject, text, at, word))] = True
            _refuse_without_tokens(mask, batch)
            self._batches.append((tokens, mask if n_last is None else _last_of(mask, n_last, batch)))

    @property
    def n_predicted(self) -> int:
        """Tokens with another before them (count)."""
        return sum(length - 1 for tokens, _ in self._batches for length in tokens.lengths)

    @property
    def n_chosen(self) -> list[int]:
        """Tokens of each text that are read or written (count)."""
        return [n for _, mask in self._batches for n in mask.sum(-1).tolist()]

    def values(self, site: str) -> list[Float[Tensor, "pos d_model"]]:
        """Each text's values at its chosen tokens."""
        return list(self._values(site))

    def means(self, site: str) -> Float[Tensor, "batch d_model"]:
        """Each text's mean over its chosen tokens."""
        return torch.stack([row.mean(0) for row in self._values(site)])

    def mean_value(self, site: str) -> Float[Tensor, " d_model"]:
        """Mean over texts of the mean over a text's chosen tokens."""
        return self.means(site).mean(0)

    def mean_length(self, site: str) -> float:
        """Mean length of the chosen tokens' values."""
        return torch.cat(list(self._values(site))).norm(dim=-1).mean().item()

    def logits(self, pushes: Pushes | None = None) -> Iterator[tuple[Tokens, Float[Tensor, "batch pos vocab"]]]:
        """Every batch's logits, pushed or as they are."""
        for tokens, mask in self._batches:
            yield tokens, self._run(tokens, mask, pushes).logits

    def last_logits(self, pushes: Pushes | None = None) -> Float[Tensor, "batch vocab"]:
        """Logits after each text's last token; a `ToolError` where one is not finite."""
        found = torch.cat([self._run(tokens, mask, pushes).last_logits.cpu() for tokens, mask in self._batches])
        if not found.isfinite().all():
            raise _not_finite()
        return found

    def loss(self, pushes: Pushes | None = None) -> float:
        """Mean next-token loss over all tokens with another before them (nats)."""
        total = 0.0
        for tokens, logits in self.logits(pushes):
            for row, length in enumerate(tokens.lengths):
                predicted, actual = logits[row, : length - 1].float(), tokens.ids[row, 1:length]
                total += cross_entropy(predicted, actual, reduction="sum").item()
        mean = total / self.n_predicted
        if not math.isfinite(mean):
            raise _not_finite()
        return mean

    def change_when_kept(self, readings: Mapping[str, Float[Tensor, " d_model"]]) -> float:
        """Largest change of any logit when every projection is set to what it is."""
        worst = 0.0
        for tokens, mask in self._batches:
            plain = self.subject.run(tokens, read=list(readings))
            own = {site: projection(plain.sites[site], reading) for site, reading in readings.items()}
            kept = {
                site: Push(reading, reading, lambda seen, own=own[site]: own - seen)
                for site, reading in readings.items()
            }
            worst = max(worst, (self._run(tokens, mask, kept).logits - plain.logits).abs().max().item())
        return worst

    def change_by(self, pushes: Pushes) -> float:
        """Largest change of any logit."""
        pairs = zip(self.logits(pushes), self.logits(), strict=True)
        return max((pushed - plain).abs().max().item() for (_, pushed), (_, plain) in pairs)

    def _run(self, tokens: Tokens, mask: Bool[Tensor, "batch pos"], pushes: Pushes | None) -> Run:
        return self.subject.run(tokens, write={site: _edit(push, mask) for site, push in (pushes or {}).items()})

    def _values(self, site: str) -> Iterator[Float[Tensor, "pos d_model"]]:
        for tokens, mask in self._batches:
            value = self.subject.run(tokens, read=[site]).sites[site].float()
            for row in range(len(tokens.lengths)):
                yield value[row, mask[row]]


def _not_finite() -> ToolError:
    mend = "Use smaller strengths; if it is so without a push, load the model in float32."
    return ToolError("The pushed model's logits are not finite.", mend=mend)


def _edit(push: Push, mask: Bool[Tensor, "batch pos"]) -> Edit:
    return lambda value: push(value, mask)


def _refuse_without_tokens(mask: Bool[Tensor, "batch pos"], texts: Sequence[str]) -> None:
    for text, found in zip(texts, mask.any(-1).tolist(), strict=True):
        if not found:
            raise ToolError(
                f"{text!r} has special tokens alone: none is read or written.",
                mend="Give texts with words, or name the position `last`.",
            )


def _last_of(mask: Bool[Tensor, "batch pos"], n: int, texts: Sequence[str]) -> Bool[Tensor, "batch pos"]:
    for text, found in zip(texts, mask.sum(-1).tolist(), strict=True):
        if found < n:
            raise ToolError(
                f"{text!r} has {found} tokens to write, and the direction has one for each of {n}.",
                mend="Give shorter contrast pairs, or longer prompts.",
            )
    return mask & (mask.flip(-1).cumsum(-1).flip(-1) <= n)
