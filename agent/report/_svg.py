"""Pictures as text: SVG elements with every value escaped, and the axes that the plots share.

Colours are classes of the page's style sheet, so that a picture follows light and dark; nothing carries a style
attribute, which the page's content policy forbids.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from ._text import visible

WIDTH = 340  # of pictures that shrink with the page: their text is still readable on a telephone


def element(name: str, *children: Markup | str, **attributes: str | float | int | None) -> Markup:
    """One element; text is made visible and escaped, `class_` and `text_anchor` become `class` and `text-anchor`."""
    # A page has tens of thousands of these, and `Markup.format` takes many times as long as a plain string.
    given = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items() if v is not None}
    written = "".join(f' {k}="{escape(_value(v))}"' for k, v in given.items())
    content = "".join(c if isinstance(c, Markup) else escape(visible(c)) for c in children)
    return Markup(f"<{name}{written}>{content}</{name}>")


def _value(value: str | int | float) -> str:
    if isinstance(value, str):
        return visible(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")


def label(text: str, x: float | int, y: float | int, class_: str = "label", anchor: str = "start") -> Markup:
    """Text in a picture."""
    return element("text", text, class_=class_, x=x, y=y, text_anchor=anchor)


def shortened(text: str, most: int) -> str:
    """Text that fits; the end is cut."""
    shown = visible(text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def picture(title: str, width: float | int, height: float | int, parts: Sequence[Markup], fluid: bool = True) -> Markup:
    """A picture with its title for those who do not see it; one that is not fluid scrolls sideways instead."""
    drawn = element(
        "svg",
        element("title", title),
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_="plot fluid" if fluid else "plot",
        width=None if fluid else width,
        height=None if fluid else height,
    )
    if fluid:
        return drawn
    return element("div", drawn, class_="scroll", tabindex="0", role="region", aria_label=title)


class Scale:
    """Maps numbers onto a stretch of a picture; its ticks are round numbers."""

    def __init__(
        self, values: Sequence[float | int], start: float | int, end: float | int, include: Sequence[float | int] = ()
    ) -> None:
        finite = [v for v in (*values, *include) if math.isfinite(v)] or [0.0]
        low, high = min(finite), max(finite)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        margin = 0.04 * (high - low)
        self.low, self.high, self._start, self._end = low - margin, high + margin, start, end

    def __call__(self, value: float | int) -> float | int:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Three to six round numbers within the range."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return tuple(round(i * step, 12) for i in range(first, last + 1))


def x_axis(scale: Scale, top: float | int, bottom: float | int, name: str) -> list[Markup]:
    """Vertical guides with their numbers beneath, and what they count."""
    parts: list[Markup] = []
    for tick in scale.ticks:
        x = scale(tick)
        parts.append(element("line", class_="zero" if tick == 0 else "grid", x1=x, x2=x, y1=top, y2=bottom))
        parts.append(label(f"{tick:g}", x, bottom + 13, "tick", "middle"))
    parts.append(label(name, WIDTH / 2, bottom + 28, "axis", "middle"))
    return parts


def y_axis(scale: Scale, left: float | int, right: float | int) -> list[Markup]:
    """Horizontal guides with their numbers beside."""
    parts: list[Markup] = []
    for tick in scale.ticks:
        y = scale(tick)
        parts.append(element("line", class_="zero" if tick == 0 else "grid", x1=left, x2=right, y1=y, y2=y))
        parts.append(label(f"{tick:g}", left - 5, y + 4, "tick", "end"))
    return parts
