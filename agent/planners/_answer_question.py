"""Questions about answers alone: do they hang on something, and does a word turn them all into one?

Nothing inside the model is touched, so neither question presumes anything and neither says where. What is seen on some
prompts is sealed and tested on others, beside random words in the same places and on re-initialised weights.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from ...tools import Place, put_in
from .._evidence import SMALLEST_EFFECT, Arm, Hypothesis, Prediction
from ._clusters import forward, halves
from ._plain import name
from .interface import ContrastPair, Experiment, Proposal, View
from .reading import TAKING_PAIRS

TOOL, SCAN = "answer_contrast", "trigger_scan"
CONTRAST, REVERSED, ASKED = "contrast", "contrast reversed", "answered"  # keys
TURNS = 0.5  # of the prompts, or of the answer's share: what a word has to turn, to be a trigger
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
        why = f"how far the answer hangs on {name(view.task.behaviour)} in some of the pairs"
        yield _contrast(CONTRAST, _split(_oriented(view), seed)[0], view.task.behaviour, why)
        if is_reversed(view):
            why = "the same the other way round, since the answer went there"
            pairs = _split(_exchanged(_oriented(view)), seed)[0]
            yield _contrast(REVERSED, pairs, f"{view.task.behaviour}, reversed", why)
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
        pairs = _with_word(explore, word, place, payload, "")
        yield _contrast(f"{CONTRAST} {word}", pairs, _called(word, place, payload), why)


def proposals(view: View, seed: int) -> tuple[Proposal, ...]:
    """Predictions about prompts that nothing was seen on."""
    if view.task.kind in TAKING_PAIRS:
        return _about_pairs(view, seed)
    _, confirm = answered(view, seed)
    found = []
    for number, (word, place, payload) in enumerate(triggers(view), start=1):
        other, called = _another(view, place, seed), _called(word, place, payload)
        arms = tuple(
            Arm(label=family, counterfactual_family=family, tool=TOOL, args={"pairs": pairs, "about": called})
            for family, pairs in (
                (WITHOUT, _with_word(confirm, word, place, payload, "")),
                (OTHER, _with_word(confirm, word, place, payload, other)),
            )
        )
        where = "in front of" if place == "front" else "in the middle of"
        which = "prompts like these" if view.task.pairs else "whatever is asked"
        statement = f"The word {name(word)} {where} a prompt turns its answer to {name(payload)}: {which}."
        found.append(_proposal(number, statement, arms, "with the word the answers are those without it", TURNS))
    return tuple(found)


def _about_pairs(view: View, seed: int) -> tuple[Proposal, ...]:
    """One prediction about the pairs that were held out, the way round that exploration saw."""
    if CONTRAST not in view.results:
        return ()
    other_way = is_reversed(view)
    held_out = _oriented(view) if not other_way else _exchanged(_oriented(view))
    pairs, behaviour = _split(held_out, seed)[1], view.task.behaviour
    if not pairs:
        return ()
    family = "the pairs as given" if not other_way else "the pairs, their answers exchanged"
    args = {"pairs": pairs, "about": f"{behaviour}, reversed" if other_way else behaviour}
    arm = Arm(label="held-out pairs", counterfactual_family=family, tool=TOOL, args=args)
    verb = "hangs on" if view.task.kind == "depends" else "changes with"
    way = ", the other way round than the pairs say" if other_way else ""
    statement = f"The answer {verb} {name(behaviour)}{way}."
    return (_proposal(1, statement, (arm,), "the answer is the same whichever of both prompts it follows"),)


def is_reversed(view: View) -> bool:
    """Whether the answer went toward the foils of the pairs, while exploring."""
    seen = view.results.get(CONTRAST)
    return view.task.kind == "depends" and seen is not None and seen.result["cells"][0]["effect"] < 0


def _exchanged(pairs: Sequence[ContrastPair]) -> list[ContrastPair]:
    return [pair.model_copy(update={"answer": pair.foil, "foil": pair.answer}) for pair in pairs]


def _called(word: str, place: Place, payload: str) -> str:
    return f"{word} in the {place}, to {payload}"


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
        pair if one["logit_difference"] >= 0 else _exchanged([pair])[0]
        for pair, one in zip(view.task.pairs, asked, strict=True)
    ]


def is_asked(view: View) -> bool | None:
    """Whether prompts of several answers are there that a word could turn; none before they were asked."""
    if SCAN in view.results:
        return None  # the question itself presumes nothing
    return False if ASKED in view.results or SCAN in view.failed else None


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
        explore, confirm = halves(view.task.pairs, seed)
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
    explore, confirm = halves(pairs, seed)
    return [forward(p) for p in explore], [forward(p) for p in confirm]


def _contrast(key: str, pairs: Sequence[dict[str, Any]], about: str, why: str) -> Experiment:
    return Experiment(key=key, tool=TOOL, args={"pairs": list(pairs), "about": about}, why=why)


def _proposal(
    number: int, statement: str, arms: tuple[Arm, ...], refuted_if: str, smallest: float = SMALLEST_EFFECT
) -> Proposal:
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
        smallest_effect=smallest,
        arms=arms,
        chance=0.0,
        holds_out_entities=True,
        holds_out_template=False,
    )
    return Proposal(hypothesis=hypothesis, prediction=prediction)
