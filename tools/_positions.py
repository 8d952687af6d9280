"""Where in a prompt to read or write: by role rather than by number, so that prompts of one kind can be batched.

| position | tokens |
| --- | --- |
| `last` | the last token |
| `entity` | every token of the entity's last occurrence |
| `differs` | every token where base and corrupted prompt differ (they must have equal length) |
| an integer | that token, counted from the end where negative |
"""

import re
from typing import TYPE_CHECKING

from ._base import ToolError

if TYPE_CHECKING:
    from ._subject import Subject

ALLOWED = "last, entity, differs, or an integer such as 3 or -2"


def check_position(position: str) -> None:
    """Refuse, before anything runs, a position that no prompt could have."""
    if position not in ("last", "entity", "differs") and not re.fullmatch(r"-?\d{1,9}", position):
        raise ToolError(f"`{position}` names no position.", mend=f"Positions: {ALLOWED}.")


def token_positions(subject: "Subject", prompt: str, position: str, entity: str = "") -> tuple[int, ...]:
    """Token indices of `last`, `entity` or an integer position in one prompt.

    Raises:
        ToolError: the position lies outside the prompt, or the entity is not in it.
    """
    check_position(position)
    ids, offsets = subject.reader.split(prompt)
    length = len(ids)
    if position == "last":
        return (length - 1,)
    if position == "entity":
        return _tokens_of(entity, prompt, offsets)
    index = int(position)
    if not -length <= index < length:
        raise ToolError(f"Position {index} lies outside {prompt!r}.", mend=f"It has {length} tokens: 0..{length - 1}.")
    return (index % length,)


def differing_positions(subject: "Subject", base: str, corrupted: str) -> tuple[int, ...]:
    """Token indices where two prompts of equal length differ.

    Raises:
        ToolError: unequal lengths, or no difference.
    """
    one, two = (subject.reader.split(prompt).ids for prompt in (base, corrupted))
    if len(one) != len(two):
        raise ToolError(
            f"{base!r} has {len(one)} tokens and {corrupted!r} has {len(two)}.",
            mend="`differs` needs prompts of equal length; use `last` or `entity`.",
        )
    places = tuple(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    if not places:
        raise ToolError(f"{base!r} equals its counterfactual.", mend="Give a prompt that differs.")
    return places


def _tokens_of(entity: str, prompt: str, offsets: list[tuple[int, int]]) -> tuple[int, ...]:
    found = list(re.finditer(rf"(?<!\w){re.escape(entity)}(?!\w)", prompt)) if entity else []
    if not found:
        raise ToolError(f"The entity {entity!r} is not in {prompt!r}.", mend="Name a word of the prompt.")
    start, end = found[-1].span()
    places = tuple(i for i, (a, b) in enumerate(offsets) if b > a and a < end and b > start)
    assert places, f"no token covers {entity!r} in {prompt!r}"
    return places
