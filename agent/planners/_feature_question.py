"""What does a feature stand for: where it fires, what it promotes, and a sealed test on prompts it was not named from.

The name is the token at which most of its strongest contexts peak; a feature without one stays unnamed. On some prompts
it is seen how much more it fires with that token in place than with another; the prediction is that it does so on
prompts of other wordings, more than other features of its layer do, and not by its direction alone.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .._evidence import Arm, Hypothesis, Prediction
from .interface import Experiment, Proposal, View

NAMED_FROM = 8  # contexts
MIN_PAIRS = 6
MOST_PAIRS = 30
KEY, CONTRAST = "describe", "contrast"


def explorations(view: View) -> Iterator[Experiment]:
    """Read the feature on the model's own texts; if that gives it a name, with and without what it is named after."""
    yield Experiment(
        key=KEY,
        tool="describe_feature",
        args={"feature": view.task.feature, "dictionary": view.card.dictionary or "neurons", "top_k": NAMED_FROM},
        why="on which texts it fires, and which tokens it promotes",
    )
    word = name_of(view)
    if word is None:
        return
    pairs = _pairs(_prompts(view, word)[0], word, _others(view, word))
    if len(pairs) >= MIN_PAIRS:
        why = f"how much more it fires with `{word}` than with another word in its place"
        yield Experiment(key=CONTRAST, tool="feature_contrast", args=_contrast(view, pairs), why=why)


def _contrast(view: View, pairs: Sequence[Any]) -> dict[str, Any]:
    return {
        "feature": view.task.feature,
        "pairs": list(pairs),
        "scale": view.results[KEY].result["max_activation"],
        "dictionary": view.card.dictionary or "neurons",
    }


def name_of(view: View) -> str | None:
    """The token at which most of the strongest contexts peak; none where there is no such token."""
    found = view.results.get(KEY)
    if found is None or not found.result["contexts"]:
        return None
    peaks = Counter(context["tokens"][context["peak"]].strip() for context in found.result["contexts"])
    word, times = peaks.most_common(1)[0]
    return word if times > sum(peaks.values()) / 2 else None


def proposals(view: View) -> tuple[Proposal, ...]:
    """One prediction about prompts that the name was not made from; none where there are too few."""
    word = name_of(view)
    if word is None or CONTRAST not in view.results:
        return ()
    prompts, others = _prompts(view, word)[1], _others(view, word)
    families = {
        "some words in its place": _pairs(prompts, word, others[::2]),
        "other words in its place": _pairs(prompts, word, others[1::2]),
    }
    arms = tuple(
        Arm(label=family, counterfactual_family=family, tool="feature_contrast", args=_contrast(view, pairs))
        for family, pairs in families.items()
        if len(pairs) >= MIN_PAIRS
    )
    if not arms:
        return ()
    hypothesis = Hypothesis(
        id="h1",
        statement=f"Feature `{view.task.feature}` stands for `{word}`: it fires where that word stands and not where "
        "another does.",
        kind="mediation",
        alternatives=(f"it fires for words that often stand near `{word}`", "it fires in these prompts whatever word"),
        refuted_if="with the word in place it fires no more than without",
    )
    prediction = Prediction(
        id="p1",
        hypothesis="h1",
        kind="mediation",
        direction="positive",
        arms=arms,
        chance=0.0,
        holds_out_entities=False,
        holds_out_template=True,
    )
    return (Proposal(hypothesis=hypothesis, prediction=prediction),)


def _prompts(view: View, word: str) -> tuple[list[str], list[str]]:
    """Prompts of the task data that have the word and are no text that it was named from, to explore and to confirm.

    Every third wording explores, and its prompts confirm nothing.
    """
    used = [context["text"] for context in view.results[KEY].result["contexts"]]
    wordings: list[list[str]] = []
    for family in view.card.tasks:
        for template in family.templates:
            prompts = dict.fromkeys(template.fill(row.slots) for row in family.rows)
            holding = [p for p in prompts if word in p.split() and not any(u.startswith(p) for u in used)]
            wordings += [holding] if holding else []
    phases = wordings[::3], [w for i, w in enumerate(wordings) if i % 3]
    explore, confirm = ([p for holding in phase for p in holding] for phase in phases)
    for prompts in (explore, confirm):
        random.Random(0).shuffle(prompts)
    return explore[:MOST_PAIRS], [p for p in confirm if p not in explore][:MOST_PAIRS]


def _others(view: View, word: str) -> list[str]:
    """Words that stand in the same slot of the task data."""
    return sorted(
        {
            value
            for family in view.card.tasks
            for row in family.rows
            for slot, value in row.slots.items()
            if value != word and any(other.slots.get(slot) == word for other in family.rows)
        }
    )


def _pairs(prompts: list[str], word: str, others: Sequence[str]) -> list[dict[str, str]]:
    """Each prompt with the word, and with another in its place."""
    rng = random.Random(0)
    return [
        {
            "base": prompt,
            "corrupted": " ".join(rng.choice(others) if part == word else part for part in prompt.split()),
            "cluster": prompt,
        }
        for prompt in prompts
        if others
    ]
