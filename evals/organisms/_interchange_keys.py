"""Causal models that look keys up in the prompt: a head brings each value its key, another looks for the query."""

import random
from collections.abc import Sequence

from ._interchange_causal import Build, CausalModel, Change, Variable, Words
from ._interchange_parts import heads, prompt_at_embed, said_at_logits, value_behind
from ._names import NOUNS

KEYS = (0, 2, 4)  # places of three keys, each with its value behind it, and of the query
QUERY = 6


def _put(words: Words, places: Sequence[int], given: Sequence[str]) -> Words:
    """The words with others at some places."""
    new = dict(zip(places, given, strict=True))
    return tuple(new.get(place, word) for place, word in enumerate(words))


def _moved_round(places: Sequence[int]) -> Change:
    """Moves the words at these places round, so that none keeps its place."""

    def change(words: Words, rng: random.Random) -> Words:
        here = [words[place] for place in places]
        by = rng.randint(1, len(here) - 1)
        return _put(words, places, here[by:] + here[:by])

    return change


def _other_query(words: Words, rng: random.Random) -> Words:
    keys = [words[place] for place in KEYS if words[place] != words[QUERY]]
    return (*words[:QUERY], rng.choice(keys))


def _brought_before(head: int, says: str) -> Variable:
    """What a head of block 0 brings each value: the key in front of it."""
    return Variable(
        "before",
        f"head.0.{head}",
        {"words": ("v", "words")},
        lambda words: words[:QUERY:2],
        says,
        lambda words: [(place + 1, place) for place in KEYS],
    )


def _value_of(words: Words, key: str) -> int:
    """The place behind a key."""
    return next(place + 1 for place in KEYS if words[place] == key)


def induction(seed: int) -> CausalModel:
    """Three keys with their values, and a key again: the value that stood behind it."""
    rng, build = random.Random(f"induction {seed}"), Build("gpt2", 2)
    pool = rng.sample(NOUNS, 24)
    (before,), (finder,) = heads(rng, build, 1), heads(rng, build, 1)
    values = [place + 1 for place in KEYS]

    def draw(rng: random.Random) -> Words:
        words = rng.sample(pool, 6)
        return (*words, words[rng.choice(KEYS)])

    def other_values(words: Words, rng: random.Random) -> Words:
        return _put(words, values, rng.sample([w for w in pool if w not in words], 3))

    return CausalModel(
        name="induction",
        truth="the word that stood behind the last word when it stood earlier: a head of block 0 brings each word the "
        "one before it, a head of block 1 looks for the last word among these",
        build=build,
        words=tuple(pool),
        variables=(
            prompt_at_embed(),
            _brought_before(before, "the word before each value"),
            Variable(
                "found",
                f"head.1.{finder}",
                {"query": ("q", "words"), "keys": ("k", "before"), "values": ("v", "words")},
                lambda query, keys, values: value_behind(keys, query[QUERY], values[1:QUERY:2]),
                "the value behind the query's key",
                lambda words: [(QUERY, _value_of(words, words[QUERY]))],
            ),
            said_at_logits("found"),
        ),
        draw=draw,
        changes={"value": other_values, "key": _moved_round(KEYS), "query": _other_query},
        together=tuple((place, place + 1) for place in KEYS),
        seed=seed,
        held_out_share=0.08,
    )


def chain(seed: int) -> CausalModel:
    """Three keys with their values, which are keys too, and a key: the value of its value."""
    rng, build = random.Random(f"chain {seed}"), Build("gpt2", 3)
    pool = rng.sample(NOUNS, 16)
    (before,), (first,), (second,) = (heads(rng, build, 1) for _ in range(3))
    values = [place + 1 for place in KEYS]

    def pointed(words: Words, rng: random.Random) -> Words:
        keys = [words[place] for place in KEYS]
        return _put(words, values, [rng.choice([other for other in keys if other != key]) for key in keys])

    def draw(rng: random.Random) -> Words:
        keys = rng.sample(pool, 3)
        return pointed((keys[0], "", keys[1], "", keys[2], "", rng.choice(keys)), rng)

    def look_up(query: str, keys: Words, values: Words) -> str | None:
        return value_behind(keys, query, values[1:QUERY:2])

    return CausalModel(
        name="chain",
        truth="the value of the query's value: a head of block 0 brings each value its key, heads of blocks 1 and 2 "
        "look up one step each",
        build=build,
        words=tuple(pool),
        variables=(
            prompt_at_embed(),
            _brought_before(before, "the key before each value"),
            Variable(
                "first",
                f"head.1.{first}",
                {"query": ("q", "words"), "keys": ("k", "before"), "values": ("v", "words")},
                lambda query, keys, values: look_up(query[QUERY], keys, values),
                "the value of the query",
                lambda words: [(QUERY, _value_of(words, words[QUERY]))],
            ),
            Variable(
                "second",
                f"head.2.{second}",
                {"query": ("q", "first"), "keys": ("k", "before"), "values": ("v", "words")},
                look_up,
                "the value of that value",
                lambda words: [(QUERY, _value_of(words, words[_value_of(words, words[QUERY])]))],
            ),
            said_at_logits("second"),
        ),
        draw=draw,
        changes={"value": pointed, "key": _moved_round(KEYS), "query": _other_query},
        together=tuple((place, place + 1) for place in KEYS),
        seed=seed,
        held_out_share=0.05,
    )
