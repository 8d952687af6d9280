"""Whether a prediction's prompts and entities are new: told by the measurements made so far, not by the planner."""

from collections.abc import Iterable
from typing import Any

from ..tools import Measurement
from .planners.interface import Proposal

PROMPTS = ("base", "corrupted", "source")
ENTITIES = ("base_entity", "source_entity")
Pairs = Iterable[dict[str, Any]]


def as_far_as_true(proposal: Proposal, explored: Iterable[Measurement]) -> Proposal:
    """The proposal, its promise of held-out entities and templates withdrawn where exploration had seen them.

    Seen is what an intervention was measured on. Asking the model beforehand which prompts it answers right does not
    make a prompt seen: it selects pairs, and says nothing about the mechanism.
    """
    prediction = proposal.prediction
    seen = [pair for m in explored for pair in m.args.get("pairs", ())]
    mine = [pair for arm in prediction.arms for pair in arm.args.get("pairs", ())]
    if _prompts(mine) & _prompts(seen):
        update = {"holds_out_entities": False, "holds_out_template": False}
    elif _entities(mine) & _entities(seen):
        update = {"holds_out_entities": False}
    else:
        return proposal
    return proposal.model_copy(update={"prediction": prediction.model_copy(update=update)})


def plain(text: str) -> str:
    """A text by which it can be told whether two are the same but for their spaces."""
    return " ".join(text.split())


def _prompts(pairs: Pairs) -> set[str]:
    return {plain(pair[name]) for pair in pairs for name in PROMPTS if pair.get(name)}


def _entities(pairs: Pairs) -> set[str]:
    """What is swapped: the named entities, or where a pair names none, the words in which its prompts differ."""
    found: set[str] = set()
    for pair in pairs:
        named = {plain(pair[name]) for name in ENTITIES if pair.get(name)}
        found |= named or set(pair["base"].split()) ^ set((pair.get("source") or pair["corrupted"]).split())
    return found
