"""The pictures of a report: effects beside their controls, heat maps over places, curves over layers and strengths."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from ._svg import WIDTH, Scale, element, label, picture, shortened, x_axis, y_axis
from ._text import visible
from .schema import Claim, MeasurementRecord

ROW = 46  # height of a row of dots
HEAT_STEPS = 10  # classes of the style sheet from no effect to a full one
CELL = (46, 26)
SERIES = 6  # lines that the style sheet tells apart
LONGEST_LABEL = 46  # characters of a row's name in one line
MOST_LINES = 3
LINE = 14  # height of a further line of a row's name


class DotRow(NamedTuple):
    """One row of an effects plot: a dot per value, a tick at their mean, a bar over an interval."""

    label: str
    kind: Literal["confirm", "random", "twin", "shuffled", "mean"]
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    mean: float | None = None


def effects_plot(rows: Sequence[DotRow], smallest: float | int, title: str) -> Markup:
    """Rows of effects over one axis, with the region of no interest shaded."""
    everything = [v for row in rows for v in (*row.values, row.low, row.high, row.mean) if v is not None]
    scale = Scale(everything, 8, WIDTH - 8, include=(0.0, 1.0))
    named = [_wrapped(row.label) for row in rows]
    tops = [6 + ROW * i + LINE * sum(len(lines) - 1 for lines in named[:i]) for i in range(len(rows) + 1)]
    bottom = tops[-1]
    left, right = scale(-smallest), scale(smallest)
    parts = [element("rect", class_="no-interest", x=left, y=4, width=right - left, height=bottom - 4)]
    parts += x_axis(scale, 4, bottom, "effect (share of the gap; shaded: too small to matter)")
    for row, lines, top in zip(rows, named, tops, strict=False):
        parts += _dots(row, lines, scale, top)
    return picture(title, WIDTH, bottom + 34, parts)


def _wrapped(text: str) -> list[str]:
    """A row's name in as many lines as it needs, up to three."""
    return textwrap.wrap(visible(text), LONGEST_LABEL, max_lines=MOST_LINES, placeholder="…") or [""]


def _dots(row: DotRow, lines: list[str], scale: Scale, top: float | int) -> list[Markup]:
    middle = top + 30 + LINE * (len(lines) - 1)
    parts = [label(line, 8, top + 12 + LINE * i, "label halo") for i, line in enumerate(lines)]
    for i, value in enumerate(row.values):
        spread = ((i * 7) % 5 - 2) * 2.4 if len(row.values) > 1 else 0  # dots on one spot would hide each other
        parts.append(element("circle", class_=f"dot {row.kind}", cx=scale(value), cy=middle + spread, r=2.6))
    if row.low is not None and row.high is not None:
        parts.append(element("line", class_="interval", x1=scale(row.low), x2=scale(row.high), y1=middle, y2=middle))
    mean = row.mean if row.mean is not None else sum(row.values) / len(row.values) if row.values else None
    if mean is not None:
        x = scale(mean)
        parts.append(element("line", class_=f"mean {row.kind}", x1=x, x2=x, y1=middle - 9, y2=middle + 9))
        parts.append(label(f"{mean:z.2f}", WIDTH - 8, top + 12, "value halo", "end"))
    return parts


def claim_plot(claim: Claim, records: Mapping[str, MeasurementRecord]) -> Markup | None:
    """A claim's effects per pair with mean and interval, beside random draws, shuffled labels and the twin."""
    mine = [records[m] for m in claim.measurements if "cells" in records[m].measurement.result]
    confirming = [r for r in mine if r.phase == "confirm"]
    if not confirming:
        return None
    judged = claim.judgement
    gap = confirming[0].measurement.result["gap"]
    rows = [DotRow("all pairs: mean and interval", "mean", (), judged.low, judged.high, judged.effect)]
    for record in confirming:
        cell = record.measurement.result["cells"][0]
        rows.append(DotRow(_arm_label(record), "confirm", tuple(cell["effects"])))
        if cell.get("random_effects"):
            draws = tuple(cell["random_effects"])
            rows.append(DotRow(f"random controls, {len(draws)} draws", "random", draws))
    for record in mine:
        if record.phase == "control":
            rows.append(_control_row(record, gap))
    return effects_plot(rows, claim.prediction.smallest_effect, f"Effects and controls of claim {claim.id}")


def _arm_label(record: MeasurementRecord) -> str:
    """What the measurement was for, without the prediction's id."""
    return re.sub(r"^p\d+, ", "", record.why)


def _control_row(record: MeasurementRecord, gap: float | int) -> DotRow:
    """A control on the subject's scale: a twin has hardly a gap of its own, and a share of nothing is anything."""
    measurement = record.measurement
    cell = measurement.result["cells"][0]
    drops = cell.get("drops")
    effects = tuple(drop / gap for drop in drops) if drops and gap else tuple(cell["effects"])
    kind = "shuffled" if measurement.subject.reinit_seed is None else "twin"
    return DotRow(_arm_label(record), kind, effects)


def heat_map(rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[int, int], float], title: str) -> Markup:
    """A number per row and column, coloured from -1 to 1; the last row on top, as layers are drawn."""
    width, height = CELL
    gutter = 12 + 7 * max(len(shortened(row, 22)) for row in rows)
    head = 12 + (58 if any(len(column) > 6 for column in columns) else 0)
    parts: list[Markup] = []
    for j, column in enumerate(columns):
        x = gutter + width * (j + 0.5)
        turned = head > 12
        text = element(
            "text",
            shortened(column, 18),
            class_="tick",
            transform=f"translate({x + (4 if turned else 0):g} {head:g})" + (" rotate(-40)" if turned else ""),
            text_anchor="start" if turned else "middle",
        )
        parts.append(text)
    for i, row in enumerate(reversed(rows)):
        parts.append(label(shortened(row, 22), gutter - 6, head + 6 + height * i + 17, "tick", "end"))
    for (i, j), value in sorted(cells.items()):
        parts.append(_cell(value, gutter + width * j, head + 6 + height * (len(rows) - 1 - i), rows[i], columns[j]))
    reach = 60 if head > 12 else 8  # turned column names stand out over the last column
    return picture(title, gutter + width * len(columns) + reach, head + 10 + height * len(rows), parts, fluid=False)


def _cell(value: float | int, x: float | int, y: float | int, row: str, column: str) -> Markup:
    step = round(min(abs(value), 1.0) * HEAT_STEPS)
    sign = "neg" if value < 0 else "pos"
    box = element("rect", x=x + 1, y=y + 1, width=CELL[0] - 2, height=CELL[1] - 2, rx=3)
    text = label(f"{value:z.2f}", x + CELL[0] / 2, y + 17, "cell", "middle")
    return element("g", element("title", f"{row}, {column}: {value:.4f}"), box, text, class_=f"heat {sign} s{step}")


class Series(NamedTuple):
    """A line over shared places."""

    label: str
    values: tuple[float, ...]


def line_plot(
    places: Sequence[str],
    series: Sequence[Series],
    title: str,
    unit: str,
    include: Sequence[float] = (),
    clouds: Sequence[Sequence[float]] = (),
) -> Markup:
    """Lines over named places, for example layers, with clouds of control values behind them."""
    left, right, top, height = 42.0, WIDTH - 10.0, 20.0, 130.0
    values = [v for line in series for v in line.values] + [v for cloud in clouds for v in cloud]
    scale = Scale(values, top + height, top, include=include)
    step = (right - left) / max(1, len(places) - 1)
    at = [left + step * i if len(places) > 1 else (left + right) / 2 for i in range(len(places))]
    parts = [label(unit, 4, 12, "axis"), *y_axis(scale, left, right)]
    every = -(-len(places) // 8)  # more names than eight would run into each other
    for i in range(0, len(places), every):
        anchor = "middle" if 0 < i < len(places) - 1 else "end" if i else "start"
        parts.append(label(shortened(places[i], 12), at[i], top + height + 16, "tick", anchor))
    for x, cloud in zip(at, clouds, strict=False):
        parts += [element("circle", class_="dot random", cx=x, cy=scale(v), r=2.2) for v in cloud]
    for k, line in enumerate(series):
        parts += _line(line, k, at, scale)
    bottom = top + height + 26
    for k, line in enumerate(series):
        y = bottom + 14 * k
        parts.append(element("line", class_=f"line l{k % SERIES}", x1=left, x2=left + 26, y1=y, y2=y))
        parts.append(label(shortened(line.label, 40), left + 32, y + 4, "tick"))
    return picture(title, WIDTH, bottom + 14 * len(series), parts)


def _line(line: Series, k: int, at: Sequence[float | int], scale: Scale) -> list[Markup]:
    points = [(x, scale(v)) for x, v in zip(at, line.values, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = [
        element("circle", element("title", f"{line.label}: {v:.4g}"), class_=f"mark l{k % SERIES}", cx=x, cy=y, r=3)
        for (x, y), v in zip(points, line.values, strict=True)
    ]
    return [element("polyline", class_=f"line l{k % SERIES}", points=path), *marks]
