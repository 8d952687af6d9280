"""Whether a subspace carries an effect, or only an illusion of one.

Makelov, Lange and Nanda 2023 (arXiv 2311.17030): a direction can move an answer fully although neither part of it does,
by bringing what differs between prompts but is disconnected together with what is connected but dormant. Wu et al. 2024
(arXiv 2401.12631) hold that this alone need not disprove a subspace, so the reason is named beside the verdict.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ._base import Frozen

Failure = Literal["no_effect", "needs_disconnected_part", "exceeds_component", "not_above_random"]
Verdict = Literal["holds", "no_effect", "illusion", "exceeds_component", "not_above_random"]


class IllusionRule(Frozen):
    """What a subspace has to show. Effects are shares of the gap between clean and corrupted prompts."""

    smallest_effect: float = Field(0.05, ge=0, le=1, description="An effect nearer to 0 is none (share of the gap).")
    kept_by_row_part: float = Field(
        0.5, ge=0, le=1, description="Of the effect, what the row-space part alone has to keep (share of the effect)."
    )
    over_component: float = Field(
        1.25, ge=1, allow_inf_nan=False, description="Largest effect, as a multiple of the whole component's."
    )
    slack: float = Field(
        0.05,
        ge=0,
        allow_inf_nan=False,
        description="By how much more it may exceed the component's (share of the gap).",
    )


def failures_of(
    effect: float, row_part: float, component: float, random_effects: Sequence[float], rule: IllusionRule
) -> tuple[Failure, ...]:
    """The tests that an effect fails, the others being run all the same.

    Args:
        effect: Of the subspace; as all others, a share of the gap.
        row_part: Of its part in the row space alone.
        component: Of the whole component.
        random_effects: Of every random control.
    """
    if abs(effect) < rule.smallest_effect:
        return ("no_effect",)
    sign = 1 if effect > 0 else -1
    failed: list[Failure] = []
    if sign * row_part < rule.kept_by_row_part * abs(effect):
        failed.append("needs_disconnected_part")
    if abs(effect) > rule.over_component * max(0.0, sign * component) + rule.slack:
        failed.append("exceeds_component")
    if abs(effect) <= max(map(abs, random_effects)):
        failed.append("not_above_random")
    return tuple(failed)


def verdict_of(failed: Sequence[Failure]) -> Verdict:
    """The gravest failure under its name: an effect that needs the disconnected part is the illusion."""
    if not failed:
        return "holds"
    return "illusion" if failed[0] == "needs_disconnected_part" else failed[0]
