"""Effects of a report beside their controls, as rows of dots over one axis."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from ._svg import WIDTH, Scale, element, label, picture, x_axis
from ._text import visible
from .schema import Claim, MeasurementRecord

ROW = 46  # height of a row of dots
LONGEST_LABEL = 46  # characters of a row's name in one line
MOST_LINES = 3
LINE = 14  # height of a further line of a row's name
OF_THE_GAP = "effect (share of the gap; shaded: too small to matter)"


class DotRow(NamedTuple):
    """One row of an effects plot: a dot per value, a tick at their mean, a bar over an interval."""

    label: str
    kind: Literal["confirm", "random", "twin", "shuffled", "mean"]
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    mean: float | None = None


def effects_plot(
    rows: Sequence[DotRow],
    smallest: float | int,
    title: str,
    unit: str = OF_THE_GAP,
    include: Sequence[float] = (0.0, 1.0),
) -> Markup:
    """Rows of effects over one axis, with the region of no interest shaded.

    Args:
        smallest: half the width of that region; where it is 0, `unit` does not speak of it.
        include: what the axis reaches to in any case.
    """
    everything = [v for row in rows for v in (*row.values, row.low, row.high, row.mean) if v is not None]
    scale = Scale(everything, 8, WIDTH - 8, include=include)
    named = [_wrapped(row.label) for row in rows]
    tops = [6 + ROW * i + LINE * sum(len(lines) - 1 for lines in named[:i]) for i in range(len(rows) + 1)]
    bottom = tops[-1]
    left, right = scale(-smallest), scale(smallest)
    parts = [element("rect", class_="no-interest", x=left, y=4, width=right - left, height=bottom - 4)]
    parts += x_axis(scale, 4, bottom, unit)
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
