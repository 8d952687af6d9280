"""Observables on the page: what each listens to, how it stands against the model, and how alike several are."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._heat_map import large_map
from ._scoring_words import observable_name
from ._svg import element
from ._tables import Cell, marked_text, quoted, table

MOST_TOKENS = 3


def observable_view(m: Measurement) -> Markup:
    """A table of the vectors, and a map of their cosines where there are several."""
    rows: list[tuple[Cell, ...]] = []
    for at, one in enumerate(m.result["vectors"]):
        place = "" if one["position"] is None else f" at token {one['position']}"
        rows.append(
            (
                marked_text(observable_name(m, at)),
                " ".join(m.args["observables"][at]["path"]) or "no component",
                f"{one['site']}{place}",
                one["length"],
                one["slope_on_model"],
                None if one["autograd_error"] is None else f"{one['autograd_error']:.1g}",
                _tokens(one["most"]),
                _tokens(one["least"]),
            )
        )
    head = ("question", "along", "listens at", "length", "model's slope", "error", "most in", "least in")
    caption = (
        f"Observables of {m.id}. Length: nats per unit along the path; model's slope: nats per unit over all paths; "
        "error: off from automatic differentiation (share); then tokens whose embeddings have most and least of it"
    )
    return _alike(m) + table(head, rows, caption)


def _tokens(found: Sequence[Sequence[Any]]) -> Markup:
    return Markup(", ").join(quoted(token) for token, _ in found[:MOST_TOKENS])


def _alike(m: Measurement) -> Markup:
    cosine = m.result["cosine"]
    if len(cosine) < 2:
        return Markup("")
    names = [observable_name(m, at).replace("`", "") for at in range(len(cosine))]
    values = {(i, j): value for i, row in enumerate(cosine) for j, value in enumerate(row)}
    drawn, note = large_map(names, names, values, f"Cosine of every two observables ({m.id})")
    return element("figure", element("figcaption", f"Cosine of every two observables. {note}"), drawn)
