"""Curves over named places such as layers, strengths or sizes, with control values behind them."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from ._svg import WIDTH, Scale, element, label, picture, shortened, y_axis

SERIES = 6  # lines that the style sheet tells apart
LEFT, RIGHT, TOP, HEIGHT = 42.0, WIDTH - 10.0, 20.0, 130.0
LEGEND_LINE = 14.0
LONGEST_LEGEND = 46  # characters


class Series(NamedTuple):
    """A line over shared places; at each place its values may have been spread, or have an interval."""

    label: str
    values: tuple[float, ...]
    spread: tuple[tuple[float, ...], ...] = ()
    intervals: tuple[tuple[float, float], ...] = ()


class Level(NamedTuple):
    """A line right across, or from `low` up a band: what something else comes to."""

    label: str
    value: float
    low: float | None = None


def line_plot(
    places: Sequence[str],
    series: Sequence[Series],
    title: str,
    unit: str,
    include: Sequence[float] = (),
    clouds: Sequence[Sequence[float]] = (),
    levels: Sequence[Level] = (),
) -> Markup:
    """Lines over named places, for example layers, with clouds of control values and levels behind them."""
    values = [v for line in series for v in _all_of(line)] + [v for cloud in clouds for v in cloud]
    values += [v for level in levels for v in (level.value, level.low) if v is not None]
    scale = Scale(values, TOP + HEIGHT, TOP, include=include)
    inset = (
        12.0 if any(line.spread or line.intervals for line in series) else 0.0
    )  # so that no dot lies on the axis' numbers
    step = (RIGHT - LEFT - 2 * inset) / max(1, len(places) - 1)
    at = [LEFT + inset + step * i if len(places) > 1 else (LEFT + RIGHT) / 2 for i in range(len(places))]
    parts = [label(unit, 4, 12, "axis"), *y_axis(scale, LEFT, RIGHT), *_places(places, at, inset > 0)]
    for k, level in enumerate(levels):
        parts.append(_level(level, len(series) + k, scale))
    for x, cloud in zip(at, clouds, strict=False):
        parts += [element("circle", class_="dot random", cx=x, cy=scale(v), r=2.2) for v in cloud]
    for k, line in enumerate(series):
        parts += _line(line, k, at, scale)
    parts += _legend(series, levels)
    return picture(title, WIDTH, TOP + HEIGHT + 26 + LEGEND_LINE * (len(series) + len(levels)), parts)


def _all_of(line: Series) -> list[float]:
    return [*line.values, *(v for some in (*line.spread, *line.intervals) for v in some)]


def _places(places: Sequence[str], at: Sequence[float], inset: bool) -> list[Markup]:
    """Names beneath, not more than eight, which would run into each other."""
    parts: list[Markup] = []
    for i in range(0, len(places), -(-len(places) // 8)):
        has_room = inset or 0 < i < len(places) - 1 or len(places) == 1
        anchor = "middle" if has_room else "end" if i else "start"
        parts.append(label(shortened(places[i], 12), at[i], TOP + HEIGHT + 16, "tick", anchor))
    return parts


def _level(level: Level, k: int, scale: Scale) -> Markup:
    y = scale(level.value)
    if level.low is None:
        return element("line", class_=f"level l{k % SERIES}", x1=LEFT, x2=RIGHT, y1=y, y2=y)
    return element("rect", class_="band", x=LEFT, y=y, width=RIGHT - LEFT, height=max(1.0, scale(level.low) - y))


def _legend(series: Sequence[Series], levels: Sequence[Level]) -> list[Markup]:
    parts: list[Markup] = []
    for k, one in enumerate((*series, *levels)):
        y = TOP + HEIGHT + 26 + LEGEND_LINE * k
        if isinstance(one, Level) and one.low is not None:
            parts.append(element("rect", class_="band", x=LEFT, y=y - 5, width=26, height=10))
        else:
            kind = "level" if isinstance(one, Level) else "line"
            parts.append(element("line", class_=f"{kind} l{k % SERIES}", x1=LEFT, x2=LEFT + 26, y1=y, y2=y))
        parts.append(label(shortened(one.label, LONGEST_LEGEND), LEFT + 32, y + 4, "tick"))
    return parts


def _line(line: Series, k: int, at: Sequence[float | int], scale: Scale) -> list[Markup]:
    points = [(x, scale(v)) for x, v in zip(at, line.values, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts: list[Markup] = []
    for (x, _), some in zip(points, line.spread, strict=False):
        # Beside the line, each series on its own side, so that dots neither hide the line nor each other.
        aside = x + (5 if k % 2 else -5)
        parts += [element("circle", class_=f"dot of-l{k % SERIES}", cx=aside, cy=scale(v), r=2.2) for v in some]
    for (x, _), (low, high) in zip(points, line.intervals, strict=False):
        parts.append(element("line", class_="interval", x1=x, x2=x, y1=scale(low), y2=scale(high)))
    marks = [
        element("circle", element("title", f"{line.label}: {v:.4g}"), class_=f"mark l{k % SERIES}", cx=x, cy=y, r=3)
        for (x, y), v in zip(points, line.values, strict=True)
    ]
    return [*parts, element("polyline", class_=f"line l{k % SERIES}", points=path), *marks]
