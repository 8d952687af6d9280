"""Numbers over two orders of places, such as layers and tokens, as coloured cells; of very many the strongest."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from ._svg import element, label, picture, shortened

HEAT_STEPS = 10  # classes of the style sheet from no effect to a full one
CELL, LARGE_CELL, SMALL_CELL = (46, 26), (38, 24), (20, 18)  # a small one has no number, but its title
MOST_LARGE = (24, 16)  # rows and columns of large cells
MOST_ROWS, MOST_COLUMNS = 48, 64
LONGEST_NAME, LETTER, ROOM = 22, 5.6, 6  # characters of a name, how wide one is, and what is between two names
TURN = math.radians(40)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[int, int], float],
    title: str,
    size: tuple[int, int] = CELL,
) -> Markup:
    """A number per row and column, coloured from -1 to 1; the last row on top, as layers are drawn."""
    width, height = size
    gutter = 12 + 7 * max(len(shortened(row, LONGEST_NAME)) for row in rows)
    names = [shortened(column, LONGEST_NAME) for column in columns]
    turned = max(map(len, names), default=0) * LETTER + ROOM > width
    head = 14 + (max(map(len, names)) * LETTER * math.sin(TURN) if turned else 0)
    parts: list[Markup] = []
    for j, column in enumerate(names):
        x = gutter + width * (j + 0.5)
        turn = f" rotate(-{math.degrees(TURN):g})" if turned else ""
        text = element(
            "text",
            column,
            class_="tick",
            transform=f"translate({x + (4 if turned else 0):g} {head:g}){turn}",
            text_anchor="start" if turned else "middle",
        )
        parts.append(text)
    for i, row in enumerate(reversed(rows)):
        parts.append(label(shortened(row, LONGEST_NAME), gutter - 6, head + 6 + height * (i + 0.5) + 4, "tick", "end"))
    for (i, j), value in sorted(cells.items()):
        corner = gutter + width * j, head + 6 + height * (len(rows) - 1 - i)
        parts.append(_cell(value, corner, size, f"{rows[i]}, {columns[j]}"))
    reaches = [len(name) * LETTER * math.cos(TURN) - width * (i + 0.5) for i, name in enumerate(reversed(names))]
    reach = 8 + max(0.0, *reaches) if turned else 8  # turned names stand out over the last column
    return picture(title, gutter + width * len(columns) + reach, head + 10 + height * len(rows), parts, fluid=False)


def _cell(value: float | int, corner: tuple[float | int, float | int], size: tuple[int, int], place: str) -> Markup:
    step = round(min(abs(value), 1.0) * HEAT_STEPS)
    sign = "neg" if value < 0 else "pos"
    (x, y), (width, height) = corner, size
    box = element("rect", x=x + 1, y=y + 1, width=width - 2, height=height - 2, rx=3)
    numbered = size != SMALL_CELL and round(value, 2) != 0
    text = label(f"{value:z.2f}", x + width / 2, y + height / 2 + 4, "cell", "middle") if numbered else ""
    return element("g", element("title", f"{place}: {value:.4f}"), box, text, class_=f"heat {sign} s{step}")


def large_map(
    rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[int, int], float], title: str
) -> tuple[Markup, str]:
    """A heat map of however many rows and columns, and how to read it: where numbers are, and what is left out.

    Cells are small, without numbers, where there are too many for large ones. Rows and columns that are kept stay in
    order.
    """
    by_row, by_column = (_strongest(cells, axis, most) for axis, most in ((0, MOST_ROWS), (1, MOST_COLUMNS)))
    kept = {(by_row[i], by_column[j]): value for (i, j), value in cells.items() if i in by_row and j in by_column}
    fits = len(by_row) <= MOST_LARGE[0] and len(by_column) <= MOST_LARGE[1]
    size = LARGE_CELL if fits else SMALL_CELL
    drawn = heat_map([rows[i] for i in by_row], [columns[j] for j in by_column], kept, title, size)
    left = [
        f"{len(names) - len(some)} of {len(names)} {what}"
        for names, some, what in ((rows, by_row, "rows"), (columns, by_column, "columns"))
        if len(some) < len(names)
    ]
    note = "A cell without a number rounds to nothing." if fits else "Point at a cell to see its number."
    return drawn, f"{note} Those of least effect are left out: {' and '.join(left)}." if left else note


def _strongest(cells: Mapping[tuple[int, int], float], axis: int, most: int) -> dict[int, int]:
    """The rows or columns of largest size, in order, each with its new place."""
    peak: dict[int, float] = {}
    for place, value in cells.items():
        peak[place[axis]] = max(abs(value), peak.get(place[axis], 0.0))
    some = sorted(sorted(peak, key=lambda one: -peak[one])[:most])
    return {old: new for new, old in enumerate(some)}
