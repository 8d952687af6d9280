"""How fragile is steering toward an answer: one card, on prompts that the direction was not read from.

A card judges by limits and seals no prediction: it says under which changes an effect goes away, so there is nothing
that it could confirm. The direction is the difference of what the prompts of both answers leave in the middle of the
model; it is tried on other prompts of the second answer, in two halves, and on tasks that are about something else.
"""

import random
from collections.abc import Iterator

from ...tools import TaskFamily
from ..headlines import headline
from ..report.schema import Sentence
from ._clusters import halves
from ._plain import name, say
from .interface import Experiment, View

KEY = "steering card"
FEWEST = 3  # prompts in each half that is steered
MOST_OFF_TARGET = 24


def explorations(view: View, seed: int) -> Iterator[Experiment]:
    """The card; nothing where there are too few prompts, or none about something else."""
    if _lacking(view, seed):
        return
    read, steered = halves(view.task.pairs, seed)
    half = len(steered) // 2
    contexts = [("some of the prompts", steered[:half]), ("others of them", steered[half:])]
    args = {
        "site": f"resid_post.{view.card.n_layers // 2}",
        "positive": [pair.clean for pair in read],
        "negative": [pair.corrupted for pair in read],
        "contexts": [{"name": called, "prompts": [pair.corrupted for pair in some_of]} for called, some_of in contexts],
        "answer": view.task.answer,
        "foil": view.task.pairs[0].foil,
        "prompt_only": [f"{read[0].clean} {view.task.answer}"],
        "off_target": _off_target(view, seed),
        "seed": seed,
    }
    why = f"what steering toward {name(view.task.answer)} hangs on"
    yield Experiment(key=KEY, tool="steering_card", args=args, why=why)


def answer(view: View, seed: int) -> Iterator[Sentence]:
    """What the card found, with its verdict by the limits of its rule; or why there is none."""
    card = view.results.get(KEY)
    if card is None:
        yield say(_lacking(view, seed) or "The card could not be measured.")
        return
    yield headline(card)


def _lacking(view: View, seed: int) -> str:
    _, steered = halves(view.task.pairs, seed)
    if len(steered) < 2 * FEWEST:
        return "Too few pairs were given to read a direction from some and to steer others: give a dozen or more."
    if not _off_target(view, seed):
        return "No task data about something else came with the model, so what steering breaks could not be seen."
    return ""


def _off_target(view: View, seed: int) -> list[dict[str, str]]:
    """Prompts of tasks that never answer with either word."""
    rng, words = random.Random(seed), {view.task.answer, view.task.pairs[0].foil}
    found = []
    for family in view.card.tasks:
        if not words & {row.slots[family.answer] for row in family.rows}:
            found += _of(family, rng)
    return found[:MOST_OFF_TARGET]


def _of(family: TaskFamily, rng: random.Random) -> Iterator[dict[str, str]]:
    for row in rng.sample(family.rows, min(4, len(family.rows))):
        yield {"prompt": rng.choice(family.templates).fill(row.slots), "answer": row.slots[family.answer]}
