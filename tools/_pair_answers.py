"""Pairs of a prompt and its counterfactual, and the two answers that tell them apart: what patches are measured by."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from ._base import NO_GAP, Frozen, ToolError
from ._subject import Subject

SMALLEST_GAP = 1e-6  # nats


class Pair(Frozen):
    """A prompt, its counterfactual, and the answers that tell them apart."""

    base: str = Field(description="Prompt that is run and patched.")
    corrupted: str = Field(description="Counterfactual of the base: defines the gap.")
    answer: str = Field(description="The base's next word.")
    foil: str = Field(description="The counterfactual's next word.")
    source: str = Field(default="", description="Prompt that the value is taken from; the counterfactual where empty.")
    base_entity: str = Field(default="", description="Word of the base at position `entity`.")
    source_entity: str = Field(default="", description="Word of the source at position `entity`.")
    base_label: str = Field(default="", description="Class of the base, for `class_mean`.")
    source_label: str = Field(default="", description="Class of the source, for `class_mean`.")
    cluster: str = Field(
        default="", description="Pairs with equal names are not independent; statistics count them as one."
    )

    @property
    def donor(self) -> str:
        """The prompt that values come from."""
        return self.source or self.corrupted


@runtime_checkable
class Asked(Protocol):
    """What any pair has: a prompt, its counterfactual, and the two answers."""

    @property
    def base(self) -> str: ...
    @property
    def corrupted(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def foil(self) -> str: ...


class PairAnswers:
    """The tokens of answers and foils, and how likely logits make them."""

    def __init__(self, subject: Subject, pairs: Sequence[Asked]) -> None:
        """
        Raises:
            ToolError: an answer that is no single token after its prompt.
        """
        self._subject, self._pairs = subject, pairs
        self.answers: Int[Tensor, " batch"] = torch.tensor([subject.answer_token(p.base, p.answer) for p in pairs])

    @cached_property
    def foils(self) -> Int[Tensor, " batch"]:
        """Tokens of the foils.

        Raises:
            ToolError: a foil that is no single token after its prompt, or a pair whose answers are one token.
        """
        foils = torch.tensor([self._subject.answer_token(p.base, p.foil) for p in self._pairs])
        for pair, answer, foil in zip(self._pairs, self.answers, foils, strict=True):
            if answer == foil:
                raise ToolError(f"Answer and foil of {pair.base!r} are one token.", mend="Give two different words.")
        return foils

    def differences(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
        """Per pair the logit of the answer less that of the foil (nats)."""
        rows, both = torch.arange(len(self._pairs)), logits.cpu()
        return both[rows, self.answers] - both[rows, self.foils]

    def heights(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
        """Per pair the logit of the answer less the mean over the vocabulary (nats)."""
        both = logits.cpu()
        return both[torch.arange(len(self._pairs)), self.answers] - both.mean(-1)

    def right(self, logits: Float[Tensor, "batch vocab"]) -> Bool[Tensor, " batch"]:
        """Per pair whether the answer is the most likely token."""
        return logits.argmax(-1).cpu() == self.answers

    def foiled(self, logits: Float[Tensor, "batch vocab"]) -> Bool[Tensor, " batch"]:
        """Per pair whether the foil is the most likely token."""
        return logits.argmax(-1).cpu() == self.foils

    def corrupted_logits(self) -> Float[Tensor, "batch vocab"]:
        """Last logits of the counterfactuals themselves."""
        return self._subject.last_logits(self._subject.tokenise([p.corrupted for p in self._pairs]))


def gap_of(subject: Subject, pairs: Sequence[Asked]) -> float:
    """Mean of clean minus corrupted in a subject as it is (nats).

    Raises:
        ToolError: there is none, or an answer is no single token.
    """
    asked = PairAnswers(subject, pairs)
    clean = subject.last_logits(subject.tokenise([pair.base for pair in pairs]))
    return gap_between(asked.differences(clean), asked.differences(asked.corrupted_logits()))


def gap_between(clean: Float[Tensor, " batch"], corrupted: Float[Tensor, " batch"]) -> float:
    """Mean of clean minus corrupted (nats).

    Raises:
        ToolError: there is none, so that no effect could be a share of it.
    """
    gap = (clean - corrupted).mean().item()
    if not math.isfinite(gap):
        raise ToolError(
            f"Clean and corrupted prompts differ by {gap} nats: some logits are no numbers.",
            mend="Load the model in float32, or check its weights.",
        )
    if abs(gap) < SMALLEST_GAP:
        raise ToolError(
            f"{NO_GAP}: clean and corrupted prompts differ by {gap:.1g} nats.",
            mend="Choose counterfactuals that change the answer.",
        )
    return gap
