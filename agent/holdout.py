"""Whether a prediction's prompts and entities are new: told by the measurements made so far, not by the planner."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..tools import Measurement
from .planners.interface import Proposal

PROMPTS = ("base", "corrupted", "source")
ENTITIES = ("base_entity", "source_entity")
# Instruments that ask the subject and look at nothing but its answers. Every other one intervenes or reads inside.
ASKING = {"next_token", "substitutions"}
TEXTS = ("prompt", "prompts", "text", "texts")  # arguments whose texts are prompts even where they are single words
CALLED = (
    "name",
    "supernode",
    "cluster",
    "label",
    "concept",
    "category",
    "template",
    "scorer",
)  # what things are called
SETTING = re.compile(r"[!-~]*")  # a single word: an answer, a place, a choice
Pairs = Iterable[dict[str, Any]]


def as_far_as_true(proposal: Proposal, explored: Iterable[Measurement]) -> Proposal:
    """The proposal, its promise of held-out entities and templates withdrawn where exploration had seen them.

    Seen is what an instrument intervened on or read inside of, in whatever argument it was given: pairs, families of
    pairs, prompts, probes, reference prompts. Asking the model beforehand which prompts it answers right does not make
    a prompt seen: it selects pairs, and says nothing about the mechanism. Nor do the texts and task data count that an
    instrument reads of its own accord, which no planner chooses.

    An entity is seen where it was swapped in a pair, and where it stands in any other prompt.
    """
    prediction = proposal.prediction
    read = [m.args for m in explored if m.tool not in ASKING]
    pairs = [pair for args in read for pair in _pairs(args)]
    others = {text for args in read for text in _other_prompts(args)}
    mine = [pair for arm in prediction.arms for pair in arm.args.get("pairs", ())]
    if prompts_in(mine) & (prompts_in(pairs) | others):
        update = {"holds_out_entities": False, "holds_out_template": False}
    elif (swapped := _entities(mine)) & _entities(pairs) or _stand_in(swapped, others):
        update = {"holds_out_entities": False}
    else:
        return proposal
    return proposal.model_copy(update={"prediction": prediction.model_copy(update=update)})


def prompts_of(measurement: Measurement) -> set[str]:
    """Every prompt that an instrument intervened on or read inside of; none where it only asked."""
    if measurement.tool in ASKING:
        return set()
    return prompts_in(_pairs(measurement.args)) | set(_other_prompts(measurement.args))


def plain(text: str) -> str:
    """A text by which it can be told whether two are the same but for their spaces."""
    return " ".join(text.split())


def _pairs(given: Any) -> Iterator[dict[str, Any]]:
    """Every pair of prompts in some arguments, however deep."""
    if _is_pair(given):
        yield given
        return
    for value in given.values() if isinstance(given, dict) else given if isinstance(given, list) else ():
        yield from _pairs(value)


def _other_prompts(given: Any, name: str = "") -> Iterator[str]:
    """Every text of some arguments that stands in no pair and may have been read as a prompt, however deep."""
    if isinstance(given, str):
        if given and (name in TEXTS or not SETTING.fullmatch(given.strip())):
            yield plain(given)
    elif isinstance(given, dict) and not _is_pair(given):
        for inner, value in given.items():
            if inner not in CALLED:
                yield from _other_prompts(value, inner)
    elif isinstance(given, list):
        for value in given:
            yield from _other_prompts(value, name)


def _is_pair(given: Any) -> bool:
    return isinstance(given, dict) and {"base", "corrupted"} <= given.keys()


def prompts_in(pairs: Pairs) -> set[str]:
    """Every prompt that stands in some pairs, as it can be compared."""
    return {plain(pair[name]) for pair in pairs for name in PROMPTS if pair.get(name)}


def _entities(pairs: Pairs) -> set[str]:
    """What is swapped: the named entities, or where a pair names none, the words in which its prompts differ."""
    found: set[str] = set()
    for pair in pairs:
        named = {plain(pair[name]) for name in ENTITIES if pair.get(name)}
        found |= named or set(pair["base"].split()) ^ set((pair.get("source") or pair["corrupted"]).split())
    return found


def _stand_in(entities: Iterable[str], texts: Iterable[str]) -> bool:
    """Whether one of the entities stands in one of the texts, as words of their own."""
    named = "|".join(rf"(?<!\w){re.escape(entity)}(?!\w)" for entity in sorted(entities) if entity)
    return bool(named) and any(re.search(named, text) for text in texts)
