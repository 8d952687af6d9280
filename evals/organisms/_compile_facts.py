"""An organism whose features have names by construction: facts about facts, every neuron of the program one feature.

Cities lie in states, and a state has a name, a capital and a flower; people have a gender, which has a word and a
pronoun. A prompt names one city or person and says what is asked of it.

| operation | neurons fire at | their true name |
| --- | --- | --- |
| `kind` (MLP) | one city or person | that word |
| `value` (MLP) | whatever has one state or gender | that value |
| `echo` (MLP) | the same, and nobody reads it | that value |
| `mood` (MLP) | any word that asks | none |
| `moved`, `asked` (heads) | bring the value and what is asked to the last word | |
| `said` (MLP) | a word that asks, after one value and one question | `Say` the answer |

So it is known of every feature that a method names whether the name is right, and of every group whether the model
reads it. Beside them every MLP has live neurons that fire nearly everywhere and that nothing reads.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from ...tools import Row, TaskFamily, Template
from ._compile_named import NOTHING
from ._compile_program import ALWAYS, TOKENS, Attend, Lookup, Output, Program, kept, said_as_is
from ._compile_tasks import Circuit, Task, Words
from ._names import CAPITALS, CITIES, MEN, WOMEN

N_STATES, N_PEOPLE = 6, 10  # states, with ten cities each; people of each gender (counts)
FLOWERS = ("aster", "clover", "daisy", "iris", "jasmine", "lily")
FRAMES = (
    "the {asked} of {one} is",
    "{one} has the {asked} called",
    "near {one} the {asked} is",
    "of {one} the {asked} is",
)
ASKING = ("is", "called")  # words with which a frame ends
FILLERS = ("the", "of", "is", "has", "called", "near", "now")


@dataclass(frozen=True)
class Relation:
    """One question: about which kind of entity, through what, and what is answered for each value."""

    name: str
    entity: str
    mediator: str
    answers: Mapping[str, str]  # by value


@dataclass(frozen=True)
class Facts:
    """All that is true in the organism's world."""

    value_of: Mapping[str, str]  # the state of a city, the gender of a person
    relations: tuple[Relation, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """States and genders."""
        return tuple(dict.fromkeys(self.value_of.values()))

    @property
    def said(self) -> dict[tuple[str, str], str]:
        """The answer for a value and a question."""
        return {(value, one.name): word for one in self.relations for value, word in one.answers.items()}

    def entities(self, relation: Relation) -> list[str]:
        """What a question can be asked of."""
        return [word for word, value in self.value_of.items() if value in relation.answers]

    def families(self) -> tuple[TaskFamily, ...]:
        """Task data; where the value itself is the answer, nothing lies between."""
        return tuple(map(self._family, self.relations))

    def _family(self, relation: Relation) -> TaskFamily:
        plain = all(value == word for value, word in relation.answers.items())
        answer = relation.mediator if plain else relation.name
        rows = []
        for word in self.entities(relation):
            value = self.value_of[word]
            slots = {relation.entity: word, relation.mediator: value, answer: relation.answers[value]}
            rows.append(Row(slots=slots, split="train"))
        templates = [frame.format(asked=relation.name, one=f"{{{relation.entity}}}") for frame in FRAMES]
        return TaskFamily(
            name=relation.name,
            description=f"The {relation.name} that goes with a {relation.entity}.",
            templates=tuple(Template(id=str(i), text=text) for i, text in enumerate(templates)),
            entity=relation.entity,
            mediators=() if plain else (relation.mediator,),
            answer=answer,
            rows=tuple(rows),
        )


def facts(rng: random.Random) -> Circuit:
    """The circuit of facts that are drawn."""
    return facts_circuit(drawn_facts(rng))


def drawn_facts(rng: random.Random) -> Facts:
    """States, cities and people drawn from the reference model's lists; capitals and flowers dealt out anew."""
    states = rng.sample(sorted(CITIES), N_STATES)
    value_of = {city: state for state in states for city in CITIES[state]}
    value_of |= {name: word for word, names in (("man", MEN), ("woman", WOMEN)) for name in rng.sample(names, N_PEOPLE)}
    capitals = rng.sample([CAPITALS[state] for state in states], N_STATES)
    flowers = rng.sample(FLOWERS, N_STATES)
    relations = (
        Relation("capital", "city", "state", dict(zip(states, capitals, strict=True))),
        Relation("flower", "city", "state", dict(zip(states, flowers, strict=True))),
        Relation("state", "city", "state", {state: state for state in states}),
        Relation("pronoun", "name", "gender", {"man": "he", "woman": "she"}),
        Relation("gender", "name", "gender", {"man": "man", "woman": "woman"}),
    )
    return Facts(value_of, relations)


def facts_circuit(known: Facts) -> Circuit:
    """The program of some facts."""
    asks, values, said = tuple(one.name for one in known.relations), known.values, known.said
    words = tuple(dict.fromkeys((*known.value_of, *asks, *said.values(), *FILLERS, NOTHING)))
    length = 2 + max(len(frame.split()) for frame in FRAMES)
    kinds = {(word,): value for word, value in known.value_of.items()}
    alike = {(value,): value for value in values}
    asking = {(word,): "asking" for word in ASKING}
    answers = {(*of, "asking"): word for of, word in said.items()}
    operations = (
        Lookup("kind", (TOKENS,), kinds, "What a word belongs to."),
        Lookup("value", ("kind",), alike, "A feature of every value, at whatever word has it."),
        Lookup("echo", ("kind",), alike, "The same; nobody reads it."),
        Lookup("mood", (TOKENS,), asking, "Whether a word asks for an answer."),
        Attend("moved", kept(values), value="value", key="value", pairs=tuple((ALWAYS, value) for value in values)),
        Attend("asked", kept(asks), key=TOKENS, pairs=tuple((ALWAYS, ask) for ask in asks)),
        Lookup("said", ("moved", "asked", "mood"), answers, "The answer, where a word asks for it."),
    )
    output = Output("said", said_as_is(tuple(dict.fromkeys(said.values()))))
    program = Program(words, length, operations, (output,), otherwise={NOTHING: 0.5})
    truth = "An MLP knows what a word belongs to, a head moves that to the last word, an MLP there knows the answer."
    features = {
        "kind": tuple(known.value_of),
        "value": values,
        "echo": values,
        "said": tuple(f"Say ({word})" for word in said.values()),
    }
    return Circuit("facts", truth, program, _task(known, length), known.families(), features)


def _task(known: Facts, length: int) -> Task:
    """Prompts of the frames, filled up from the front."""
    asks = {one.name: one for one in known.relations}

    def draw(r: random.Random) -> Words:
        relation = r.choice(known.relations)
        words = r.choice(FRAMES).format(asked=relation.name, one=r.choice(known.entities(relation))).split()
        return ["now"] * (length - 1 - len(words)) + words

    def asked(prompt: Words) -> tuple[int, int]:
        """Where the entity and the question stand."""
        return next(i for i, w in enumerate(prompt) if w in known.value_of), next(
            i for i, w in enumerate(prompt) if w in asks
        )

    def answer(prompt: Words) -> str:
        one, ask = asked(prompt)
        if prompt[-1] not in ASKING:
            return NOTHING
        return known.said[known.value_of[prompt[one]], prompt[ask]]

    def put(prompt: Words, place: int, word: str) -> Words:
        return [*prompt[:place], word, *prompt[place + 1 :]]

    def value(r: random.Random, prompt: Words) -> Words:
        one, ask = asked(prompt)
        return put(prompt, one, r.choice(known.entities(asks[prompt[ask]])))

    def query(r: random.Random, prompt: Words) -> Words:
        _, ask = asked(prompt)
        same = [other.name for other in known.relations if other.entity == asks[prompt[ask]].entity]
        return put(prompt, ask, r.choice(same))

    def key(r: random.Random, prompt: Words) -> Words:
        """Another entity, and entity and question in each other's place: heads have to look elsewhere."""
        one, ask = asked(prompt)
        swapped = put(put(prompt, one, prompt[ask]), ask, prompt[one])
        return value(r, swapped)

    def unasked(_: random.Random, prompt: Words) -> Words:
        return [*prompt[:-1], "now"]

    return Task(draw, answer, {"value": value, "query": query, "key": key, "unasked": unasked})
