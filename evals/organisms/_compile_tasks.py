"""Prompts for compiled organisms: drawn from a rule, answered by plain code, changed one thing at a time."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...tools import Pair, TaskFamily
from ._compile_program import Program

Words = list[str]
TRIES = 400  # for one pair whose answers differ (count)


@dataclass(frozen=True)
class Task:
    """What a program is asked."""

    draw: Callable[[random.Random], Words]
    answer: Callable[[Words], str]  # worked out from the words, without the program
    changes: Mapping[str, Callable[[random.Random, Words], Words]]  # by what they change: the value, the key ...


@dataclass(frozen=True)
class Circuit:
    """A program, its task, and what is true of it in words."""

    name: str
    truth: str
    program: Program
    task: Task
    asked: tuple[TaskFamily, ...] = ()  # task data, where its prompts are questions about entities
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of tables, what each neuron stands for


def families(circuit: Circuit, n_pairs: int, rng: random.Random) -> dict[str, tuple[Pair, ...]]:
    """For every change so many pairs of a prompt and its counterfactual, whose answers differ.

    Raises:
        ValueError: a change that leaves the answer as it is, time after time, or a prompt of the wrong length.
    """
    return {
        name: tuple(_pair(circuit, name, change, rng) for _ in range(n_pairs))
        for name, change in circuit.task.changes.items()
    }


def fresh_prompts(circuit: Circuit, n: int, used: set[str], rng: random.Random) -> list[tuple[str, str]]:
    """Prompts that are not among the used ones, with their answers; fewer where the task has no more."""
    found: dict[str, str] = {}
    for _ in range(4 * n):
        words = circuit.task.draw(rng)
        text = " ".join(words)
        if text not in used and len(found) < n:
            found[text] = circuit.task.answer(words)
    return list(found.items())


def _pair(circuit: Circuit, name: str, change: Callable[[random.Random, Words], Words], rng: random.Random) -> Pair:
    task = circuit.task
    for _ in range(TRIES):
        base = task.draw(rng)
        corrupted = change(rng, list(base))
        for words in (base, corrupted):
            if len(words) != circuit.program.length - 1:
                raise ValueError(
                    f"A prompt of {circuit.name} has {len(words)} words, and the program reads "
                    f"{circuit.program.length - 1}. Draw prompts of that length."
                )
        answer, foil = task.answer(base), task.answer(corrupted)
        if answer != foil:
            texts = {"base": " ".join(base), "corrupted": " ".join(corrupted)}
            return Pair.model_validate({**texts, "answer": answer, "foil": foil})
    raise ValueError(f"The change {name!r} of {circuit.name} does not change the answer. Change what is asked for.")
