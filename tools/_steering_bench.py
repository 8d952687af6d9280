"""What steering is measured on: prompts that ask for one of two words, and neutral texts for the harm."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ._base import ToolError
from ._steering import Passages, Positions, Pushes
from ._subject import Subject

LARGEST_EXPONENT = 700  # a perplexity beyond it is no number


class Questions:
    """Prompts with an answer and a foil, run clean once and then under any push."""

    def __init__(
        self,
        subject: Subject,
        prompts: Sequence[str],
        answer: str,
        foil: str,
        at: Positions,
        entities: Sequence[str],
        n_last: int | None = None,
    ) -> None:
        """
        Raises:
            ToolError: an answer or foil that is no single token, or both the same one.
        """
        self.answers = torch.tensor([subject.answer_token(prompt, answer) for prompt in prompts])
        self.foils = torch.tensor([subject.answer_token(prompt, foil) for prompt in prompts])
        if (self.answers == self.foils).any():
            raise ToolError("Answer and foil are one token.", mend="Give two different words.")
        self.passages = Passages(subject, prompts, at, entities, n_last)
        self.clean, self.clean_answered = self.answered(None)

    def answered(self, pushes: Pushes | None) -> tuple[Float[Tensor, " batch"], tuple[bool, ...]]:
        """Per prompt the logit difference (nats), and whether the answer is the most likely token."""
        logits = self.passages.last_logits(pushes)
        rows = torch.arange(len(logits))
        difference = logits[rows, self.answers] - logits[rows, self.foils]
        return difference, tuple((logits.argmax(-1) == self.answers).tolist())

    def effects(self, pushes: Pushes) -> Float[Tensor, " batch"]:
        """Per prompt how far the logit difference moves (nats)."""
        return self.answered(pushes)[0] - self.clean

    def effect(self, pushes: Pushes) -> float:
        """Mean over prompts of how far the logit difference moves (nats)."""
        return self.effects(pushes).mean().item()


class NeutralTexts:
    """Ordinary text, and how much worse a pushed model predicts it."""

    def __init__(self, subject: Subject, texts: Sequence[str], n: int) -> None:
        """
        Args:
            texts: Texts to use; none for those that came with the model.
            n: Texts to use at most, from the first (count).

        Raises:
            ToolError: none given and none with the model, or none with a token to predict.
        """
        chosen = (tuple(texts) or subject.texts)[:n]
        if not chosen:
            raise ToolError(f"{subject.name} came with no texts.", mend="Pass some in `neutral_texts`.")
        self.passages = Passages(subject, chosen, "all")
        if self.passages.n_predicted == 0:
            raise ToolError("No neutral text has a token to predict.", mend="Give texts of several words.")
        self.clean_loss = self.passages.loss()

    def ratio(self, pushes: Pushes) -> float:
        """Perplexity under a push over perplexity without it.

        Raises:
            ToolError: a ratio that is no number.
        """
        more = self.passages.loss(pushes) - self.clean_loss
        if more > LARGEST_EXPONENT:
            raise ToolError(f"Neutral text costs {more:.0f} nats more per token.", mend="Use smaller strengths.")
        return math.exp(more)
