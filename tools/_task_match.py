"""How alike two sets of prompts are in what a unit could notice without noticing the task.

A unit that fires in one set and not in the other may have noticed only that its prompts are longer, or that they end in
another word: the confound of studies that compare recall with reasoning on prompts of different form.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

from pydantic import Field

from ._base import Frozen, ToolError

Unmatched = Literal["length", "last_token"]


class MatchRule(Frozen):
    """How far two sets of prompts may differ."""

    length_difference: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="Of the mean numbers of tokens, at most (count)."
    )
    length_distance: float = Field(0.5, ge=0, le=1, description="Total variation of the numbers of tokens, at most.")
    last_token_distance: float = Field(0.5, ge=0, le=1, description="Total variation of the last tokens, at most.")


class Matched(Frozen):
    """What two sets of prompts have in common. A distance is a total variation: 0 is equal, 1 nothing shared."""

    mean_lengths: tuple[float, float] = Field(description="Mean number of tokens in each set (count).")
    length_distance: float = Field(description="Distance between the numbers of tokens.")
    last_token_distance: float = Field(description="Distance between the tokens that prompts end in.")
    answer_distance: float = Field(description="Distance between the answers; shown, and nothing is refused for it.")
    shared_tokens: float = Field(description="Tokens that both sets use, of those that any uses (share); shown alone.")
    unmatched: tuple[Unmatched, ...] = Field(description="In what they differ by more than the rule allows.")


def matched(
    prompts: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    answers: tuple[Sequence[int], Sequence[int]],
    rule: MatchRule,
) -> Matched:
    """Compare two sets of prompts, given as token ids, and their answers."""
    one, two = ([len(ids) for ids in part] for part in prompts)
    means = sum(one) / len(one), sum(two) / len(two)
    lengths = total_variation(one, two)
    last = total_variation(*([ids[-1] for ids in part] for part in prompts))
    used = [{token for ids in part for token in ids} for part in prompts]
    unmatched: list[Unmatched] = []
    if abs(means[0] - means[1]) > rule.length_difference or lengths > rule.length_distance:
        unmatched.append("length")
    if last > rule.last_token_distance:
        unmatched.append("last_token")
    return Matched(
        mean_lengths=means,
        length_distance=lengths,
        last_token_distance=last,
        answer_distance=total_variation(*answers),
        shared_tokens=len(used[0] & used[1]) / len(used[0] | used[1]),
        unmatched=tuple(unmatched),
    )


def refuse_unmatched(found: Matched) -> None:
    """
    Raises:
        ToolError: sets that differ by more than the rule allows.
    """
    if found.unmatched:
        one, two = found.mean_lengths
        raise ToolError(
            f"The two sets differ in {' and '.join(name.replace('_', ' ') for name in found.unmatched)}: "
            f"{one:.1f} and {two:.1f} tokens in the mean (distance {found.length_distance:.2f}), last tokens at "
            f"distance {found.last_token_distance:.2f}.",
            mend="Match the prompts in length and in the word that they end in, or set `allow_unmatched`.",
        )


def total_variation(one: Sequence[Hashable], two: Sequence[Hashable]) -> float:
    """Half the summed difference between two samples' frequencies."""
    first, second = Counter(one), Counter(two)
    return sum(abs(first[key] / len(one) - second[key] / len(two)) for key in {*first, *second}) / 2
