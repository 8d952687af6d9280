"""Which of two answers a subject leans to after a prompt: the answer's share of what both are given.

The share p(answer) / (p(answer) + p(foil)) is a logistic function of the difference of two logits, so it needs no
softmax over the vocabulary, and 0.5 means that the subject is undecided between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._subject import Subject

BATCH = 256


@dataclass(frozen=True)
class Leaning:
    """What a subject leans to after each of some prompts."""

    share: Float[Tensor, " batch"]  # the answer's share of both
    log_odds: Float[Tensor, " batch"]  # logit of the answer less that of the foil (nats)
    both: Float[Tensor, " batch"]  # probability of both together


def leaning(subject: Subject, prompts: Sequence[str], answers: Sequence[int], foils: Sequence[int]) -> Leaning:
    """Ask which of two tokens a subject leans to.

    Args:
        answers: token of each prompt's answer.
        foils: token of each prompt's other answer.

    Raises:
        ToolError: a prompt that the subject cannot read.
    """
    parts = []
    for start in range(0, len(prompts), BATCH):
        rows = slice(start, start + BATCH)
        logits = subject.last_logits(subject.tokenise(prompts[rows])).float()
        wanted = torch.tensor([answers[rows], foils[rows]], device=logits.device).T
        both = (logits.gather(-1, wanted) - logits.logsumexp(-1, keepdim=True)).exp().sum(-1)
        odds = log_odds(logits, wanted[:, 0], wanted[:, 1])
        parts.append(torch.stack([odds.sigmoid(), odds, both]).cpu())
    share, odds, both = torch.cat(parts, dim=1)
    return Leaning(share, odds, both)


def log_odds(
    logits: Float[Tensor, "batch vocab"], answers: Int[Tensor, " batch"], foils: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Logit of each answer less that of its foil (nats); its sigmoid is the answer's share of both."""
    answer, foil = (logits.gather(-1, one[:, None])[:, 0] for one in (answers, foils))
    return answer - foil
