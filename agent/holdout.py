"""Whether a prediction's prompts and entities are new: told by the measurements made so far, not by the planner."""

from collections.abc import Iterable

from ..tools import Measurement
from ._evidence import Prediction
from .planners.interface import Proposal

PROMPTS = ("base", "corrupted", "source")
ENTITIES = ("base_entity", "source_entity")


def as_far_as_true(proposal: Proposal, explored: Iterable[Measurement]) -> Proposal:
    """The proposal, its promise of held-out entities and templates withdrawn where exploration had seen them."""
    prediction = proposal.prediction
    measured = [m.args["pairs"] for m in explored if "pairs" in m.args]
    seen = {pair[name] for pairs in measured for pair in pairs for name in PROMPTS if pair.get(name)}
    seen_entities = {pair[name] for pairs in measured for pair in pairs for name in ENTITIES if pair.get(name)}
    if _of(prediction, PROMPTS) & seen:
        update = {"holds_out_entities": False, "holds_out_template": False}
    elif _of(prediction, ENTITIES) & seen_entities:
        update = {"holds_out_entities": False}
    else:
        return proposal
    return proposal.model_copy(update={"prediction": prediction.model_copy(update=update)})


def _of(prediction: Prediction, names: tuple[str, ...]) -> set[str]:
    """What stands under these names in the pairs of the confirming arms."""
    pairs = [pair for arm in prediction.arms for pair in arm.args.get("pairs", ())]
    return {pair[name] for pair in pairs for name in names if pair.get(name)}
