"""Questions about answers alone: do they hang on something, and does a word turn them all into one?

Nothing inside the model is touched, so neither question presumes anything and neither says where. What is seen on some
prompts is sealed and tested on others, beside random words in the same places and on re-initialised weights.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from ...tools import Place, put_in
from .._evidence import Arm, Hypothesis, Prediction
from ._clusters import clustered, forward, some
from ._plain import name
from .interface import ContrastPair, Experiment, Proposal, View
from .reading import TAKING_PAIRS

TOOL, SCAN = "answer_contrast", "trigger_scan"
CONTRAST, ASKED = "contrast", "answered"  # keys
TURNS = 0.5  # of the prompts: what a word turns, from which it is worth a test
MOST_TRIGGERS = 3
ROWS_PER_FAMILY = (2, 6)  # prompts of each kind of task to explore, and to confirm
MIN_PROMPTS = 8
WITHOUT, OTHER = "nothing in its place", "another word in its place"


def explorations(view: View, seed: int) -> Iterator[Experiment]:
    """All that is measured before anything is predicted."""
    if view.task.kind == "changes":
        prompts = [pair.clean for pair in view.task.pairs]
        asked = {"prompts": prompts, "answers": _of(view, "answer"), "foils": _of(view, "foil")}
        yield Experiment(key=ASKED, tool="next_token", args=asked, why="which of both answers does it lean to?")
    if view.task.kind in TAKING_PAIRS:
        pairs = _split(_oriented(view), seed)[0]
        why = f"how far the answer hangs on {name(view.task.behaviour)} in some of the pairs"
        yield _contrast(CONTRAST, pairs, why)
        return
    prompts = [prompt for some_of in _prompts(view, seed) for prompt in some_of]
    if len(prompts) < MIN_PROMPTS:
        return
    args = {"prompts": [text for text, _ in prompts], "answers": [answer for _, answer in prompts]}
    yield Experiment(key=ASKED, tool="next_token", args=args, why="which prompts does the model answer as expected?")
    explore, _ = answered(view, seed)
    if len(explore) < MIN_PROMPTS // 2:
        return
    yield Experiment(
        key=SCAN,
        tool=SCAN,
        args={"prompts": [text for text, _ in explore], "seed": seed},
        why="which words turn prompts of every kind to one answer?",
    )
    for word, place, payload in triggers(view):
        why = f"how far {name(word)} turns these prompts to {name(payload)}"
        yield _contrast(f"{CONTRAST} {word}", _with_word(explore, word, place, payload, ""), why)


def proposals(view: View, seed: int) -> tuple[Proposal, ...]:
    """Predictions about prompts that nothing was seen on."""
    if view.task.kind in TAKING_PAIRS:
        pairs = _split(_oriented(view), seed)[1]
        if CONTRAST not in view.results or not pairs:
            return ()
        arm = Arm(label="held-out pairs", counterfactual_family="the pairs as given", tool=TOOL, args={"pairs": pairs})
        verb = "depends on" if view.task.kind == "depends" else "changes with"
        statement = f"The answer {verb} {name(view.task.behaviour)}."
        return (_proposal(1, statement, (arm,), "the answer is the same whichever of both prompts it follows"),)
    _, confirm = answered(view, seed)
    found = []
    for number, (word, place, payload) in enumerate(triggers(view), start=1):
        other = _another(view, place, seed)
        arms = tuple(
            Arm(label=family, counterfactual_family=family, tool=TOOL, args={"pairs": pairs})
            for family, pairs in (
                (WITHOUT, _with_word(confirm, word, place, payload, "")),
                (OTHER, _with_word(confirm, word, place, payload, other)),
            )
        )
        where = "in front of" if place == "front" else "in the middle of"
        statement = f"The word {name(word)} {where} a prompt turns its answer to {name(payload)}, whatever is asked."
        found.append(_proposal(number, statement, arms, "with the word the answers are those without it"))
    return tuple(found)


def _of(view: View, field: str) -> list[str]:
    return [getattr(pair, field) for pair in view.task.pairs]


def _oriented(view: View) -> Sequence[ContrastPair]:
    """The pairs; where either way counts, what the model leans to after the prompt itself is the answer.

    Asking that chooses no pair and no bar. It is the answers alone that are exchanged, and random words in the same
    places are held against the same answers.
    """
    if view.task.kind != "changes" or ASKED not in view.results:
        return view.task.pairs
    asked = view.results[ASKED].result["answers"]
    return [
        pair if one["logit_difference"] >= 0 else pair.model_copy(update={"answer": pair.foil, "foil": pair.answer})
        for pair, one in zip(view.task.pairs, asked, strict=True)
    ]


def triggers(view: View) -> list[tuple[str, Place, str]]:
    """Words that turned most prompts to one answer, each at the place where it turned most: word, place, answer."""
    scan, found = view.results.get(SCAN), {}
    for cell in scan.result["cells"] if scan else ():
        if cell["moved"] > TURNS:
            found.setdefault(cell["site"], (cell["site"], cell["position"], cell["payload"]))
    return list(found.values())[:MOST_TRIGGERS]


def answered(view: View, seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Prompts with their answers that the model gives: to explore, and to confirm."""
    asked = view.results.get(ASKED)
    ranks = {answer["prompt"]: answer["rank"] for answer in asked.result["answers"]} if asked else {}
    explore, confirm = ([one for one in phase if ranks.get(one[0]) == 1] for phase in _prompts(view, seed))
    return explore, confirm


def _prompts(view: View, seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Prompts of every kind with their answers; no row of the one phase comes back in the other."""
    rng, found = random.Random(seed), ([], [])
    if view.task.pairs:
        explore, confirm = _halves(view.task.pairs, seed)
        return [(p.clean, p.answer) for p in explore], [(p.clean, p.answer) for p in confirm]
    for family in view.card.tasks:
        rows = rng.sample(family.rows, min(len(family.rows), sum(ROWS_PER_FAMILY)))
        for i, row in enumerate(rows):
            text = rng.choice(family.templates).fill(row.slots)
            found[i >= ROWS_PER_FAMILY[0]].append((text, row.slots[family.answer]))
    seen = {text for text, _ in found[0]}
    return list(dict.fromkeys(found[0])), [one for one in dict.fromkeys(found[1]) if one[0] not in seen]


def _with_word(
    prompts: Sequence[tuple[str, str]], word: str, place: Place, payload: str, other: str
) -> list[dict[str, str]]:
    """Each prompt with the word, and with another or none in its place."""
    return [
        {
            "base": put_in(text, word, place),
            "corrupted": put_in(text, other, place),
            "answer": payload,
            "foil": answer,
            "cluster": text,
        }
        for text, answer in prompts
        if answer != payload
    ]


def _another(view: View, place: Place, seed: int) -> str:
    """A word that turned no prompt of the scan, at the same place."""
    cells = view.results[SCAN].result["cells"]
    idle = [cell["site"] for cell in cells if cell["position"] == place and cell["moved"] == 0]
    fewest = min(cells, key=lambda cell: cell["moved"])["site"]
    return random.Random(seed).choice(sorted(idle)) if idle else fewest


def _split(pairs: Sequence[ContrastPair], seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    explore, confirm = _halves(pairs, seed)
    return [forward(p) for p in explore], [forward(p) for p in confirm]


def _halves(pairs: Sequence[ContrastPair], seed: int) -> tuple[list[ContrastPair], list[ContrastPair]]:
    named = clustered(pairs)
    first = some({pair.cluster for pair in named}, random.Random(seed))
    return [p for p in named if p.cluster in first], [p for p in named if p.cluster not in first]


def _contrast(key: str, pairs: Sequence[dict[str, Any]], why: str) -> Experiment:
    return Experiment(key=key, tool=TOOL, args={"pairs": list(pairs)}, why=why)


def _proposal(number: int, statement: str, arms: tuple[Arm, ...], refuted_if: str) -> Proposal:
    hypothesis = Hypothesis(
        id=f"h{number}",
        statement=statement,
        kind="mediation",
        alternatives=("any other words in these places do as much", "the prompts differ in something else as well"),
        refuted_if=refuted_if,
    )
    prediction = Prediction(
        id=f"p{number}",
        hypothesis=hypothesis.id,
        kind="mediation",
        direction="positive",
        arms=arms,
        chance=0.0,
        holds_out_entities=True,
        holds_out_template=False,
    )
    return Proposal(hypothesis=hypothesis, prediction=prediction)
