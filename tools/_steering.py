"""Texts that are run while their tokens are pushed along a direction at one site.

What a push is stands in `steer.py`; here are the batches, the writing, and what is read off the logits. The axis
d_model is the site's width, also where the site is narrower than the stream.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from ._base import ToolError
from ._positions import token_positions
from ._reader import Tokens
from ._subject import Run, Subject

BATCH = 16
Positions = Literal["all", "last", "entity"]
Coefficient = Callable[[Tensor], Tensor]
"""How far to move each token, from its projection."""


@dataclass(frozen=True)
class Push:
    """Move each token's value along `direction`, by an amount that depends on its projection on `reading`."""

    reading: Float[Tensor, " d_model"]
    direction: Float[Tensor, " d_model"]
    coefficient: Coefficient

    def __call__(
        self, value: Float[Tensor, "batch pos d_model"], mask: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        amount = self.coefficient(projection(value, self.reading)) * mask
        # Adding zero times the direction is how an untouched token keeps every bit.
        return value + (amount[..., None] * self.direction).to(value.dtype)


def projection(
    value: Float[Tensor, "batch pos d_model"], unit: Float[Tensor, " d_model"]
) -> Float[Tensor, "batch pos"]:
    """Component along a vector of length 1."""
    return value.float() @ unit


class Passages:
    """Texts in batches, with the tokens that are read or written at one site."""

    def __init__(
        self, subject: Subject, site: str, texts: Sequence[str], at: Positions, entities: Sequence[str] = ()
    ) -> None:
        self.subject, self.site, self.n_texts = subject, site, len(texts)
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
            self._batches.append((tokens, mask))

    @property
    def n_predicted(self) -> int:
        """Tokens with another before them (count)."""
        return sum(length - 1 for tokens, _ in self._batches for length in tokens.lengths)

    def mean_value(self) -> Float[Tensor, " d_model"]:
        """Mean over texts of the mean over a text's chosen tokens."""
        return torch.stack([row.mean(0) for row in self._values()]).mean(0)

    def mean_length(self) -> float:
        """Mean length of the chosen tokens' values."""
        return torch.cat(list(self._values())).norm(dim=-1).mean().item()

    def logits(self, push: Push | None = None) -> Iterator[tuple[Tokens, Float[Tensor, "batch pos vocab"]]]:
        """Every batch's logits, pushed or as they are."""
        for tokens, mask in self._batches:
            yield tokens, self._run(tokens, mask, push).logits

    def last_logits(self, push: Push | None = None) -> Float[Tensor, "batch vocab"]:
        """Logits after each text's last token."""
        return torch.cat([self._run(tokens, mask, push).last_logits.cpu() for tokens, mask in self._batches])

    def loss(self, push: Push | None = None) -> float:
        """Mean next-token loss over all tokens with another before them (nats)."""
        total = 0.0
        for tokens, logits in self.logits(push):
            for row, length in enumerate(tokens.lengths):
                predicted, actual = logits[row, : length - 1].float(), tokens.ids[row, 1:length]
                total += cross_entropy(predicted, actual, reduction="sum").item()
        mean = total / self.n_predicted
        if not math.isfinite(mean):
            raise ToolError("The pushed model's logits are not finite.", mend="Use smaller strengths.")
        return mean

    def change_when_kept(self, reading: Float[Tensor, " d_model"]) -> float:
        """Largest change of any logit when every projection is set to what it is."""
        worst = 0.0
        for tokens, mask in self._batches:
            plain = self.subject.run(tokens, read=[self.site])
            own = projection(plain.sites[self.site], reading)
            kept = self._run(tokens, mask, Push(reading, reading, lambda seen, own=own: own - seen))
            worst = max(worst, (kept.logits - plain.logits).abs().max().item())
        return worst

    def change_by(self, push: Push) -> float:
        """Largest change of any logit."""
        pairs = zip(self.logits(push), self.logits(), strict=True)
        return max((pushed - plain).abs().max().item() for (_, pushed), (_, plain) in pairs)

    def _run(self, tokens: Tokens, mask: Bool[Tensor, "batch pos"], push: Push | None) -> Run:
        write = {} if push is None else {self.site: lambda value: push(value, mask)}
        return self.subject.run(tokens, write=write)

    def _values(self) -> Iterator[Float[Tensor, "pos d_model"]]:
        for tokens, mask in self._batches:
            value = self.subject.run(tokens, read=[self.site]).sites[self.site].float()
            for row in range(len(tokens.lengths)):
                yield value[row, mask[row]]
