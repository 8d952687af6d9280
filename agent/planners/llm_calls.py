"""The calls of a reply, however it makes them: as tool calls, or as a JSON object among its words.

Small models and small servers write the object into the text though they were given functions, and put a fence or a
sentence around it. It is read where there is one; what it says is checked as any other call is.
"""

import json
import re
from functools import lru_cache
from typing import Any

from ...tools import ToolError
from .llm_turns import Call, Turn

NAMES = ("call", "name", "function", "tool")  # under which models put the function
GIVEN = ("arguments", "parameters", "args")
OPENING = re.compile(r"[{\[]")
MOST_STARTS = 40  # places of a text at which an object is looked for
MOST_FOUND = 16  # calls of one text that are read
DEEPEST = 8  # functions within functions


def calls_of(turn: Turn) -> tuple[Call, ...]:
    """What a turn calls; nothing where it calls nothing."""
    return turn.calls or _written(turn.content)


@lru_cache(maxsize=256)  # a course is read from its first turn on each time
def _written(text: str) -> tuple[Call, ...]:
    return tuple(call for one in _objects(text) if (call := _call(one)) and call.name)[:MOST_FOUND]


def call_of(turn: Turn, function: str) -> Call:
    """The first call of one function.

    Raises:
        ToolError: there is no reply, or none that calls it.
    """
    if turn.problem:
        raise ToolError(turn.problem, mend="Try again.")
    call = next((one for one in calls_of(turn) if one.name == function), None)
    if call is None:
        raise ToolError(f"it does not call `{function}`.", mend="Call it.")
    return call


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a text, the outermost ones; a list of them is opened."""
    found: list[dict[str, Any]] = []
    decoder, at = json.JSONDecoder(), 0
    for _ in range(MOST_STARTS):
        opening = OPENING.search(text, at)
        if opening is None:
            break
        start = opening.start()
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            at = start + 1
            continue
        found += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    return found


def _name(one: dict[str, Any]) -> str:
    said = next((one[key] for key in NAMES if key in one), "")
    return said if isinstance(said, str) else ""


def _call(one: dict[str, Any]) -> Call | None:
    for _ in range(DEEPEST):  # {"function": {"name": …, "arguments": …}}
        inner = next((one[key] for key in NAMES if isinstance(one.get(key), dict)), None)
        if inner is None:
            break
        one = inner
    given = next((one[key] for key in GIVEN if key in one), {})
    try:
        arguments = given if isinstance(given, str) else json.dumps(given)
    except RecursionError:
        return None
    return Call(id="", name=_sound(_name(one)), arguments=_sound(arguments))


def _sound(text: str) -> str:
    """Text that can be written down: without halves of characters, which JSON can hold and no file can."""
    return text.encode(errors="replace").decode()
