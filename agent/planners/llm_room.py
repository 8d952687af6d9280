"""What fits into a conversation with a language model: everything that is sent counts, functions beside it too.

A room is given in characters and holds what is sent; the reply gets a quarter more. Characters are a rough measure of
tokens, so an endpoint may still find a conversation too long: it is then made for a smaller room (`Terms`).
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from .llm_conversing import CHARACTERS_PER_TOKEN, tools_of
from .llm_turns import MOST_WRITTEN, Mode, Turn

REPLY = 0.25  # of the room
SAID_AGAIN = (4_000, 1_000, 300)  # characters of a reply that could not be used, ever fewer until it fits
BEGINNING = 0.8  # of the room: what may be left out of a beginning is, from there on
NOISE = ("title", "description")  # what a function's parameters can do without
Message = dict[str, Any]


def longest_reply(room: int) -> int:
    """How long a reply may be (tokens) where so much is sent (characters)."""
    return max(1, min(MOST_WRITTEN, int(room * REPLY) // CHARACTERS_PER_TOKEN))


def sent_length(messages: Sequence[Message], functions: Sequence[dict[str, Any]], mode: Mode) -> int:
    """How long a request is (characters); in other modes than native, functions stand in the messages."""
    beside = len(json.dumps(tools_of(functions))) if mode == "native" else 0
    return beside + sum(len(json.dumps(message)) for message in messages)


def message(role: str, content: str) -> Message:
    """A message as chat completions have it."""
    return {"role": role, "content": content}


def beginning(rules: str, about: str, mode: Mode) -> list[Message]:
    """The rules and what they are about."""
    if mode == "text":  # what takes nothing else may not know a system's messages either
        return [message("user", f"{rules}\n\n{about}")]
    return [message("system", rules), message("user", about)]


def alternating(messages: Sequence[Message]) -> Iterator[Message]:
    """The messages, those of a user in a row as one: some models are told their parts by turns alone."""
    for role, several in groupby(messages, key=lambda message: message["role"]):
        same = list(several)
        if role == "user":
            yield message("user", "\n\n".join(one["content"] for one in same))
        else:
            yield from same


def shortened(text: str, most: int) -> str:
    """A text as far as it fits, and how much of it does not."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} characters left out)"


def brief(function: dict[str, Any]) -> dict[str, Any]:
    """A function without the words about its parameters."""
    return {**function, "parameters": _without_words(function["parameters"])}


def _without_words(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_words(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # A parameter may have such a name too; what it is called by is no text then.
    return {k: _without_words(v) for k, v in schema.items() if not (k in NOISE and isinstance(v, str))}


def with_refused(
    begun: Sequence[Message],
    functions: Sequence[dict[str, Any]],
    mode: Mode,
    refused: Sequence[tuple[Turn, str]],
    room: int,
) -> tuple[Message, ...]:
    """A beginning, and after it the replies that could not be used, each with why: as much of them as fits.

    The latest is told whatever the room is, since without it the next reply would be the same.
    """
    tries = [(turn, why) for turn, why in refused if turn.is_try]
    found = list(begun)
    for kept, most in (*((tries, most) for most in SAID_AGAIN), (tries[-1:], SAID_AGAIN[-1])):
        again = (one for turn, why in kept for one in _refused(turn, why, most))
        found = list(alternating([*begun, *again]))
        if sent_length(found, functions, mode) <= room:
            break
    return tuple(found)


def _refused(turn: Turn, why: str, most: int) -> list[Message]:
    said = turn.content or (json.dumps([call.arguments for call in turn.calls]) if turn.calls else "(nothing)")
    return [
        message("assistant", shortened(said, most)),
        message("user", f"Your reply cannot be used: {shortened(why, most)}"),
    ]
