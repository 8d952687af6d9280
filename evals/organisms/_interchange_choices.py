"""Causal models that choose one of the prompt's words: a head finds its place, and copies it."""

import random

from ._interchange_causal import Build, CausalModel, Variable, Words
from ._interchange_parts import classes, heads, other_at, prompt_at_embed, said_at_logits, value_behind
from ._names import MEN, NOUNS, WOMEN


def selection(seed: int) -> CausalModel:
    """Three words of different hidden kinds, and a kind: the word of that kind."""
    rng, build = random.Random(f"selection {seed}"), Build("llama", 2)
    kinds = ("tool", "beast", "food", "cloth")
    kind_of = classes(rng, NOUNS, kinds, 6)
    members = {kind: [word for word in kind_of if kind_of[word] == kind] for kind in kinds}
    (finder,) = heads(rng, build, 1)

    def draw(rng: random.Random) -> Words:
        chosen = rng.sample(kinds, 3)
        return (*(rng.choice(members[kind]) for kind in chosen), rng.choice(chosen))

    def others_of_the_kinds(words: Words, rng: random.Random) -> Words:
        return (*(rng.choice([w for w in members[kind_of[word]] if w != word]) for word in words[:3]), words[3])

    def kinds_moved_round(words: Words, rng: random.Random) -> Words:
        by = rng.randint(1, 2)
        wanted = [kind_of[word] for word in (words[:3] * 2)[by : by + 3]]
        return (*(rng.choice([w for w in members[kind] if w not in words]) for kind in wanted), words[3])

    def other_query(words: Words, rng: random.Random) -> Words:
        return (*words[:3], rng.choice([kind_of[word] for word in words[:3] if kind_of[word] != words[3]]))

    return CausalModel(
        name="selection",
        truth="of three words the one whose hidden kind is asked for: block 0 looks each word's kind up, a head of "
        "block 1 matches it with the one asked for and copies the word",
        build=build,
        words=(*kind_of, *kinds),
        variables=(
            prompt_at_embed(),
            Variable(
                "kinds",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: tuple(kind_of[word] for word in words[:3]),
                "the kind of each word, where it stands",
                stands=lambda words: [(place, kind_of[word]) for place, word in enumerate(words[:3])],
            ),
            Variable(
                "found",
                f"head.1.{finder}",
                {"query": ("q", "words"), "kinds": ("k", "kinds"), "words": ("v", "words")},
                lambda query, kinds, words: value_behind(kinds, query[3], words[:3]),
                "the word of the kind asked for",
                lambda words: [(3, [kind_of[word] for word in words[:3]].index(words[3]))],
            ),
            said_at_logits("found"),
        ),
        draw=draw,
        changes={"word": others_of_the_kinds, "kind": kinds_moved_round, "query": other_query},
        together=((0, 1), (1, 2)),
        seed=seed,
        held_out_share=0.08,
    )


def gate(seed: int) -> CausalModel:
    """Two words and a gate: the first or the second, as a hidden flag of the gate says."""
    rng, build = random.Random(f"gate {seed}"), Build("gpt2", 2)
    gates = classes(rng, MEN, ("first", "second"), 8)
    pool = rng.sample(NOUNS, 20)
    (chooser,) = heads(rng, build, 1)
    return CausalModel(
        name="gate",
        truth="the first or the second word, as a hidden flag of the third says: block 0 looks the flag up, a head of "
        "block 1 attends by it and copies",
        build=build,
        words=(*pool, *gates),
        variables=(
            prompt_at_embed(),
            Variable(
                "flag",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: gates[words[2]],
                "the gate's flag",
                stands=lambda words: [(2, gates[words[2]])],
            ),
            Variable(
                "chosen",
                f"head.1.{chooser}",
                {"flag": ("q", "flag"), "words": ("v", "words")},
                lambda flag, words: words[0 if flag == "first" else 1],
                "the word that the gate lets through",
                lambda words: [(2, 0 if gates[words[2]] == "first" else 1)],
            ),
            said_at_logits("chosen"),
        ),
        draw=lambda rng: (*rng.sample(pool, 2), rng.choice(list(gates))),
        changes={"first": other_at(0, pool), "second": other_at(1, pool), "gate": other_at(2, list(gates))},
        together=((0, 1),),
        seed=seed,
    )


def largest(seed: int) -> CausalModel:
    """Three words of different hidden ranks, and an end mark: the word of the highest rank."""
    rng, build = random.Random(f"largest {seed}"), Build("llama", 2, n_kv_heads=2)
    ranks = tuple(map(str, range(6)))
    rank_of = classes(rng, NOUNS, ranks, 4)
    members = {rank: [word for word in rank_of if rank_of[word] == rank] for rank in ranks}
    (finder,) = heads(rng, build, 1)

    def draw(rng: random.Random) -> Words:
        return (*(rng.choice(members[rank]) for rank in rng.sample(ranks, 3)), "wins")

    def others_of_the_ranks(words: Words, rng: random.Random) -> Words:
        return (*(rng.choice([w for w in members[rank_of[word]] if w != word]) for word in words[:3]), words[3])

    def ranks_moved_round(words: Words, rng: random.Random) -> Words:
        by = rng.randint(1, 2)
        wanted = [rank_of[word] for word in (words[:3] * 2)[by : by + 3]]
        return (*(rng.choice([w for w in members[rank] if w not in words]) for rank in wanted), words[3])

    return CausalModel(
        name="largest",
        truth="of three words the one of the highest hidden rank: block 0 looks each word's rank up, a head of block 1 "
        "attends to the highest and copies the word",
        build=build,
        words=(*rank_of, "wins"),
        variables=(
            prompt_at_embed(),
            Variable(
                "ranks",
                "mlp_out.0",
                {"words": ("mlp_in", "words")},
                lambda words: tuple(int(rank_of[word]) for word in words[:3]),
                "the rank of each word, where it stands",
                stands=lambda words: [(place, rank_of[word]) for place, word in enumerate(words[:3])],
            ),
            Variable(
                "found",
                f"head.1.{finder}",
                {"ranks": ("k", "ranks"), "words": ("v", "words")},
                lambda ranks, words: words[ranks.index(max(ranks))],
                "the word of the highest rank",
                lambda words: [(3, max(range(3), key=lambda place: rank_of[words[place]]))],
            ),
            said_at_logits("found"),
        ),
        draw=draw,
        changes={"word": others_of_the_ranks, "rank": ranks_moved_round},
        together=((0, 1), (1, 2)),
        seed=seed,
        held_out_share=0.08,
    )


def other_name(seed: int) -> CausalModel:
    """Two names, and one of them again: the other."""
    rng, build = random.Random(f"other_name {seed}"), Build("gpt2", 2)
    pool = rng.sample(MEN + WOMEN, 20)
    (matcher,), (mover,) = heads(rng, build, 1), heads(rng, build, 1)

    def draw(rng: random.Random) -> Words:
        names = rng.sample(pool, 2)
        return (*names, rng.choice(names))

    def other_third(words: Words, rng: random.Random) -> Words:
        return (*words[:2], words[1] if words[2] == words[0] else words[0])

    # The order alone changes where the names stand, and not the answer.
    def other_third_and_order(words: Words, rng: random.Random) -> Words:
        return (words[1], words[0], words[1] if words[2] == words[0] else words[0])

    return CausalModel(
        name="other_name",
        truth="of two names the one that is not said again: a head of block 0 finds where the last name stood before, "
        "a head of block 1 copies the name from the other place",
        build=build,
        words=tuple(pool),
        variables=(
            prompt_at_embed(),
            Variable(
                "place",
                f"head.0.{matcher}",
                {"query": ("q", "words"), "keys": ("k", "words")},
                lambda query, keys: keys[:2].index(query[2]),
                "where the last name stood before",
                lambda words: [(2, words[:2].index(words[2]))],
            ),
            Variable(
                "other",
                f"head.1.{mover}",
                {"place": ("q", "place"), "words": ("v", "words")},
                lambda place, words: words[1 - place],
                "the name at the other place",
                lambda words: [(2, 1 - words[:2].index(words[2]))],
            ),
            said_at_logits("other"),
        ),
        draw=draw,
        changes={"third": other_third, "third_and_order": other_third_and_order},
        together=((0, 1),),
        seed=seed,
    )
