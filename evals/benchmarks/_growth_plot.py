"""Growth shown: the power that fits it, and a panel for each thing that grew, in a picture that stands by itself.

Axes are logarithmic, so that a power is a line; all panels share the axis of seconds. Colours are those of the report's
style sheet, written out in the file, and follow light and dark; the ground is painted, so that a page of the other kind
around the picture does not hide its text.
"""

import math
import random
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from ...agent.report._svg import WIDTH, Scale, element, label

COLUMNS = 2
HEAD, ABOVE, HEIGHT, BELOW = 58, 44, 150, 46  # of the picture; then of a panel: its words, its plot, its axis
LEFT, RIGHT = 46, 18  # beside a plot
MOST_TICKS = 7
DRAWS = 2000  # of the bootstrap
STYLE = """
.growth { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; }
.ground { fill: #ffffff; }
text { fill: #1b1f24; }
.title { font-size: 15px; font-weight: 600; }
.name { font-size: 13px; font-weight: 600; }
.tick, .axis { font-size: 11px; fill: #565e68; }
.grid { stroke: #c9cfd6; stroke-width: .6; }
.fit { stroke: #0b57a4; stroke-width: 1.6; stroke-opacity: .6; }
.whole { fill: #0b57a4; }
.links { fill: #ffffff; stroke: #9a4a0c; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
.ground { fill: #1b1f25; }
text { fill: #e6e9ed; }
.tick, .axis { fill: #a6afba; }
.grid { stroke: #3b434d; }
.fit { stroke: #7fb9f5; }
.whole { fill: #7fb9f5; }
.links { fill: #1b1f25; stroke: #f0a46a; }
}
"""


class Fit(NamedTuple):
    """A power of the size, with the 95 % interval of its exponent."""

    exponent: float
    low: float
    high: float
    ends: tuple[float, float]  # what it gives at the first and the last size


def fit_power(sizes: Sequence[float | int], rounds: Sequence[Sequence[float | int]], seed: int) -> Fit:
    """The line through the medians on logarithmic axes, by least squares.

    The interval is a bootstrap of whole rounds, because what disturbs one moment disturbs all that is measured then. It
    says what another measurement on the same machine would give, and nothing about larger sizes.

    Args:
        rounds: Per size, the figure in each round; every size has as many.
    """
    at, logs = [math.log(size) for size in sizes], [[math.log(value) for value in some] for some in rounds]
    exponent, log_factor = statistics.linear_regression(at, [statistics.median(some) for some in logs])
    random_, n_rounds, slopes = random.Random(seed), len(logs[0]), []
    for _ in range(DRAWS):
        drawn = random_.choices(range(n_rounds), k=n_rounds)
        medians = [statistics.median(some[i] for i in drawn) for some in logs]
        slopes.append(statistics.linear_regression(at, medians).slope)
    cuts = statistics.quantiles(slopes, n=40, method="inclusive")
    ends = math.exp(log_factor + exponent * at[0]), math.exp(log_factor + exponent * at[-1])
    return Fit(exponent, cuts[0], cuts[-1], ends)


class Panel(NamedTuple):
    """Seconds over something that grew, and the power of it that fits them."""

    name: str
    axis: str
    sizes: tuple[float | int, ...]
    whole: tuple[float | int, ...]  # seconds from the prompt to all links
    links: tuple[float | int, ...]  # seconds of the links alone
    fit: Fit  # to `whole`
    last: float  # exponent of `whole` between the two largest sizes alone


def growth_picture(panels: Sequence[Panel], title: str) -> Markup:
    """The whole picture, two panels in a row."""
    rows, tall = -(-len(panels) // COLUMNS), ABOVE + HEIGHT + BELOW
    width, height = COLUMNS * WIDTH, HEAD + rows * tall
    shared = [s for panel in panels for s in (*panel.whole, *panel.links, *panel.fit.ends)]
    drawn = [
        element("g", *_panel(panel, shared), transform=f"translate({i % COLUMNS * WIDTH} {HEAD + i // COLUMNS * tall})")
        for i, panel in enumerate(panels)
    ]
    return element(
        "svg",
        element("title", title),
        element("style", Markup(STYLE)),
        element("rect", class_="ground", width=width, height=height),
        label(title, LEFT, 24, "title"),
        *_legend(),
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        class_="growth",
    )


def _legend() -> list[Markup]:
    y = 46
    return [
        element("line", class_="fit", x1=LEFT, x2=LEFT + 22, y1=y - 4, y2=y - 4),
        element("circle", class_="whole", cx=LEFT + 11, cy=y - 4, r=3.5),
        label("from the prompt to all links, and the fit to it", LEFT + 30, y, "tick"),
        element("circle", class_="links", cx=WIDTH + LEFT, cy=y - 4, r=3),
        label("links alone, from a model that ran already", WIDTH + LEFT + 10, y, "tick"),
    ]


def _panel(panel: Panel, shared: Sequence[float | int]) -> list[Markup]:
    x_of = Scale([math.log10(size) for size in panel.sizes], LEFT, WIDTH - RIGHT)
    y_of = Scale([math.log10(seconds) for seconds in shared], ABOVE + HEIGHT, ABOVE)

    def at(size: float | int, seconds: float | int) -> tuple[float | int, float | int]:
        return x_of(math.log10(size)), y_of(math.log10(seconds))

    said = f"exponent {panel.fit.exponent:.2f} ({panel.fit.low:.2f} to {panel.fit.high:.2f})"
    parts = [label(panel.name, LEFT, 16, "name"), label(f"{said}, last step {panel.last:.2f}", LEFT, 33)]
    for tick in log_ticks(min(shared), max(shared)):
        y = at(panel.sizes[0], tick)[1]
        parts.append(element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        parts.append(label(f"{tick:g}" + (" s" if tick >= 1 else ""), LEFT - 6, y + 4, "tick", "end"))
    for size in panel.sizes:
        x = at(size, shared[0])[0]
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=ABOVE, y2=ABOVE + HEIGHT))
        parts.append(label(f"{size:,g}" if size < 1e6 else f"{size:.3g}", x, ABOVE + HEIGHT + 14, "tick", "middle"))
    parts.append(label(panel.axis, (LEFT + WIDTH - RIGHT) / 2, ABOVE + HEIGHT + 30, "axis", "middle"))
    (x1, y1), (x2, y2) = (at(panel.sizes[i], seconds) for i, seconds in zip((0, -1), panel.fit.ends, strict=True))
    parts.append(element("line", class_="fit", x1=x1, x2=x2, y1=y1, y2=y2))
    for class_, radius, values in (("links", 3, panel.links), ("whole", 3.5, panel.whole)):
        for size, seconds in zip(panel.sizes, values, strict=True):
            x, y = at(size, seconds)
            said = element("title", f"{size:g}: {seconds:.3g} s")
            parts.append(element("circle", said, class_=class_, cx=x, cy=y, r=radius))
    return parts


def log_ticks(low: float | int, high: float | int) -> tuple[float, ...]:
    """Numbers 1, 2 and 5 of every decade within a range, or powers of ten where those would be too many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        found = tuple(d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high)
        if len(found) <= MOST_TICKS:
            break
    return found


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells hold figures and plain words."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
