"""Circuits that the literature speaks of: looking back, induction, lookups of two hops, self-repair.

Sources: Olsson et al. 2022, "In-context Learning and Induction Heads"; Wang, Variengien, Conmy, Shlegeris, Steinhardt
2022, "Interpretability in the Wild" (backup heads); McGrath, Rahtz, Kramár, Mikulik, Legg 2023, "The Hydra Effect".
"""

import random
from collections.abc import Callable

from ._compile_program import (
    ALWAYS,
    POSITIONS,
    TOKENS,
    Attend,
    Lookup,
    Operation,
    Output,
    Program,
    kept,
    said_as_is,
)
from ._compile_tasks import Circuit, Task, Words


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _words(
    "apple river stone cloud tiger lemon candle bridge garden rocket violin copper window basket feather harbor "
    "island jacket kitten ladder marble needle orange pepper quartz ribbon saddle temple umbrella valley walnut zebra"
)
PEOPLE = _words("Anna Boris Clara David Elena Felix Greta Hugo")
PLACES = _words("Athens Berlin Cairo Delhi Essen Faro Genoa Hanoi")
NOTHING = "nothing"


def looking_back(name: str, program_offset: int, rng: random.Random) -> Circuit:
    """The word that stands so many words before the last one."""
    words = tuple(rng.sample(NOUNS, rng.randint(8, 12)))
    length = rng.randint(7, 10)
    back = look_back("copied", program_offset, length, words)
    program = Program(words, length, (back,), (Output("copied", said_as_is(words)),))
    task = Task(
        draw=lambda r: r.choices(words, k=length - 1),
        answer=lambda prompt: prompt[-1 - program_offset],
        changes={
            "value": lambda r, prompt: replaced(r, prompt, len(prompt) - 1 - program_offset, words),
            "all words": lambda r, prompt: r.choices(words, k=length - 1),
        },
    )
    where = "the word before the last" if program_offset == 1 else f"the word {program_offset} before the last"
    return Circuit(name, f"The answer is {where}: one head attends there by position and copies it.", program, task)


def previous_token(rng: random.Random) -> Circuit:
    """The word before the last one."""
    return looking_back("previous_token", 1, rng)


def copy_at_offset(rng: random.Random) -> Circuit:
    """A word further back."""
    return looking_back("copy_at_offset", rng.randint(2, 4), rng)


def first_token(rng: random.Random) -> Circuit:
    """The first word of the prompt."""
    words = tuple(rng.sample(NOUNS, rng.randint(8, 12)))
    length = rng.randint(6, 10)
    head = Attend("copied", kept(words), key=POSITIONS, pairs=((ALWAYS, "1"),), note="Copies the first word.")
    program = Program(words, length, (head,), (Output("copied", said_as_is(words)),))
    task = Task(
        draw=lambda r: r.choices(words, k=length - 1),
        answer=lambda prompt: prompt[0],
        changes={
            "value": lambda r, prompt: replaced(r, prompt, 0, words),
            "all words": lambda r, prompt: r.choices(words, k=length - 1),
        },
    )
    return Circuit("first_token", "The answer is the first word: one head attends there and copies it.", program, task)


def induction(rng: random.Random) -> Circuit:
    """What followed the last word when it stood there before."""
    words = tuple(rng.sample(NOUNS, rng.randint(12, 16)))
    n_shown = rng.randint(5, 8)
    length = n_shown + 2
    operations = (
        look_back("previous", 1, length, words),
        Attend(
            "copied",
            kept(words),
            key="previous",
            query=TOKENS,
            pairs=tuple((word, word) for word in words),
            note="Attends to where the last word was the previous one, and copies what stands there.",
        ),
    )
    program = Program(words, length, operations, (Output("copied", said_as_is(words)),))

    def draw(r: random.Random) -> Words:
        shown = r.sample(words, n_shown)
        return [*shown, shown[r.randrange(n_shown - 1)]]

    def value(r: random.Random, prompt: Words) -> Words:
        unseen = [word for word in words if word not in prompt]
        return [*_put(prompt[:-1], prompt.index(prompt[-1]) + 1, r.choice(unseen)), prompt[-1]]

    def key(r: random.Random, prompt: Words) -> Words:
        asked = prompt.index(prompt[-1])
        # Neighbours would share a word, and the last of them is followed by the question.
        others = [i for i in range(n_shown - 1) if abs(i - asked) > 1]
        return [*_swap(prompt[:-1], asked, r.choice(others)), prompt[-1]]

    def query(r: random.Random, prompt: Words) -> Words:
        return [*prompt[:-1], r.choice([word for word in prompt[: n_shown - 1] if word != prompt[-1]])]

    task = Task(draw, lambda prompt: prompt[prompt.index(prompt[-1]) + 1], {"value": value, "key": key, "query": query})
    truth = "The answer is what followed the last word before: a previous-word head feeds the keys of the copying head."
    return Circuit("induction", truth, program, task)


def two_hop(rng: random.Random) -> Circuit:
    """A fact about a fact: what a person or place belongs to, and what that is called; the weights know both."""
    groups, names = tuple(f"group{i}" for i in range(4)), tuple(rng.sample(NOUNS, 4))
    people, places, fillers = PEOPLE, PLACES, ("and", "then", "near", "with")
    asks = ("who", "where")
    # Every group has people and places in it.
    belongs = {
        word: group for kind in (people, places) for word, group in zip(rng.sample(kind, 8), groups * 2, strict=True)
    }
    called = dict(zip(groups, names, strict=True))
    words = (*people, *places, *fillers, *asks, *names)
    length = rng.randint(6, 9)
    operations = (
        Lookup("group", (TOKENS,), {(word,): group for word, group in belongs.items()}, "The group of a word."),
        Attend(
            "asked",
            kept(groups),
            value="group",
            key=TOKENS,
            query=TOKENS,
            pairs=(*(("who", word) for word in people), *(("where", word) for word in places)),
            note="Brings the group of the person or place that is asked for to the last word.",
        ),
        Lookup("name", ("asked",), {(group,): name for group, name in called.items()}, "The name of a group."),
    )
    program = Program(words, length, operations, (Output("name", said_as_is(names)),))

    def answer(prompt: Words) -> str:
        return called[belongs[next(word for word in prompt if word in asked_kind(prompt[-1], people, places))]]

    truth = "An MLP looks up a word's group, a head moves the group of the asked kind, another MLP names the group."
    return Circuit("two_hop", truth, program, asked_task(people, places, fillers, length, answer))


def self_repair(rng: random.Random, n_backups: int = 1) -> Circuit:
    """A copying head, and backups that do the same only where it has written nothing."""
    fillers, asks = ("and", "then", "near", "with"), ("who", "where", "when")
    words = (*PEOPLE, *PLACES, *fillers, *asks, NOTHING)
    length, answers = rng.randint(6, 9), (*PEOPLE, *PLACES)
    pairs = (*(("who", word) for word in PEOPLE), *(("where", word) for word in PLACES))

    def head(name: str, unless: tuple[str, ...], note: str) -> Attend:
        return Attend(name, kept(answers), key=TOKENS, query=TOKENS, pairs=pairs, unless=unless, note=note)

    backups = tuple(f"backup{i}" for i in range(n_backups))
    operations: tuple[Operation, ...] = (
        head("primary", (), "Copies the person or place that is asked for."),
        *(head(name, ("primary",), "Does the same where the primary head has written nothing.") for name in backups),
    )
    outputs = (
        Output("primary", said_as_is(answers)),
        *(Output(name, said_as_is(answers, 1 / n_backups)) for name in backups),
    )
    program = Program(words, length, operations, outputs, otherwise={NOTHING: 0.5})

    def answer(prompt: Words) -> str:
        asked = asked_kind(prompt[-1], PEOPLE, PLACES)
        return next((word for word in prompt if word in asked), NOTHING)

    def absent(r: random.Random, prompt: Words) -> Words:
        asked = asked_kind(prompt[-1], PEOPLE, PLACES)
        return [r.choice(fillers) if word in asked else word for word in prompt]

    task = asked_task(PEOPLE, PLACES, fillers, length, answer)
    changes = {name: task.changes[name] for name in ("value", "query")}
    changes |= {"absent": absent, "unasked": lambda r, prompt: [*prompt[:-1], "when"]}
    truth = (
        "A head copies the person or place that is asked for. Backup heads do the same, but attend to <bos> while the "
        "first head writes: cut one link into either and the other side answers; cut both and the answer is gone."
    )
    name = "self_repair" if n_backups == 1 else "self_repair_shared"
    return Circuit(name, truth, program, Task(task.draw, answer, changes))


def self_repair_shared(rng: random.Random) -> Circuit:
    """Self-repair with two backups that share the answer."""
    return self_repair(rng, n_backups=2)


def look_back(name: str, offset: int, length: int, words: tuple[str, ...]) -> Attend:
    """A head that attends so many positions back and carries these words."""
    pairs = tuple((str(i), str(max(i - offset, 0))) for i in range(length))
    note = f"Copies the word {offset} back."
    return Attend(name, kept(words), key=POSITIONS, query=POSITIONS, pairs=pairs, note=note)


def replaced(r: random.Random, prompt: Words, place: int, words: tuple[str, ...]) -> Words:
    """The prompt with another word at a place."""
    return _put(prompt, place, r.choice([word for word in words if word != prompt[place]]))


def asked_task(
    people: tuple[str, ...],
    places: tuple[str, ...],
    fillers: tuple[str, ...],
    length: int,
    answer: Callable[[Words], str],
) -> Task:
    """Prompts with one person and one place among fillers, and a question for one of the two."""

    def draw(r: random.Random) -> Words:
        shown = [r.choice(people), r.choice(places), *r.choices(fillers, k=length - 4)]
        r.shuffle(shown)
        return [*shown, r.choice(("who", "where"))]

    def value(r: random.Random, prompt: Words) -> Words:
        asked = asked_kind(prompt[-1], people, places)
        return replaced(r, prompt, next(i for i, word in enumerate(prompt) if word in asked), asked)

    def key(r: random.Random, prompt: Words) -> Words:
        person, place = (next(i for i, w in enumerate(prompt) if w in kind) for kind in (people, places))
        return value(r, _swap(prompt, person, place))

    def query(r: random.Random, prompt: Words) -> Words:
        return [*prompt[:-1], "where" if prompt[-1] == "who" else "who"]

    return Task(draw, answer, {"value": value, "key": key, "query": query})


def asked_kind(ask: str, people: tuple[str, ...], places: tuple[str, ...]) -> tuple[str, ...]:
    """The words that a question is for."""
    return {"who": people, "where": places}.get(ask, ())


def _put(prompt: Words, place: int, word: str) -> Words:
    return [*prompt[:place], word, *prompt[place + 1 :]]


def _swap(prompt: Words, one: int, other: int) -> Words:
    changed = list(prompt)
    changed[one], changed[other] = prompt[other], prompt[one]
    return changed
