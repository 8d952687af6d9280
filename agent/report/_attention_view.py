"""Attention patterns on the page: of every head how much is of which kind, and the patterns of the most peaked."""

from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._heat_map import large_map
from ._svg import element
from ._tables import Cell, table

KINDS = {
    "to_previous": "to the token before",
    "to_first": "to the first",
    "to_itself": "to itself",
    "to_same_token": "to the same token earlier",
    "induction": "to what followed it earlier",
}
MOST_DRAWN = 4


def attention_view(m: Measurement) -> Markup:
    """The patterns of the heads that look most at one token, and the scores of all."""
    heads: list[dict[str, Any]] = m.result["heads"]
    # The first token can look at nothing but itself, so of one token no head is more peaked than another.
    drawn = sorted(heads, key=lambda head: head["entropy"] or 0.0)[:MOST_DRAWN]
    maps = [_map(head, m) for head in drawn]
    left = f" Drawn are the {len(drawn)} of {len(heads)} heads of least entropy." if len(drawn) < len(heads) else ""
    says = f"Each row is a token that looks; its shares of attention at itself and those before sum to 1.{left}"
    told = element("p", says, class_="meta")
    return told + element("div", *maps, class_="maps") + _scores(heads, m)


def _map(head: dict[str, Any], m: Measurement) -> Markup:
    names = [f"{at} {token.strip()}" for at, token in enumerate(m.result["tokens"])]
    looks = {(q, k): share for q, row in enumerate(head["pattern"]) for k, share in enumerate(row) if k <= q}
    # The map's last row is on top; a text is read downwards.
    last = len(names) - 1
    values = {(last - q, k): share for (q, k), share in looks.items()}
    drawn, note = large_map(names[::-1], names, values, f"Where head {head['head']} looks ({m.id})")
    return element("figure", element("figcaption", f"Head {head['head']}. {note}"), drawn)


def _scores(heads: list[dict[str, Any]], m: Measurement) -> Markup:
    uniform = {"head": "looks at all alike", **m.result["uniform"]}
    rows: list[tuple[Cell, ...]] = [
        (head["head"], *(head[kind] for kind in KINDS), head["entropy"]) for head in [*heads, uniform]
    ]
    caption = "Shares of attention of each kind, means over the tokens behind the first; a dash where no token has such"
    return table(("head", *KINDS.values(), "entropy (nats)"), rows, caption)
