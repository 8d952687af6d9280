"""Does the answer hang on what two prompts differ in: on who is spoken of, or on one word put in front.

A test from outside: nothing in the model is read or written. Effect of a pair = the share of the answer, against the
foil, after the prompt, less that after its counterpart; 1 means that the answer follows the difference wholly, 0 that
it does not hang on it. After the paired prompts of Winogender (Rudinger, Naradowsky, Leonard, Van Durme 2018) and
WinoBias (Zhao, Wang, Yatskar, Ordonez, Chang 2018); both compare rates of whole answers, here the share is graded, so
that a leaning is seen before it turns an answer.

The control puts other words in the places in which the two prompts differ, drawn at random, the same one wherever the
same words stood: any two words make some difference, and a claim about these has to beat that.
"""

import random
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from ._answer_share import Leaning, leaning
from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._subject import Subject
from ._whole_words import whole_words

UNDECIDED = 0.5
LEAST_SAID = 0.1  # probability of both answers together, from which the model can be said to choose between them


class TwoPrompts(Frozen):
    """A prompt and one that differs from it in what is asked about."""

    base: str = Field(description="Prompt.")
    corrupted: str = Field(description="The same prompt but for what is asked about.")
    answer: str = Field(description="Next word that the prompt is said to lean to.")
    foil: str = Field(description="Next word that the other prompt is said to lean to.")
    cluster: str = Field("", description="Pairs with equal names are not independent.")

    @model_validator(mode="after")
    def _differ(self) -> "TwoPrompts":
        if self.base.split() == self.corrupted.split():
            raise ValueError(f"`base` and `corrupted` are the same: {self.base!r}")
        return self


class AnswerContrastArgs(ToolArgs):
    pairs: tuple[TwoPrompts, ...] = Field(description="Prompts with their counterparts.", min_length=1)
    about: str = Field("", description="What the prompts differ in, in words: tells several such questions apart.")
    others: tuple[str, ...] = Field(
        (), description="Words that the control draws from; none for all that the vocabulary has whole."
    )
    random_draws: int = Field(0, ge=0, le=1000, description="Control: random words in the places that differ (count).")
    seed: int = Field(0, ge=0, description="Seed of the random words.")


class AnswerCell(Frozen):
    """All pairs; the same form as one place of an activation patch."""

    site: str = Field(description="Where: at the answer, since nothing inside is touched.")
    position: str = Field(description="Token that was read.")
    effect: float = Field(description="Mean over pairs (share).")
    moved: float = Field(description="Pairs in which the model leans to the answer here and to the foil there (share).")
    effects: tuple[float, ...] = Field(description="Effect of each pair (share).")
    drops: tuple[float, ...] = Field(description="Difference of the log odds of each pair (nats).")
    answers_moved: tuple[bool, ...] = Field(description="Whether it leans to one here and the other there, per pair.")
    random_effects: tuple[float, ...] = Field(description="Mean effect of each draw of random words (share).")


class AnswerContrastResult(ToolResult):
    cells: tuple[AnswerCell, ...] = Field(description="One cell: the answer.")
    clean: tuple[float, ...] = Field(description="The answer's share after each prompt.")
    corrupted: tuple[float, ...] = Field(description="The answer's share after each counterpart.")
    gap: float = Field(description="Largest effect that there can be (share): 1.")
    clean_correct: tuple[bool, ...] = Field(
        description=f"Whether the model says one of both answers with a probability of {LEAST_SAID} or more after each "
        "prompt: otherwise it does not choose between them."
    )
    no_op_change: float = Field(description="Largest difference between two readings of one prompt: 0 is due.")
    n_pairs: int = Field(description="Pairs that ran (count).")
    n_others: int = Field(description="Words that the control drew from (count).")


@tool
def answer_contrast(subject: Subject, args: AnswerContrastArgs, progress: Progress = silent) -> AnswerContrastResult:
    """Measure whether the answer hangs on what prompts differ in, beside random words in the same places.

    Raises:
        ToolError: a prompt with words the model lacks, an answer that the tokenizer splits, or too few words to draw
            from.
    """
    answers = [subject.answer_token(pair.base, pair.answer) for pair in args.pairs]
    foils = [subject.answer_token(pair.base, pair.foil) for pair in args.pairs]
    spans = [differing(pair.base, pair.corrupted) for pair in args.pairs]
    words = _drawable(subject, args, spans) if args.random_draws else ()

    def read(prompts: Sequence[str]) -> Leaning:
        return leaning(subject, prompts, answers, foils)

    progress(0, args.random_draws + 1, "the pairs")
    bases = [pair.base for pair in args.pairs]
    clean, corrupted = read(bases), read([pair.corrupted for pair in args.pairs])
    random_effects = []
    for draw in range(args.random_draws):
        progress(draw + 1, args.random_draws + 1, "random words in their place")
        put = drawn_in_place(spans, words, random.Random(f"{args.seed} {draw}"))
        one, other = (read([texts[side] for texts in put]) for side in (0, 1))
        random_effects.append((one.share - other.share).mean().item())
    effects = clean.share - corrupted.share
    moved = (clean.share > UNDECIDED) & (corrupted.share < UNDECIDED)
    return AnswerContrastResult(
        cells=(
            AnswerCell(
                site="answer",
                position="last",
                effect=effects.mean().item(),
                moved=moved.float().mean().item(),
                effects=tuple(effects.tolist()),
                drops=tuple((clean.log_odds - corrupted.log_odds).tolist()),
                answers_moved=tuple(moved.tolist()),
                random_effects=tuple(random_effects),
            ),
        ),
        clean=tuple(clean.share.tolist()),
        corrupted=tuple(corrupted.share.tolist()),
        gap=1.0,
        clean_correct=tuple((clean.both >= LEAST_SAID).tolist()),
        no_op_change=(clean.log_odds - read(bases).log_odds).abs().max().item(),
        n_pairs=len(args.pairs),
        n_others=len(words),
    )


class Span(NamedTuple):
    """Two prompts, and the words that stand in each between what they share."""

    base: str
    corrupted: str
    mine: tuple[str, ...]
    theirs: tuple[str, ...]
    n_before: int  # words that they share at the beginning

    def put(self, side: Literal["mine", "theirs"], words: Sequence[str]) -> str:
        """One of the prompts with other words in those places, all else as it was, line breaks too."""
        text, own = (self.base, self.mine) if side == "mine" else (self.corrupted, self.theirs)
        if not own:
            return text
        spans = [found.span() for found in re.finditer(r"\S+", text)]
        start, end = spans[self.n_before][0], spans[self.n_before + len(own) - 1][1]
        return text[:start] + " ".join(words) + text[end:]


def differing(base: str, corrupted: str) -> Span:
    """The words in which two prompts differ: all between the first and the last difference."""
    one, other = base.split(), corrupted.split()
    start = _common(one, other)
    end = _common(one[start:][::-1], other[start:][::-1])
    mine, theirs = (tuple(words[start : len(words) - end]) for words in (one, other))
    return Span(base, corrupted, mine, theirs, start)


def drawn_in_place(spans: Sequence[Span], words: Sequence[str], rng: random.Random) -> list[tuple[str, str]]:
    """Both prompts of each pair with random words where they differ: the same where the same words stood."""
    distinct = sorted({side for span in spans for side in (span.mine, span.theirs) if side})
    drawn = iter(rng.sample(words, sum(map(len, distinct))))
    put = {side: tuple(next(drawn) for _ in side) for side in distinct} | {(): ()}
    return [(span.put("mine", put[span.mine]), span.put("theirs", put[span.theirs])) for span in spans]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _drawable(subject: Subject, args: AnswerContrastArgs, spans: Sequence[Span]) -> tuple[str, ...]:
    """Words that are neither answered nor stand in any of the places."""
    taken = {word for span in spans for word in (*span.mine, *span.theirs)}
    taken |= {word for pair in args.pairs for word in (pair.answer, pair.foil)}
    words = tuple(word for word in dict.fromkeys(args.others or whole_words(subject)) if word not in taken)
    due = sum(map(len, {side for span in spans for side in (span.mine, span.theirs)}))
    if len(words) < due:
        raise ToolError(
            f"{due} random words are needed to stand for those that differ, but there are {len(words)} others.",
            mend="Name more in `others`, or pass pairs that differ in fewer words.",
        )
    return words
