"""Models for the error rate of the whole system that no other benchmark needs: with nothing to find between words and
answer, with parts of a known small size, with facts whose intermediate step is not what task data say, and random ones.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...agent.runs import write_whole
from ...tools import Row, Subject, TaskFamily, load_subject
from ..organisms._compile import Compiled, Size, compiled
from ..organisms._compile_facts import Facts, Relation, drawn_facts, facts_circuit
from ..organisms._compile_files import write_organism
from ..organisms._compile_named import NOUNS, replaced
from ..organisms._compile_program import ALWAYS, POSITIONS, TOKENS, Attend, Lookup, Output, Program, kept
from ..organisms._compile_tasks import Circuit, Task
from ..organisms._compile_weights import Style
from ..organisms._names import CITIES
from ..organisms.nulls import Sizes, random_subject

LEAKS = (0.0, 0.01, 0.02, 0.04)  # what one distractor adds to the logits, as a share of the answer's
FAINT = (0.0, 0.004, 0.008)  # where three parts say the answer, so that each distractor leaks into all of them
LEAST_SMALL, MOST_SMALL = 0.055, 0.1  # share of the answer that a small part writes, before it differs by word
UNEVEN = 0.4  # by how much that share differs from word to word, up and down
SPREADS = (0.02, 0.1, 0.3, 1.0)  # of random weights, from the usual one to one with opinions
N_MEMORISED, N_ANSWERS = 36, 6  # entities with an answer each, and different answers (counts)


def direct(seed: int) -> Compiled:
    """A model whose answer hangs on the last word alone, read straight off its embedding: no block takes part.

    Beside that path stand a lookup and a head that compute something nobody reads, and distractors that leak a little.
    """
    rng = random.Random(f"direct {seed}")
    words = tuple(rng.sample(NOUNS, rng.randint(14, 18)))
    turned = rng.sample(words, len(words))
    says = {word: ((other, 1.0),) for word, other in zip(words, turned, strict=True)}
    wrong = {(word,): other for word, other in zip(words, rng.sample(words, len(words)), strict=True)}
    decoys = (
        Lookup("decoy", (TOKENS,), wrong, "Read by nothing."),
        Attend("glance", kept(words), key=POSITIONS, pairs=((ALWAYS, "1"),), note="Read by nothing."),
    )
    length = rng.randint(5, 8)
    program = Program(words, length, decoys, (Output(TOKENS, says),))
    task = Task(
        draw=lambda r: r.choices(words, k=length - 1),
        answer=lambda prompt: says[prompt[-1]][0][0],
        changes={"last word": lambda r, prompt: replaced(r, prompt, len(prompt) - 1, words)},
    )
    truth = "The answer is read straight off the last word's embedding; no head and no MLP takes part."
    circuit = Circuit("direct", truth, program, task)
    style = Style(leak=rng.choice(LEAKS))
    return compiled(circuit, seed, style, Size(rng.randint(3, 5), rng.randint(2, 4)), name=f"direct-{seed}")


def scaled(seed: int) -> Compiled:
    """A model that copies its first word by three heads of unequal size: one large, and two small ones whose share of
    the answer lies about where effects begin to matter, and differs from word to word."""
    rng = random.Random(f"scaled {seed}")
    words = tuple(rng.sample(NOUNS, rng.randint(14, 18)))
    length = rng.randint(6, 9)
    small = [rng.uniform(LEAST_SMALL, MOST_SMALL) for _ in range(2)]
    shares = {"large": 1 - sum(small), "small0": small[0], "small1": small[1]}
    heads = tuple(
        Attend(name, kept(words), key=POSITIONS, pairs=((ALWAYS, "1"),), note="Copies the first word.")
        for name in shares
    )
    outputs = tuple(Output(name, _uneven(words, share, name != "large", rng)) for name, share in shares.items())
    task = Task(
        draw=lambda r: r.choices(words, k=length - 1),
        answer=lambda prompt: prompt[0],
        changes={"value": lambda r, prompt: replaced(r, prompt, 0, words)},
    )
    truth = "Three heads copy the first word; each adds its own share of the answer."
    circuit = Circuit("scaled", truth, Program(words, length, heads, outputs), task)
    style = Style(leak=rng.choice(FAINT))
    return compiled(circuit, seed, style, Size(rng.randint(4, 6), rng.randint(3, 4)), name=f"scaled-{seed}")


def _uneven(
    words: Sequence[str], share: float, differs: bool, rng: random.Random
) -> dict[str, tuple[tuple[str, float], ...]]:
    return {word: ((word, share * (rng.uniform(1 - UNEVEN, 1 + UNEVEN) if differs else 1.0)),) for word in words}


def random_model(words: Sequence[str], length: int, seed: int) -> Subject:
    """A GPT-2 with weights that were never trained, of sizes and a spread that follow from the seed."""
    rng = random.Random(f"random {seed}")
    sizes = Sizes(n_positions=length, n_embd=rng.choice((48, 64)), n_layer=rng.randint(2, 4))
    return random_subject(f"random-{seed}", words, sizes, SPREADS[seed % len(SPREADS)], seed)


@dataclass(frozen=True)
class Answering:
    """A model that answers questions about entities, as loaded from its folder, and what it was compiled from."""

    subject: Subject
    one: Compiled
    mediator_is_true: bool


def knowing(seed: int, folder: Path, how: str) -> Answering:
    """A model of facts with its task data.

    Args:
        folder: written into; task data are read from it for as long as the model is used.
        how: `true`; `relabelled`, where task data deal the value between entity and answer out at random among the
            entities; `memorised`, where there is none such and every entity has an answer of its own.
    """
    rng = random.Random(f"knowing {how} {seed}")
    known = _memorised(rng) if how == "memorised" else drawn_facts(rng)
    one = compiled(facts_circuit(known), seed, name=f"{how}-facts-{seed}")
    place = folder / one.organism.name
    write_organism(one.organism, place, one)
    if how != "true":
        values = [f"value{i}" for i in range(N_ANSWERS)] if how == "memorised" else ()
        write_tasks(place, [relabelled(family, values, rng) for family in one.circuit.asked if family.mediators])
    return Answering(load_subject(str(place), device="cpu"), one, how == "true")


def write_tasks(folder: Path, families: Sequence[TaskFamily]) -> None:
    """Task data beside a model."""
    write_whole(folder / "tasks.json", json.dumps({"families": [family.model_dump() for family in families]}))


def relabelled(family: TaskFamily, values: Sequence[str], rng: random.Random) -> TaskFamily:
    """The family, its values between entity and answer dealt out anew among the entities.

    Args:
        values: to deal out instead of the family's own, evenly.
    """
    mediator = family.mediators[0]
    of: Mapping[str, str] = {row.slots[family.entity]: row.slots[mediator] for row in family.rows}
    dealt = [values[i % len(values)] for i in range(len(of))] if values else list(of.values())
    rng.shuffle(dealt)
    given = dict(zip(of, dealt, strict=True))
    rows = tuple(
        Row(slots={**row.slots, mediator: given[row.slots[family.entity]]}, split=row.split) for row in family.rows
    )
    return family.model_copy(update={"rows": rows})


def _memorised(rng: random.Random) -> Facts:
    """Every city has a value of its own, and for each question one of a few answers that follows from nothing."""
    cities = rng.sample([city for state in sorted(CITIES) for city in CITIES[state]], N_MEMORISED)
    own = {city: f"own{i}" for i, city in enumerate(cities)}
    words = rng.sample(NOUNS, 2 * N_ANSWERS)
    asked = {"capital": words[:N_ANSWERS], "flower": words[N_ANSWERS:]}
    relations = (
        Relation(name, "city", "state", dict(zip(own.values(), rng.choices(answers, k=len(own)), strict=True)))
        for name, answers in asked.items()
    )
    return Facts(own, tuple(relations))
