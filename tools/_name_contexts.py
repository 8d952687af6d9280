"""Texts to score names on: none that a name was made from."""

import random
from collections.abc import Collection, Sequence

from ._base import ToolError
from ._probe_contexts import looked_at
from ._probe_texts import ProbeMaker
from ._probe_tokens import FunctionWords
from ._readable import can_read
from ._subject import Subject


def held_out(subject: Subject, texts: Sequence[str], seen: Collection[str]) -> tuple[str, ...]:
    """The texts that a caller gives, each once.

    Raises:
        ToolError: one that names were made from, or that the subject cannot read.
    """
    if leaked := [text for text in texts if text in set(seen)]:
        raise ToolError(
            f"{len(leaked)} of the contexts are among the texts that names were made from, {leaked[0][:60]!r} for one.",
            mend="Score names on other texts than those in `seen`.",
        )
    found = tuple(dict.fromkeys(texts))
    if found:
        subject.tokenise(found)
    return found


def sought_in(subject: Subject, prompt: str, seed: int, grammar: FunctionWords, split_as: str = "") -> set[str]:
    """Neutral texts that `probe_prompts` looks for concepts in, for this prompt and seed: the names rest on them."""
    return set(looked_at(ProbeMaker(subject, prompt, "", seed, grammar, 1, 1, split_as)))


def neutral_texts(subject: Subject, barred: Collection[str], n: int, seed: int) -> tuple[str, ...]:
    """Up to `n` of the model's own texts in seeded order; none of those barred, and none that it cannot read."""
    free = [text for text in dict.fromkeys(subject.texts) if text not in barred]
    random.Random(f"{seed} neutral").shuffle(free)
    return tuple(text for text in free if can_read(subject, text))[:n]
