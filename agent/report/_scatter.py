"""Two numbers of each of many things against each other, with the line on which they are equal."""

from collections.abc import Sequence

from markupsafe import Markup

from ._svg import WIDTH, Scale, element, label, picture, shortened, x_axis, y_axis

SERIES = 4  # dots that the style sheet tells apart
LEFT, TOP, HEIGHT = 42.0, 20.0, 190.0


def scatter(
    points: Sequence[tuple[int, float, float, str]], kinds: Sequence[str], title: str, x_name: str, y_name: str
) -> Markup:
    """A dot for each thing.

    Args:
        points: kind, both numbers, and what it is called.
        kinds: what the kinds are called.
    """
    both = [value for _, one, other, _ in points for value in (one, other)]
    across = Scale(both, LEFT, WIDTH - 10, include=(0.0,))
    up = Scale(both, TOP + HEIGHT, TOP, include=(0.0,))
    low, high = across.low, across.high
    parts = [label(y_name, 4, 12, "axis"), *y_axis(up, LEFT, WIDTH - 10), *x_axis(across, TOP, TOP + HEIGHT, x_name)]
    ends = {"x1": across(low), "y1": up(low), "x2": across(high), "y2": up(high)}
    parts.append(element("line", class_="level l5", **ends))
    parts += [
        element(
            "circle", element("title", f"{what}: {x:.3f}, {y:.3f}"), class_=_kind(kind), cx=across(x), cy=up(y), r=4
        )
        for kind, x, y, what in points
    ]
    bottom = TOP + HEIGHT + 44
    for k, name in enumerate(kinds):
        parts.append(element("circle", class_=_kind(k), cx=LEFT + 8, cy=bottom + 14 * k, r=4))
        parts.append(label(shortened(name, 40), LEFT + 20, bottom + 4 + 14 * k, "tick"))
    y = bottom + 14 * len(kinds)
    parts.append(element("line", class_="level l5", x1=LEFT, x2=LEFT + 16, y1=y, y2=y))
    parts.append(label("the estimate is right", LEFT + 20, y + 4, "tick"))
    return picture(title, WIDTH, y + 12, parts)


def _kind(kind: int) -> str:
    return f"dot of-l{kind % SERIES}"
