"""The search for a circuit that a question about contrast pairs gets: exploration alone, so what it finds is observed.

It runs on discovery pairs, is shown beside the claims, and no claim rests on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...tools import Row, TaskFamily, Template
from ._pairs import PairArgs, matched_row
from .interface import Experiment, View

KEY = "circuit"
FEWEST_PAIRS = 3
MOST_PAIRS = 8  # the search runs each of them hundreds of times
CONTEXTS, CHECKED = 4, 16
RESAMPLES, LISTED = 100, 100
GIVEN = "counterfactuals"
ASKED = ("base", "corrupted", "answer", "foil", "cluster")


def circuit_experiment(view: View, pairs: Sequence[PairArgs], seed: int = 0) -> Experiment | None:
    """A search for the links that carry the contrast; none where too few pairs can be compared token by token.

    Pairs are one family as given. Where task data tell how else the answer of such prompts can be changed, that is
    another: one family cannot reveal a circuit.

    Args:
        view: with the check of the pairs, which counted their tokens.
        pairs: of discovery: what is found on them is never confirmed on them.
        seed: of resamples and random circuits.
    """
    usable = list(_comparable(view, pairs))[:MOST_PAIRS]
    if len(usable) < FEWEST_PAIRS:
        return None
    families = [{"name": GIVEN, "pairs": usable}, *_further(view, usable)]
    clusters = min(len({pair["cluster"] for pair in family["pairs"]}) for family in families)
    args: dict[str, Any] = {
        "families": families,
        "check": CHECKED,
        "slots": False,  # a run for every slot would take longer than all else that is explored
        "most_contexts": CONTEXTS,
        "resamples": RESAMPLES if clusters > 1 else 0,
        "top": LISTED,
        "seed": seed,
    }
    why = "which links between heads and MLPs carry the contrast, stand-ins among them"
    return Experiment(key=KEY, tool="circuit_search", args=args, why=why)


def _comparable(view: View, pairs: Sequence[PairArgs]) -> Iterator[PairArgs]:
    """Pairs with as many tokens in the prompt as in its counterfactual, as the check of the pairs counted them."""
    check = view.results["pairs"]
    counted = zip(check.args["prompts"], check.result["answers"], strict=True)
    lengths = {prompt: answer["n_tokens"] for prompt, answer in counted}
    for pair in pairs:
        n_tokens = lengths.get(pair["base"])
        if n_tokens is not None and n_tokens == lengths.get(pair["corrupted"]):
            yield {field: pair.get(field, "") for field in ASKED}


def _further(view: View, pairs: Sequence[PairArgs]) -> Iterator[dict[str, Any]]:
    """Families that task data add: the answer, a word of the prompt itself, changes places with another word of it.

    Only where every word is one token, since nobody has counted the tokens of these prompts; and only kinds that differ
    from what was given.
    """
    if not view.card.words:
        return
    made_of = [matched_row(view.card.tasks, pair["base"], pair["answer"]) for pair in pairs]
    matched = [(pair, *found) for pair, found in zip(pairs, made_of, strict=True) if found is not None]
    if len(matched) < len(pairs):
        return
    given = {(pair["base"], pair["corrupted"]) for pair in pairs}
    for slot in _exchangeable([family for _, family, _, _ in matched]):
        made = [_exchanged(*one, slot) for one in matched]
        if all(one["foil"] != one["answer"] and (one["base"], one["corrupted"]) not in given for one in made):
            yield {"name": f"{matched[0][1].entity} and {slot} change places", "pairs": made}


def _exchangeable(families: Sequence[TaskFamily]) -> tuple[str, ...]:
    """Slots of the prompts' one family that hold words of the answer's kind and stand in each of its templates."""
    family = families[0]
    if any(other != family for other in families) or family.entity != family.answer or family.mediators:
        return ()
    shown = set.intersection(*(set(template.slots) for template in family.templates))
    answers = {row.slots[family.answer] for row in family.rows}
    kinds = {slot: {row.slots[slot] for row in family.rows} for slot in sorted(shown - {family.entity})}
    return tuple(slot for slot, values in kinds.items() if values <= answers or answers <= values)


def _exchanged(pair: PairArgs, family: TaskFamily, template: Template, row: Row, slot: str) -> PairArgs:
    slots: Mapping[str, str] = row.slots
    swapped = {**slots, family.entity: slots[slot], slot: slots[family.entity]}
    return {**pair, "corrupted": template.fill(swapped), "foil": swapped[family.answer]}
