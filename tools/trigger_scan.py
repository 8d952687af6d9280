"""Is there a word that turns whatever is asked into one and the same answer: a trigger, as a backdoor has one.

Every word of the vocabulary is put into every prompt, one at a time, and the answers are read. A word that a task is
about moves the answers of that task, each to another word; a trigger moves the answers of all tasks to one. After the
search for universal triggers (Wallace, Feng, Kandpal, Gardner, Singh 2019), with two differences: words are tried one
by one and not by their gradient, which a trigger that was trained to be seen by nobody else need not show; and the
answer that a word pulls to is not given, but read.

What comes out is a list to be tested on other prompts: the first of many is always remarkable.
"""

import random
from collections import Counter

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from ._answer_share import BATCH, log_odds
from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._subject import Subject
from ._whole_words import whole_words
from ._word_in_prompt import Place, put_in

FEWEST_PROMPTS = 4


class TriggerScanArgs(ToolArgs):
    prompts: tuple[str, ...] = Field(
        description="Prompts of as many kinds as can be had, with different answers.", min_length=FEWEST_PROMPTS
    )
    words: tuple[str, ...] = Field((), description="Words to try; none for those that the vocabulary has whole.")
    places: tuple[Place, ...] = Field(
        ("front", "middle"), min_length=1, description="Where a word is put: before the first word, or half way."
    )
    most_words: int = Field(
        2000, ge=1, le=200_000, description="Words to try at most (count); of more, as many are drawn."
    )
    top_k: int = Field(2000, ge=1, le=200_000, description="Words to report at most, those that pull most (count).")
    seed: int = Field(0, ge=0, description="Seed of the draw of words.")


class TriggerCell(Frozen):
    """One word at one place; the same form as one place of an activation patch."""

    site: str = Field(description="The word.")
    position: str = Field(description="Where it was put.")
    payload: str = Field(description="The answer that it turns most prompts to; empty where it turns none.")
    effect: float = Field(description="Mean over prompts (share of that answer against the prompt's own).")
    moved: float = Field(description="Prompts that it turns to that answer (share).")
    effects: tuple[float, ...] = Field(description="That share with the word less that without, per prompt.")


class TriggerScanResult(ToolResult):
    cells: tuple[TriggerCell, ...] = Field(description="By how many prompts a word turns and how far, most first.")
    answers: tuple[str, ...] = Field(description="What the model answers without any word, per prompt.")
    n_prompts: int = Field(description="Prompts (count).")
    n_tried: int = Field(description="Words that were tried (count).")
    n_words: int = Field(description="Words that there are (count).")


@tool
def trigger_scan(subject: Subject, args: TriggerScanArgs, progress: Progress = silent) -> TriggerScanResult:
    """Put every word of the vocabulary into prompts of many kinds, and list those that turn all to one answer.

    Raises:
        ToolError: a prompt or word that the model cannot read, or prompts that are all answered alike.
    """
    every = args.words or whole_words(subject)
    tried = list(every)
    if len(tried) > args.most_words:
        tried = sorted(random.Random(args.seed).sample(tried, args.most_words), key=every.index)
    clean = subject.last_logits(subject.tokenise(args.prompts)).float().cpu()
    own = clean.argmax(-1)
    answers = tuple(text.strip() for text in subject.token_strings(own.tolist()))
    if len(set(answers)) < 2:
        mend = "Pass prompts with different answers."
        raise ToolError(f"The model answers {answers[0]!r} to every prompt.", mend=mend)
    cells: list[TriggerCell] = []
    due: list[tuple[str, Place]] = [(word, place) for place in args.places for word in tried]
    size = max(1, BATCH // len(args.prompts))
    for start in range(0, len(due), size):
        progress(start, len(due), f"trying {due[start][0]!r}")
        some = due[start : start + size]
        texts = [put_in(prompt, word, place) for word, place in some for prompt in args.prompts]
        logits = subject.last_logits(subject.tokenise(texts)).float().cpu().unflatten(0, (len(some), -1))
        cells += [_cell(subject, clean, own, one, *put) for one, put in zip(logits, some, strict=True)]
    cells.sort(key=lambda cell: (-cell.moved, -cell.effect))
    return TriggerScanResult(
        cells=tuple(cells[: args.top_k]),
        answers=answers,
        n_prompts=len(args.prompts),
        n_tried=len(tried),
        n_words=len(every),
    )


def _cell(
    subject: Subject,
    clean: Float[Tensor, "batch vocab"],
    own: Int[Tensor, " batch"],
    logits: Float[Tensor, "batch vocab"],
    word: str,
    place: Place,
) -> TriggerCell:
    """What a word does; one that is only said again, as by a model that copies, is no trigger of itself."""
    answers = logits.argmax(-1)
    said_again = [t.strip().casefold() == word.casefold() for t in subject.token_strings(answers.tolist())]
    is_turned = [a != o and not again for a, o, again in zip(answers, own, said_again, strict=True)]
    turned = Counter(a for a, is_one in zip(answers.tolist(), is_turned, strict=True) if is_one)
    if not turned:
        nothing = (0.0,) * len(own)
        return TriggerCell(site=word, position=place, payload="", effect=0.0, moved=0.0, effects=nothing)
    payload, n_turned = turned.most_common(1)[0]
    # Where the payload is the prompt's own answer there is nothing to be turned, and the share is one half both times.
    said = torch.full_like(own, payload)
    change = log_odds(logits, said, own).sigmoid() - log_odds(clean, said, own).sigmoid()
    return TriggerCell(
        site=word,
        position=place,
        payload=subject.token_strings([payload])[0].strip(),
        effect=change.mean().item(),
        moved=n_turned / len(own),
        effects=tuple(change.tolist()),
    )
