"""Tables of a report's page: text escaped, numbers to the right, wide ones scroll."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from ._svg import element
from ._text import cut

MOST_ROWS = 60
Cell = str | int | float | bool | None | Markup


def table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str, most: int = MOST_ROWS, class_: str | None = None
) -> Markup:
    """A table; of many rows the first are shown, and the caption says how many there are."""
    shown = rows[:most]
    said = f"{caption} (first {most} of {len(rows)}; the rest is in report.json)" if len(rows) > most else caption
    names = element("tr", *(element("th", name, scope="col") for name in head))
    body = Markup("").join(element("tr", *(_cell(cell) for cell in row)) for row in shown)
    drawn = element("table", element("caption", said), element("thead", names), element("tbody", body), class_=class_)
    return element("div", drawn, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(cell: Cell) -> Markup:
    if isinstance(cell, Markup):
        return element("td", cell)
    if isinstance(cell, str):
        return element("td", cut(cell), dir="auto")
    return element("td", number(cell), class_="num")


def number(value: int | float | bool | None) -> str:
    """A number as a table prints it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:z.4g}"


def quoted(text: str) -> Markup:
    """Text of the model or the user, marked as such and kept from running into its surroundings."""
    return element("code", cut(text), dir="auto")


def marked_text(text: str) -> Markup:
    """Text that is no sentence of the report, with its backticks shown as code."""
    parts = re.split(r"`([^`]*)`", cut(text))
    shown = (Markup('<code dir="auto">{}</code>' if i % 2 else "{}").format(part) for i, part in enumerate(parts))
    return Markup("").join(shown)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of plain data that has no parts, with its path."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from leaves(part, f"{path}.{i}" if path else str(i))
    else:
        yield path, value
