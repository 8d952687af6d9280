"""What the causal models of trained organisms are put together from."""

import random
from collections.abc import Sequence

from ._interchange_causal import Build, Change, Variable, Words


def classes(rng: random.Random, words: Sequence[str], names: Sequence[str], per_class: int) -> dict[str, str]:
    """A class for each of some words, equally many in each."""
    chosen = rng.sample(list(words), per_class * len(names))
    return {word: names[i % len(names)] for i, word in enumerate(chosen)}


def other_at(place: int, pool: Sequence[str]) -> Change:
    """Puts another word of the pool at one place."""

    def change(words: Words, rng: random.Random) -> Words:
        word = rng.choice([w for w in pool if w not in words])
        return (*words[:place], word, *words[place + 1 :])

    return change


def prompt_at_embed() -> Variable:
    """The words themselves."""
    return Variable("words", "embed", {}, tuple, "the words of the prompt, each at its position")


def said_at_logits(read: str) -> Variable:
    """The answer."""
    return Variable("said", "logits", {"answer": ("logits", read)}, lambda answer: answer, "the next word")


def heads(rng: random.Random, build: Build, count: int) -> list[int]:
    """Different heads of a layer."""
    return rng.sample(range(build.n_heads), count)


def look_back(words: Words) -> list[tuple[int, int]]:
    """From the second word to the first."""
    return [(1, 0)]


def value_behind(keys: Words, query: str, values: Words) -> str | None:
    """The value whose key is the query; keys and values in the same order."""
    return next((value for key, value in zip(keys, values, strict=True) if key == query), None)
