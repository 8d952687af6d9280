"""Prompts with known answers, run with units of the model ablated.

How high an answer stands is its logit less the mean over the vocabulary. What an ablation takes from a prompt is how
far that height falls, as a share of the mean height of its set: 0 nothing lost, 1 as low as the average word.

The axis feature counts units or dimensions of a site; d_model is a site's width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from ._base import NO_GAP, Frozen, ToolError
from ._hooks import Edit
from ._reader import Tokens
from ._subject import Subject
from ._units import Units

Ablation = Literal["zero", "mean", "resample"]
LOWEST_HEIGHT = 0.1  # nats: below it there is no answer to impair


class Question(Frozen):
    """A prompt and the next word that is right."""

    prompt: str = Field(description="Prompt to run.")
    answer: str = Field(description="Its next word.")
    cluster: str = Field("", description="Questions with equal names are not independent: one fold, one draw.")


@dataclass(frozen=True)
class Outcome:
    """Heights of answers and whether they are right, per prompt."""

    heights: Float[Tensor, " batch"]  # nats
    right: Bool[Tensor, " batch"]


class Exam:
    """Both sets of questions in one batch: their clean outcome, and the outcome with units ablated."""

    def __init__(
        self, subject: Subject, sets: tuple[Sequence[Question], Sequence[Question]], positions: Literal["all", "last"]
    ) -> None:
        """
        Raises:
            ToolError: a prompt that the subject cannot read, a prompt of special tokens alone, or an answer that is no
                single token.
        """
        self.subject, self.sets = subject, sets
        questions = [*sets[0], *sets[1]]
        self.of_first = torch.tensor([True] * len(sets[0]) + [False] * len(sets[1]))
        self.answers: Int[Tensor, " batch"] = torch.tensor(
            [subject.answer_token(q.prompt, q.answer) for q in questions]
        )
        self.tokens = subject.tokenise([q.prompt for q in questions])
        self.mask: Bool[Tensor, "batch pos"] = subject.reader.is_text(self.tokens)
        if positions == "last":
            self.mask = torch.zeros_like(self.mask)
            self.mask[torch.arange(len(questions)), self.tokens.last] = True
        if not self.mask.any(-1).all():
            alone = questions[int((~self.mask.any(-1)).nonzero()[0])].prompt
            raise ToolError(f"{alone!r} has special tokens alone: none is ablated.", mend="Give prompts with words.")
        logits = subject.last_logits(self.tokens)
        self._logits, self.clean = logits, self._outcome(logits)
        heights = self.clean.heights
        self.scale = (heights[self.of_first].mean().item(), heights[~self.of_first].mean().item())
        self._refuse_unanswered()

    def losses(self, outcome: Outcome) -> Float[Tensor, " batch"]:
        """Per prompt how far its answer fell (share of the mean height of its set)."""
        first, second = self.scale
        scale = torch.where(self.of_first, first, second)
        return (self.clean.heights - outcome.heights) / scale

    def ablated(self, units: Units, chosen: Sequence[int], filler: "Filler") -> Outcome:
        """The outcome with these units ablated at the tokens of the exam."""
        return self._outcome(self._run(units, chosen, filler))

    def no_op_change(self, units: Units, chosen: Sequence[int]) -> float:
        """Largest change of any logit when these units get their own values."""
        themselves = Filler("resample", donors=tuple(range(len(self.answers))))
        return (self._run(units, chosen, themselves) - self._logits).abs().max().item()

    def _run(self, units: Units, chosen: Sequence[int], filler: "Filler") -> Float[Tensor, "batch vocab"]:
        columns = units.columns(chosen)
        return self.subject.last_logits(self.tokens, lambda rows: self._edits(rows, columns, filler))

    def _edits(self, rows: slice, columns: Mapping[str, list[int] | None], filler: "Filler") -> dict[str, Edit]:
        mask = self.mask[rows]
        given = self._donated(rows, list(columns), filler) if filler.donors else {}
        return {
            site: _edit(mask, some, given.get(site, filler.means.get(site) if filler.kind == "mean" else None))
            for site, some in columns.items()
        }

    def _donated(
        self, rows: slice, sites: Sequence[str], filler: "Filler"
    ) -> dict[str, Float[Tensor, "batch pos d_model"]]:
        """What other prompts have at the same place, counted from the end, or at their first token of text."""
        donors = list(filler.donors[rows])
        mine = torch.tensor(self.tokens.lengths[rows])[:, None]
        theirs = torch.tensor([self.tokens.lengths[donor] for donor in donors])[:, None]
        first = self.subject.reader.is_text(self.tokens).int().argmax(-1).cpu()[donors][:, None]
        places = torch.arange(self.tokens.ids.shape[1])[None] + theirs - mine
        places = torch.minimum(torch.maximum(places, first), theirs - 1)
        read = self.subject.run(Tokens(self.tokens.ids[donors], tuple(theirs[:, 0].tolist())), read=sites)
        return {site: value[torch.arange(len(donors))[:, None], places] for site, value in read.sites.items()}

    def _outcome(self, logits: Float[Tensor, "batch vocab"]) -> Outcome:
        both = logits.cpu()
        heights = both[torch.arange(len(both)), self.answers] - both.mean(-1)
        return Outcome(heights, both.argmax(-1) == self.answers)

    def _refuse_unanswered(self) -> None:
        for name, height in zip(("first", "second"), self.scale, strict=True):
            if not height >= LOWEST_HEIGHT:
                raise ToolError(
                    f"{NO_GAP}: answers of the {name} set stand {height:.2g} nats above the average word.",
                    mend="Ask what the model can answer.",
                )


@dataclass(frozen=True)
class Filler:
    """What ablated units are given."""

    kind: Ablation
    means: Mapping[str, Float[Tensor, " d_model"]] = field(default_factory=dict)  # by site
    donors: tuple[int, ...] = ()  # per prompt whose values it gets


def _edit(mask: Bool[Tensor, "batch pos"], columns: list[int] | None, given: Tensor | None) -> Edit:
    def edit(value: Tensor) -> Tensor:
        chosen = torch.ones(value.shape[-1], dtype=torch.bool, device=value.device)
        if columns is not None:
            chosen[:] = False
            chosen[columns] = True
        new = torch.zeros_like(value) if given is None else given.to(value).expand_as(value)
        return torch.where(mask[..., None] & chosen, new, value)

    return edit
