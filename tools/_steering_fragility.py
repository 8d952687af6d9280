"""When steering counts as fragile: the limits, and which of them a card breaks."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ._base import Frozen

Weakness = Literal["effect", "random", "neighbour", "prompt", "context", "layer", "strength", "off_target", "fluency"]


class FragilityRule(Frozen):
    """What steering has to show to be called sound."""

    smallest_effect: float = Field(
        0.5, ge=0, allow_inf_nan=False, description="An effect nearer to 0 is none (nats of logit difference)."
    )
    kept_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Of the effect, what every context, the next layer on either side, and half and double the "
        "strength have to keep (share).",
    )
    neighbour_share: float = Field(
        0.5,
        ge=0,
        allow_inf_nan=False,
        description="Of the effect, what a neighbouring feature may have at most (share).",
    )
    off_target_change: float = Field(
        0.1, ge=0, le=1, description="Answers of other prompts that may be lost at most (share)."
    )
    perplexity_ratio: float = Field(
        1.5, ge=1, allow_inf_nan=False, description="Perplexity of neutral text, steered over clean, at most."
    )


@dataclass(frozen=True)
class Measured:
    """What the limits are held against; effects are those toward the answer (nats)."""

    effect: float
    random: tuple[float, ...]  # of random directions
    neighbours: tuple[float, ...]  # of features that write nearly the same
    prompting: tuple[float, ...]  # of texts in front of the prompts, without steering
    contexts: tuple[float, ...]
    near_layers: tuple[float, ...]  # at the layers next to the one asked for
    near_strengths: tuple[float, ...]  # at half and double the strength
    lost: float  # answers of other prompts that are no longer given (share)
    perplexity_ratio: float


def weaknesses_of(rule: FragilityRule, found: Measured) -> tuple[Weakness, ...]:
    """The limits that a direction breaks."""
    kept = rule.kept_share * found.effect
    broken: dict[Weakness, bool] = {
        "effect": found.effect < rule.smallest_effect,
        "random": max(found.random) >= found.effect,
        "neighbour": max(found.neighbours) > rule.neighbour_share * found.effect,
        "prompt": max(found.prompting) >= found.effect,
        "context": min(found.contexts) < kept,
        "layer": min(found.near_layers, default=kept) < kept,
        "strength": min(found.near_strengths) < kept,
        "off_target": found.lost > rule.off_target_change,
        "fluency": found.perplexity_ratio > rule.perplexity_ratio,
    }
    return tuple(name for name, is_broken in broken.items() if is_broken)
