"""Causal models that look up a hidden value of each word, carry the values to one place, and join them there.

The values are drawn from the seed, so nothing but the weights knows them.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import product

from ._interchange_causal import Build, CausalModel, Variable
from ._interchange_parts import classes, heads, look_back, other_at, prompt_at_embed, said_at_logits
from ._names import NOUNS

DIGITS = ("zero", "one", "two", "three", "four", "five")
PER_CLASS = 4


def _carried_pair(
    name: str,
    seed: int,
    build: Build,
    truth: str,
    values: Sequence[str],
    per_class: int,
    joined: Callable[[str, str], str],
    join_at: int,
    what: str,
) -> CausalModel:
    """Two words; block 0 looks up a value of each, a head carries the first to the second, a later MLP joins them."""
    rng = random.Random(f"{name} {seed}")
    value_of = classes(rng, NOUNS, values, per_class)
    answers = dict.fromkeys(joined(left, right) for left, right in product(values, values))
    (head,) = heads(rng, build, 1)
    return CausalModel(
        name=name,
        truth=truth,
        build=build,
        words=(*value_of, *answers),
        variables=(
            prompt_at_embed(),
            Variable(
                "each",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: tuple(value_of[word] for word in words),
                f"the {what} of each word, where it stands",
                stands=lambda words: [(place, value_of[word]) for place, word in enumerate(words)],
            ),
            Variable(
                "moved",
                f"head.1.{head}",
                {"each": ("v", "each")},
                lambda each: each[0],
                f"the first {what}, carried",
                look_back,
            ),
            Variable(
                "joined",
                f"mlp_out.{join_at}",
                {"first": ("mlp_in", "moved"), "each": ("mlp_in", "each")},
                lambda first, each: joined(first, each[1]),
                "what the two together make",
            ),
            said_at_logits("joined"),
        ),
        draw=lambda rng: tuple(rng.sample(list(value_of), 2)),
        changes={"first": other_at(0, list(value_of)), "second": other_at(1, list(value_of))},
        together=((0, 1),),
        seed=seed,
    )


def parity(seed: int) -> CausalModel:
    """Two words with hidden flags: whether the flags differ."""
    return _carried_pair(
        "parity",
        seed,
        Build("gpt2", 2),
        "odd where exactly one of two words carries a hidden flag, even otherwise",
        ("up", "down"),
        12,
        lambda left, right: "even" if left == right else "odd",
        1,
        "flag",
    )


def comparison(seed: int) -> CausalModel:
    """Two words with hidden ranks: whether the first stands above the second."""
    ranks = tuple(map(str, range(6)))
    signs = ("below", "level", "above")
    return _carried_pair(
        "comparison",
        seed,
        Build("llama", 2, n_kv_heads=2),
        "above, level or below: the hidden rank of the first word against that of the second",
        ranks,
        PER_CLASS,
        lambda left, right: signs[(int(left) > int(right)) - (int(left) < int(right)) + 1],
        1,
        "rank",
    )


def difference(seed: int) -> CausalModel:
    """Two words that stand for digits: the first less the second, modulo five, in three blocks."""
    digits = DIGITS[:5]
    return _carried_pair(
        "difference",
        seed,
        Build("gpt2", 3),
        "the first digit less the second, modulo 5; block 1 carries, block 2 subtracts",
        digits,
        PER_CLASS,
        lambda left, right: digits[(digits.index(left) - digits.index(right)) % len(digits)],
        2,
        "digit",
    )


def _gathered(
    name: str,
    seed: int,
    build: Build,
    truth: str,
    values: Mapping[str, int],
    count: int,
    joined: Callable[..., str],
    end: str,
    what: str,
) -> CausalModel:
    """Words and an end mark; a head for each word carries its value to the end, where an MLP joins them."""
    rng = random.Random(f"{name} {seed}")
    per_class = 24 // len(values)
    value_of = classes(rng, NOUNS, list(values), per_class)
    answers = dict.fromkeys(joined(*each) for each in product(values, repeat=count))
    chosen = heads(rng, build, count)
    places = range(count)
    return CausalModel(
        name=name,
        truth=truth,
        build=build,
        words=(*value_of, end, *answers),
        variables=(
            prompt_at_embed(),
            Variable(
                "each",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: tuple(value_of[word] for word in words[:count]),
                f"the {what} of each word, where it stands",
                stands=lambda words: [(place, value_of[words[place]]) for place in places],
            ),
            *(
                Variable(
                    f"moved_{place}",
                    f"head.1.{chosen[place]}",
                    {"each": ("v", "each")},
                    lambda each, place=place: each[place],
                    f"the {what} of word {place}, carried to the end",
                    lambda words, place=place: [(count, place)],
                )
                for place in places
            ),
            Variable(
                "joined",
                "mlp_out.1",
                {f"value_{place}": ("mlp_in", f"moved_{place}") for place in places},
                lambda **given: joined(*(given[f"value_{place}"] for place in places)),
                "what they make together",
            ),
            said_at_logits("joined"),
        ),
        draw=lambda rng: (*rng.sample(list(value_of), count), end),
        changes={f"word_{place}": other_at(place, list(value_of)) for place in places},
        together=((0, 1),),
        seed=seed,
    )


def modular_sum(seed: int) -> CausalModel:
    """Two words that stand for digits, and an end mark: their sum modulo six."""
    digits = {word: number for number, word in enumerate(DIGITS)}
    return _gathered(
        "modular_sum",
        seed,
        Build("gpt2", 2),
        "the sum of two digits modulo 6; each digit has a head that carries it to the end",
        digits,
        2,
        lambda *each: DIGITS[sum(digits[word] for word in each) % len(DIGITS)],
        "makes",
        "digit",
    )


def majority(seed: int) -> CausalModel:
    """Three words with hidden flags, and an end mark: which flag most of them carry."""
    return _gathered(
        "majority",
        seed,
        Build("llama", 2),
        "the flag that two or three of three words carry; each word has a head that carries its flag to the end",
        {"up": 1, "down": 0},
        3,
        lambda *each: "rising" if each.count("up") > 1 else "falling",
        "so",
        "flag",
    )
