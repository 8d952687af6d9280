"""A subspace on the page: it, its parts and the whole component side by side with random ones, and what it passed."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._limits import limits_table
from ._patching_words import subspace_limits
from ._svg import element
from ._tables import Cell, quoted, table
from .plots import DotRow, effects_plot

PARTS = {
    "subspace": "the subspace",
    "row_part": "its row-space part, which the rest of the model sees",
    "null_part": "its null-space part, which nothing sees",
    "component": "the whole component",
}
RANDOM = {
    "random_effects": "random subspaces of as many dimensions",
    "random_pushes": "random pushes, each token as far",
}
BADGES = {
    "holds": ("✓", "passes", "supported"),
    "illusion": ("✗", "interpretability illusion", "refuted"),
    "exceeds_component": ("✗", "exceeds its component", "refuted"),
    "not_above_random": ("✗", "not above random", "refuted"),
    "no_effect": ("–", "no effect", "inconclusive"),
}
OUTGOING = {
    "W_down": "Row space and null space are those of W_down, through which the rest of the model sees the neurons",
    "W_O": "Row space and null space are those of W_O, through which the rest of the model sees the heads",
    "stream": "The component is the stream itself: the rest of the model sees all of it, or where norms centre all but "
    "the mean of its dimensions",
    "nonlinear": "No one matrix reads the component, so all of it counts as seen",
}


def subspace_view(m: Measurement) -> Markup:
    """Every position with its verdict, picture and tests."""
    return Markup("").join(_position(cell, m) for cell in m.result["cells"])


def _position(cell: Mapping[str, Any], m: Measurement) -> Markup:
    found = m.result
    sign, word, class_ = BADGES[cell["verdict"]]
    head = element("h4", element("span", f"{sign} {word}", class_=f"badge {class_}"), " ", _where(cell, m))
    rows = [_part_row(text, cell[part]) for part, text in PARTS.items()]
    for kind, text in RANDOM.items():
        rows.append(DotRow(f"{len(cell[kind])} {text}", "random", tuple(cell[kind])))
    drawn = effects_plot(rows, found["rule"]["smallest_effect"], f"Parts at {cell['position']} ({m.id})")
    caption = element("figcaption", f"A dot is a pair, or one random control. {OUTGOING[found['outgoing']]}.")
    tests = limits_table(subspace_limits(cell, found["rule"]), f"Tests at {cell['position']} (shares of the gap)")
    return head + element("div", element("figure", drawn, caption), tests, class_="evidence") + _table(cell, m)


def _part_row(text: str, one: Mapping[str, Any]) -> DotRow:
    size = one["dimension"]
    named = f"{text}: {size} dimension{'' if size == 1 else 's'}"
    return DotRow(named, "confirm", tuple(one["effects"]) if size else ())


def _where(cell: Mapping[str, Any], m: Measurement) -> Markup:
    found = m.result
    return Markup("{} of {} dimensions of {} at {}").format(
        found["dimension"], found["width"], quoted(found["site"]), quoted(cell["position"])
    )


def _table(cell: Mapping[str, Any], m: Measurement) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (text, cell[part]["dimension"], cell[part]["effect"], cell[part]["moved"]) for part, text in PARTS.items()
    ]
    found = m.result
    learned = f"; learned from {found['n_discovery']} other pairs" if found["n_discovery"] else ""
    caption = (
        f"Effects are shares of the gap, {found['gap']:.3g} nats, in the mean of {found['n_pairs']} pairs{learned}. "
        f"{cell['row_share']:.0%} of the subspace lies in the row space. The no-op changes no logit by more than "
        f"{found['no_op_change']:g}"
    )
    return table(("part", "dimensions", "effect", "answers moved"), rows, caption)
