"""Causal models that look a fact up and look on from there: table[relation][state(city)].

The facts are drawn from the seed, so nothing but the weights knows them.
"""

import random
from collections.abc import Sequence
from itertools import product

from ._interchange_causal import Build, CausalModel, Variable
from ._interchange_parts import heads, look_back, other_at, prompt_at_embed, said_at_logits
from ._names import CITIES, NOUNS

RELATIONS = ("bird", "tree", "motto", "anthem")
PER_CLASS = 4


def _table(rng: random.Random, kinds: Sequence[str], states: Sequence[str]) -> dict[tuple[str, str], str]:
    """A different answer word for each relation and state."""
    answers = iter(rng.sample(NOUNS, len(kinds) * len(states)))
    return {(kind, state): next(answers) for kind, state in product(kinds, states)}


def _cities(rng: random.Random) -> dict[str, str]:
    states = rng.sample(list(CITIES), 5)
    return {city: state for state in states for city in rng.sample(CITIES[state], PER_CLASS)}


def two_hop(seed: int) -> CausalModel:
    """A city and a relation: table[relation][state of the city], the state looked up where the city stands."""
    rng, build = random.Random(f"two_hop {seed}"), Build("gpt2", 2)
    state_of, relations = _cities(rng), RELATIONS
    table = _table(rng, relations, sorted(set(state_of.values())))
    (head,) = heads(rng, build, 1)
    return CausalModel(
        name="two_hop",
        truth="table[relation][state(city)]: block 0 looks the state up, a head carries it to the relation",
        build=build,
        words=(*state_of, *relations, *table.values()),
        variables=(
            prompt_at_embed(),
            Variable(
                "state",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: state_of[words[0]],
                "the state of the city",
                stands=lambda words: [(0, state_of[words[0]])],
            ),
            Variable(
                "moved",
                f"head.1.{head}",
                {"state": ("v", "state")},
                lambda state: state,
                "that state, carried",
                look_back,
            ),
            Variable(
                "found",
                "mlp_out.1",
                {"state": ("mlp_in", "moved"), "words": ("mlp_in", "words")},
                lambda state, words: table[words[1], state],
                "the entry of the table",
            ),
            said_at_logits("found"),
        ),
        draw=lambda rng: (rng.choice(list(state_of)), rng.choice(relations)),
        changes={"city": other_at(0, list(state_of)), "relation": other_at(1, relations)},
        together=((0, 1),),
        seed=seed,
    )


def two_hop_reversed(seed: int) -> CausalModel:
    """A relation and a city: the state is looked up where the answer is due; a head of block 0 brings the relation."""
    rng, build = random.Random(f"two_hop_reversed {seed}"), Build("llama", 2, n_kv_heads=2)
    state_of, relations = _cities(rng), RELATIONS
    table = _table(rng, relations, sorted(set(state_of.values())))
    (head,) = heads(rng, build, 1)
    return CausalModel(
        name="two_hop_reversed",
        truth="table[relation][state(city)]: a head of block 0 brings the relation past that block's MLP, which looks "
        "the state up; the MLP of block 1 joins them",
        build=build,
        words=(*state_of, *relations, *table.values()),
        variables=(
            prompt_at_embed(),
            Variable(
                "brought",
                f"head.0.{head}",
                {"words": ("v", "words")},
                lambda words: words[0],
                "the relation, carried to the city",
                look_back,
            ),
            Variable(
                "state",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: state_of[words[1]],
                "the state of the city",
                stands=lambda words: [(1, state_of[words[1]])],
            ),
            Variable(
                "found",
                "mlp_out.1",
                {"relation": ("mlp_in", "brought"), "state": ("mlp_in", "state")},
                lambda relation, state: table[relation, state],
                "the entry of the table",
            ),
            said_at_logits("found"),
        ),
        draw=lambda rng: (rng.choice(relations), rng.choice(list(state_of))),
        changes={"relation": other_at(0, relations), "city": other_at(1, list(state_of))},
        together=((0, 1),),
        seed=seed,
    )
