"""What does a feature stand for: where it fires, what it promotes, and a sealed test on prompts it was not named from.

The name is the token at which most of its strongest contexts peak; a feature without one stays unnamed. The prediction:
on held-out prompts it fires with that token in place and not with another, more than other features of its layer do,
and not by its direction alone.
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
RANDOM_DRAWS = 20
KEY = "describe"


def explorations(view: View) -> Iterator[Experiment]:
    """Read the feature on the model's own texts."""
    yield Experiment(
        key=KEY,
        tool="describe_feature",
        args={"feature": view.task.feature, "dictionary": view.card.dictionary or "neurons", "top_k": NAMED_FROM},
        why="on which texts it fires, and which tokens it promotes",
    )


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
    word, found = name_of(view), view.results.get(KEY)
    if word is None or found is None:
        return ()
    used = {context["text"] for context in found.result["contexts"]}
    families = {
        "prompts of the task data": _pairs(_prompts(view, word, used), word, view, seed=0),
        "the other replacements": _pairs(_prompts(view, word, used), word, view, seed=1),
    }
    arms = [(name, pairs) for name, pairs in families.items() if len(pairs) >= MIN_PAIRS]
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
    scale = found.result["max_activation"]

    def arm(label: str, family: str, pairs: Sequence[Any], draws: int) -> Arm:
        args = {"feature": view.task.feature, "pairs": list(pairs), "scale": scale, "random_draws": draws}
        args |= {"dictionary": view.card.dictionary or "neurons"}
        return Arm(label=label, counterfactual_family=family, tool="feature_contrast", args=args)

    prediction = Prediction(
        id="p1",
        hypothesis="h1",
        kind="mediation",
        direction="positive",
        expected=None,
        arms=tuple(arm(name, name, pairs, RANDOM_DRAWS) for name, pairs in arms),
        twin_arms=tuple(arm(f"re-initialised, {name}", name, pairs, 0) for name, pairs in arms),
        chance=0.0,
        holds_out_entities=False,
        holds_out_template=True,
    )
    return (Proposal(hypothesis=hypothesis, prediction=prediction),)


def _prompts(view: View, word: str, used: set[str]) -> list[str]:
    """Prompts of the task data that have the word and are no text that the name was made from."""
    prompts = [
        template.fill(row.slots) for family in view.card.tasks for row in family.rows for template in family.templates
    ]
    holding = [p for p in dict.fromkeys(prompts) if word in p.split() and not any(u.startswith(p) for u in used)]
    random.Random(0).shuffle(holding)
    return holding[:MOST_PAIRS]


def _pairs(prompts: list[str], word: str, view: View, seed: int) -> list[dict[str, str]]:
    """Each prompt with the word, and with another word that stands in the same slot of the task data."""
    others = sorted(
        {
            value
            for family in view.card.tasks
            for row in family.rows
            for slot, value in row.slots.items()
            if value != word and any(other.slots.get(slot) == word for other in family.rows)
        }
    )
    if not others:
        return []
    rng = random.Random(seed)
    return [
        {
            "base": prompt,
            "corrupted": " ".join(rng.choice(others) if part == word else part for part in prompt.split()),
            "cluster": prompt,
        }
        for prompt in prompts
    ]
