"""What an endpoint means that refuses a request: a parameter, the length of the conversation, or something else.

Newer models refuse `max_tokens` and want `max_completion_tokens`, and any temperature but their own; some servers know
neither `seed` nor `stream_options`. The body of a refusal is data: so much of it is read as tells these apart, and
nothing of it is passed on, for it may quote the request.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

REFUSED = (400, 404, 413, 415, 422, 501)  # statuses that say: not such a request
TOO_LARGE = 413
OTHERWISE = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "",
    "temperature": "",
    "seed": "",
    "stream_options": "",
}
"""Parameters that a request can do without, each with the one that takes its value instead."""
ASKED_WITH = ("max_tokens", "temperature", "seed", "stream_options")  # those that are sent where nothing is known
WORDS = ("message", "msg", "error", "detail", "code", "type")  # under which servers say what is wrong
LONGEST_READ, DEEPEST = 4_000, 6  # characters of what is said; objects within each other
TOO_LONG = re.compile(
    r"context.{0,30}(?:length|window|size)|reduce the length|maximum number of tokens|too many (?:\w+ )?tokens"
    r"|(?:prompt|input|messages?|conversation)\b.{0,60}too (?:long|large)|tokens\b.{0,60}must be <=",
    re.IGNORECASE | re.DOTALL,
)


def is_too_long(status: int, body: object) -> bool:
    """Whether what is refused is the length of the conversation."""
    return status == TOO_LARGE or TOO_LONG.search(_said(body)) is not None


def refused_parameter(body: object, sent: Collection[str]) -> str:
    """Which parameter is refused that a request can do without; empty where it is none of them.

    Args:
        sent: names of all that was sent.
    """
    named = [name for name in _named(body) if name]
    if named:  # said outright; other words of the body may be about what is allowed
        return next((name for name in named if name in OTHERWISE and name in sent), "")
    said = _said(body)
    if TOO_LONG.search(said):  # such a message may do sums with `max_tokens`
        return ""
    places = {found.start(): name for name in OTHERWISE if name in sent and (found := re.search(rf"\b{name}\b", said))}
    return places[min(places)] if places else ""


def without(request: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """A request as an endpoint takes it that refuses some parameters."""
    found = dict(request)
    for name, other in OTHERWISE.items():
        if name in left_out and name in found:
            value = found.pop(name)
            found |= {other: value} if other else {}
    return found


def asked_otherwise(left_out: Collection[str]) -> str:
    """What a request has instead of these parameters, in words; empty where there are none."""
    changes = []
    for name in ASKED_WITH:
        if name in left_out:
            instead = [*without({name: None}, left_out)]
            changes.append(f"{instead[0]} instead of {name}" if instead else f"no {name}")
    return " and ".join(changes)


def _named(body: object, depth: int = 0) -> Iterator[str]:
    """What is said outright to be wrong: OpenAI's `param`, and the end of the `loc` of a validator."""
    if depth > DEEPEST:
        return
    if isinstance(body, Mapping):
        if isinstance(param := body.get("param"), str):
            yield param
        if isinstance(place := body.get("loc"), list) and place and isinstance(place[-1], str):
            yield place[-1]
        for name in WORDS:
            yield from _named(body.get(name), depth + 1)
    elif isinstance(body, list):
        for one in body[:DEEPEST]:
            yield from _named(one, depth + 1)


def _said(body: object) -> str:
    return " ".join(_texts(body))[:LONGEST_READ]


def _texts(body: object, depth: int = 0) -> Iterator[str]:
    if isinstance(body, str):
        yield body[:LONGEST_READ]
    elif depth > DEEPEST:
        return
    elif isinstance(body, Mapping):
        for name in WORDS:
            yield from _texts(body.get(name), depth + 1)
    elif isinstance(body, list):
        for one in body[:DEEPEST]:
            yield from _texts(one, depth + 1)
