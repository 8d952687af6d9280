"""The world that the reference model `atlas` is trained on: facts, prompt families, and what is held out of training.

The same seed gives the same splits, the same rows and the same sentences. Every word is one token, so that a swap of
one word never moves another. What is held out is held out by *entity* (a city, a name, a pair), never by template.
"""

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ._names import (
    ALWAYS_HELD_OUT,
    ALWAYS_TRAINED,
    ANTONYMS,
    CAPITALS,
    CENTURIES,
    CITIES,
    EVENTS,
    GREATER_THAN_TEMPLATES,
    MEN,
    NOUNS,
    OBJECTS,
    PLACES,
    ROLES,
    TEMPLATES,
    WOMEN,
    YEARS,
)

IOI_ROWS = (240, 60)  # trained, held out: a sample, since all pairs with all places would fill megabytes
INDUCTION_ROWS = (150, 50)


@dataclass(frozen=True)
class Fact:
    """One row of a family: a value for every slot, and whether any training prompt is made of it."""

    slots: dict[str, str]
    held_out: bool


@dataclass(frozen=True)
class World:
    """The facts and their splits for one seed."""

    seed: int = 0

    @cached_property
    def held_out_cities(self) -> frozenset[str]:
        """A quarter of the cities, two or three per state: trained in one-hop prompts only."""
        rng = random.Random(f"cities {self.seed}")
        chosen = set()
        for index, cities in enumerate(CITIES.values()):
            forced = [city for city in cities if city == ALWAYS_HELD_OUT]
            free = [city for city in cities if city not in (ALWAYS_TRAINED, ALWAYS_HELD_OUT)]
            chosen.update(forced + rng.sample(free, 2 + index % 2 - len(forced)))
        return frozenset(chosen)

    @cached_property
    def held_out_names(self) -> frozenset[str]:
        """A quarter of the names, both genders: trained in the family gender, never in the family pronoun."""
        rng = random.Random(f"names {self.seed}")
        return frozenset(rng.sample(MEN, 7) + rng.sample(WOMEN, 8))

    @cached_property
    def held_out_pairs(self) -> frozenset[frozenset[str]]:
        """A fifth of the unordered pairs of names: never together in a training prompt."""
        names = MEN + WOMEN
        pairs = [frozenset((left, right)) for i, left in enumerate(names) for right in names[i + 1 :]]
        return frozenset(random.Random(f"pairs {self.seed}").sample(pairs, len(pairs) // 5))

    @cached_property
    def held_out_bigrams(self) -> frozenset[tuple[str, str]]:
        """A fifth of the ordered pairs of nouns: never adjacent in a training prompt."""
        bigrams = [(left, right) for left in NOUNS for right in NOUNS if left != right]
        return frozenset(random.Random(f"bigrams {self.seed}").sample(bigrams, len(bigrams) // 5))

    @cached_property
    def held_out_years(self) -> frozenset[tuple[str, str]]:
        """A seventh of the (century, year) starts of a span."""
        starts = [(century, year) for century in CENTURIES for year in YEARS[:-1]]
        return frozenset(random.Random(f"years {self.seed}").sample(starts, len(starts) // 7))

    @cached_property
    def one_way_antonyms(self) -> frozenset[tuple[str, str]]:
        """A fifth of the pairs: trained from the first word to the second only."""
        return frozenset(random.Random(f"antonyms {self.seed}").sample(ANTONYMS, len(ANTONYMS) // 5))

    def noun_chain(self, rng: random.Random, length: int) -> list[str]:
        """Different nouns of which no two neighbours are a held-out bigram; the chain may be repeated as a whole."""
        while True:
            chain = rng.sample(NOUNS, length)
            if not self.held_out_bigrams & set(zip(chain, chain[1:] + chain[:1], strict=True)):
                return chain

    def ioi_slots(self, rng: random.Random, held_out: bool) -> dict[str, str]:
        """Two people, a place and an object."""
        while True:
            io, s = rng.sample(MEN + WOMEN, 2)
            if (frozenset((io, s)) in self.held_out_pairs) == held_out:
                return {"io": io, "s": s, "place": rng.choice(PLACES), "object": rng.choice(OBJECTS)}

    def induction_slots(self, rng: random.Random, held_out: bool) -> dict[str, str]:
        """A bigram and words to stand around it; in a trained row no template puts a held-out bigram together."""
        while True:
            a, b, x, y, z = rng.sample(NOUNS, 5)
            around = {(b, x), (x, a), (x, y), (y, a), (b, y), (y, z), (z, a), (b, z), (z, x)}
            if ((a, b) in self.held_out_bigrams) == held_out and not around & self.held_out_bigrams:
                return {"a": a, "b": b, "x": x, "y": y, "z": z}

    def span(self, rng: random.Random) -> tuple[str, str]:
        """A trained prompt about a span of years, and one of the years that may end it."""
        while True:
            century, year = rng.choice(CENTURIES), rng.choice(YEARS[:-1])
            if (century, year) not in self.held_out_years:
                later, text = rng.choice(YEARS[YEARS.index(year) + 1 :]), rng.choice(GREATER_THAN_TEMPLATES)
                return text.format(event=rng.choice(EVENTS), century=century, year=year), later

    @cached_property
    def facts(self) -> dict[str, tuple[Fact, ...]]:
        """The rows of every family with a single answer, in a fixed order."""
        cities = [(city, state) for state, members in CITIES.items() for city in members]
        genders = [(name, "man", "he") for name in MEN] + [(name, "woman", "she") for name in WOMEN]
        ioi, induction = random.Random(f"ioi {self.seed}"), random.Random(f"induction {self.seed}")
        two_way = [(right, left, (left, right) in self.one_way_antonyms) for left, right in ANTONYMS]
        return {
            "two_hop": tuple(
                Fact({"city": city, "state": state, "capital": CAPITALS[state]}, city in self.held_out_cities)
                for city, state in cities
            ),
            "city_state": tuple(Fact({"city": city, "state": state}, False) for city, state in cities),
            "state_capital": tuple(Fact({"state": s, "capital": c}, False) for s, c in CAPITALS.items()),
            "ioi": _sampled(self.ioi_slots, ioi, IOI_ROWS),
            "induction": _sampled(self.induction_slots, induction, INDUCTION_ROWS),
            "pronoun": tuple(Fact({"name": n, "pronoun": p}, n in self.held_out_names) for n, _, p in genders),
            "gender": tuple(Fact({"name": n, "gender": g}, False) for n, g, _ in genders),
            "antonym": tuple(Fact({"word": left, "opposite": right}, False) for left, right in ANTONYMS)
            + tuple(Fact({"word": word, "opposite": opposite}, one_way) for word, opposite, one_way in two_way),
        }

    def prompts(self, family: str, held_out: bool) -> list[tuple[str, str]]:
        """Every (prompt, answer) of one split of a family, row by row and template by template."""
        answer = ROLES[family][2]
        return [
            (text.format(**fact.slots), fact.slots[answer])
            for fact in self.facts[family]
            if fact.held_out == held_out
            for text in TEMPLATES[family].values()
        ]

    def words(self) -> list[str]:
        """Every word of the world, sorted: the vocabulary after the special tokens."""
        texts = [t.format_map(_Blank()) for family in TEMPLATES.values() for t in family.values()]
        texts += [t.format_map(_Blank()) for t in GREATER_THAN_TEMPLATES]
        words = {word for text in texts for word in text.split()}
        words.update(CAPITALS, CAPITALS.values(), *CITIES.values(), MEN, WOMEN, PLACES, OBJECTS, NOUNS, *ANTONYMS)
        words.update(CENTURIES, YEARS, EVENTS, ("he", "she", "man", "woman", "."))
        return sorted(words)

    def tasks(self) -> dict[str, Any]:
        """The content of `tasks.json`."""
        return {
            "families": [
                {
                    "name": name,
                    "description": description,
                    "templates": [{"id": key, "text": text} for key, text in TEMPLATES[name].items()],
                    "entity": entity,
                    "mediators": list(mediators),
                    "answer": answer,
                    "rows": [
                        {"slots": fact.slots, "split": "held_out" if fact.held_out else "train"}
                        for fact in self.facts[name]
                    ],
                }
                for name, (entity, mediators, answer, description) in ROLES.items()
            ]
        }

    def texts(self, count: int = 400) -> list[str]:
        """Sentences of all families in equal number, prompt with answer, trained rows only."""
        rng = random.Random(f"texts {self.seed}")
        each = count // (len(TEMPLATES) + 1)
        texts: list[str] = []
        for family in TEMPLATES:
            prompts = self.prompts(family, held_out=False)
            texts += [f"{prompt} {answer}" for prompt, answer in rng.sample(prompts, min(each, len(prompts)))]
        texts += [" ".join(self.span(rng)) for _ in range(count - len(texts))]
        rng.shuffle(texts)
        return texts


class _Blank(dict[str, str]):
    """Fills every slot of a template with nothing, which leaves its own words."""

    def __missing__(self, key: str) -> str:
        return ""


def _sampled(draw: Any, rng: random.Random, counts: tuple[int, int]) -> tuple[Fact, ...]:
    """Facts drawn without repeats: first the trained ones, then the held-out ones."""
    facts: list[Fact] = []
    for held_out, count in zip((False, True), counts, strict=True):
        drawn: dict[tuple[str, ...], Fact] = {}
        while len(drawn) < count:
            slots = draw(rng, held_out)
            drawn[tuple(slots.values())] = Fact(slots, held_out)
        facts += drawn.values()
    return tuple(facts)
