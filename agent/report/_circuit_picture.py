"""A circuit as a picture that needs no script: layers upwards, heads and MLP side by side, links between the slots.

What writes a link of the circuit is a box, every other part a dot. A link is as wide as its effect, coloured by the
slot that reads it, and ends in an arrow where it raises the answer, in a bar where it lowers it. Links leave the bar of
the start below what they reach, and reach the bar of the answer above what they leave.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ._svg import element, label

MOST_LINKS = 60  # more than these hide one another
WIDEST_COLUMN, NARROWEST_COLUMN, ROOM = 96.0, 24.0, 720.0  # ROOM: for all columns, where they are not too narrow then
LEFT, RIGHT = 58.0, 46.0  # for the names of layers; for links that pass the last column
BOX = 22.0  # height
STEP, FLAT_STEP = 50.0, 11.0  # from heads to MLP; in a layer without a box
BETWEEN = (13.0, 32.0, 60.0)  # from a layer to the next, by how many of the two have boxes
FEWEST_FOR_NAMES = 36.0  # width of a box that its whole name fits in
THIN, THICK = 1.2, 7.0
START, END = "embed", "logits"
SLOTS = ("q", "k", "v", "mlp_in", END)
PORTS = {"q": -0.3, "k": 0.0, "v": 0.3}  # share of a box's width


class Sizes(NamedTuple):
    """What the drawing needs to know of a model."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    parallel: bool

    @classmethod
    def of(cls, shape: Mapping[str, int | bool]) -> "Sizes":
        """From a report's sizes."""
        counts = (int(shape[name]) for name in ("n_layers", "n_heads", "n_kv_heads"))
        return cls(*counts, parallel=bool(shape["parallel"]))


class Spot(NamedTuple):
    """A node's centre and width."""

    x: float
    y: float
    width: float


class _Line(NamedTuple):
    """A link, or the part of one that leads to one of several heads."""

    link: Mapping[str, Any]
    target: str
    kind: str


def kind_of(slot: str) -> str:
    """Which of the five kinds of slot."""
    return slot.split(".")[0]


def of_circuit(links: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Links of the circuit that are drawn, the strongest first."""
    chosen = [link for link in links if link["in_circuit"]]
    return sorted(chosen, key=lambda link: -abs(link["score"]))[:MOST_LINKS]


def circuit_picture(sizes: Sizes, links: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """The picture of a circuit.

    Args:
        sizes: of the model.
        links: those to draw, the strongest first: `source`, `slot`, `score`, `family`, `without` and `hidden` of each.
        title: for those who do not see it.
    """
    lines = _lines(sizes, links)
    inside = {line.link["source"] for line in lines} | {line.target for line in lines}
    spots = _spots(sizes, inside)
    column = spots[_heads(sizes, 0)[0]].width
    width = LEFT + column * (sizes.n_heads + 1) + RIGHT
    height = spots[START].y - spots[END].y + 2 * BOX + 14
    drawn = [
        *_bands(sizes, spots, inside),
        *_names(sizes, spots, inside),
        element("g", *_links(lines, spots, inside, column), aria_hidden="true"),
        *(_node(name, spot, name in inside) for name, spot in spots.items()),
    ]
    return element(
        "svg",
        *drawn,
        viewBox=f"0 {spots[END].y - BOX:.1f} {width:.1f} {height:.1f}",
        width=round(width),
        height=round(height),
        role="group",
        aria_label=title,
        class_="circuit",
    )


def _heads(sizes: Sizes, layer: int) -> list[str]:
    return [f"head.{layer}.{head}" for head in range(sizes.n_heads)]


def _lines(sizes: Sizes, links: Sequence[Mapping[str, Any]]) -> list[_Line]:
    """Where each link leads: of heads that share keys or values, to those that write a link themselves."""
    writes = {link["source"] for link in links}
    lines: list[_Line] = []
    for link in links:
        kind, *numbers = link["slot"].split(".")
        if kind == END:
            targets = [END]
        elif kind == "mlp_in":
            targets = [f"mlp_out.{numbers[0]}"]
        else:
            shared = 1 if kind == "q" else sizes.n_heads // sizes.n_kv_heads
            first = int(numbers[1]) * shared
            several = [f"head.{numbers[0]}.{head}" for head in range(first, first + shared)]
            targets = [head for head in several if head in writes] or several
        lines += [_Line(link, target, kind) for target in targets]
    return lines


def _spots(sizes: Sizes, inside: set[str]) -> dict[str, Spot]:
    """Where every node stands; y grows downwards, so the first layer is at the bottom."""
    column = min(WIDEST_COLUMN, max(NARROWEST_COLUMN, ROOM / (sizes.n_heads + 1)))
    centre = LEFT + column * (sizes.n_heads + 1) / 2
    whole = column * (sizes.n_heads + 1)
    spots, y = {START: Spot(centre, 0.0, whole)}, -STEP
    has_box = [_has_box(layer, sizes, inside) for layer in range(sizes.n_layers)]
    for layer in range(sizes.n_layers):
        up = 0.0 if sizes.parallel else STEP if has_box[layer] else FLAT_STEP
        for at, name in enumerate([*_heads(sizes, layer), f"mlp_out.{layer}"]):
            raised = up if name.startswith("mlp") else 0.0
            spots[name] = Spot(LEFT + column * (at + 0.5), y - raised, column)
        above = has_box[layer + 1] if layer + 1 < sizes.n_layers else True
        y -= up + BETWEEN[has_box[layer] + above]
    spots[END] = Spot(centre, y, whole)
    return spots


def _box_width(spot: Spot) -> float:
    return min(54.0, spot.width - 4)


def _node(name: str, spot: Spot, inside: bool) -> Markup:
    if name in (START, END):
        bar = element("rect", x=spot.x - spot.width / 2, y=spot.y - BOX / 2, width=spot.width, height=BOX, rx=6)
        return element("g", bar, label(name, spot.x, spot.y + 4, "node-name", "middle"), class_="circuit-node end")
    if not inside:
        told = element("title", f"{name}: no link of the circuit that is drawn")
        return element("circle", told, class_="circuit-idle", cx=spot.x, cy=spot.y, r=3.2)
    width = _box_width(spot)
    kind, *numbers = name.split(".")
    brief = f"m{numbers[0]}" if kind == "mlp_out" else ".".join(numbers)
    shown = brief if width >= FEWEST_FOR_NAMES else "m" if kind == "mlp_out" else numbers[-1]
    box = element("rect", x=spot.x - width / 2, y=spot.y - BOX / 2, width=width, height=BOX, rx=5)
    text = label(shown, spot.x, spot.y + 4, "node-name", "middle")
    return element("g", box, text, element("title", name), class_=f"circuit-node {kind}")


def _bands(sizes: Sizes, spots: Mapping[str, Spot], inside: set[str]) -> list[Markup]:
    """What belongs to one layer, shaded."""
    bands: list[Markup] = []
    for layer in range(sizes.n_layers):
        heads, mlp = spots[f"head.{layer}.0"], spots[f"mlp_out.{layer}"]
        free = BOX / 2 + 6 if _has_box(layer, sizes, inside) else 5.0
        top, left = mlp.y - free, heads.x - heads.width / 2
        width = heads.width * (sizes.n_heads + 1)
        band = element("rect", x=left, y=top, width=width, height=heads.y + free - top, rx=6, class_="circuit-band")
        bands.append(band)
    return bands


def _has_box(layer: int, sizes: Sizes, inside: set[str]) -> bool:
    """Whether a layer has a box; those without lie too close together for a name each."""
    return any(name in inside for name in (*_heads(sizes, layer), f"mlp_out.{layer}"))


def _names(sizes: Sizes, spots: Mapping[str, Spot], inside: set[str]) -> list[Markup]:
    """Names of layers beside them, of columns beneath."""
    parts = [
        label(f"layer {layer}", 2, (spots[f"head.{layer}.0"].y + spots[f"mlp_out.{layer}"].y) / 2 + 4, "row")
        for layer in range(sizes.n_layers)
        if _has_box(layer, sizes, inside)
    ]
    y, wide = spots[START].y + BOX + 6, spots["head.0.0"].width >= 44
    for at, name in enumerate([*_heads(sizes, 0), "mlp_out.0"]):
        shown = "MLP" if name == "mlp_out.0" else f"head {at}" if wide else str(at)
        parts.append(label(shown, spots[name].x, y, "row", "middle"))
    return parts if wide else [*parts, label("head", 2, y, "row")]


def _links(lines: Sequence[_Line], spots: Mapping[str, Spot], inside: set[str], column: float) -> list[Markup]:
    """The weakest first, so that the strongest lie on top."""
    most = max((abs(line.link["score"]) for line in lines), default=0.0) or 1.0
    leaves = _leaves(lines, spots)
    crowd: defaultdict[tuple[float, float], int] = defaultdict(int)  # links that pass in one gap already
    drawn: list[Markup] = []
    for at, line in enumerate(lines):
        link, start, end = line.link, spots[line.link["source"]], spots[line.target]
        x, to_x = leaves[at], end.x + PORTS.get(line.kind, 0.0) * _box_width(end)
        x, to_x = (to_x if link["source"] == START else x), (x if line.target == END else to_x)
        side = _side(line, x, to_x, spots, inside)
        if side:
            gap = (round(start.x if link["source"] != START else end.x), side)
            bow = side * column * (0.68 + 0.09 * (crowd[gap] % 4))
            crowd[gap] += 1
        else:
            bow = 0.0
        a, b = (x, start.y - BOX / 2), (to_x, end.y + BOX / 2)
        width = THIN + (THICK - THIN) * abs(link["score"]) / most
        class_ = f"circuit-link slot-{line.kind}{' aside' if link['hidden'] else ''}"
        ending = "lowers" if link["score"] < 0 else "raises"
        drawn.append(
            element(
                "g",
                element("path", d=_curve(a, b, bow), stroke_width=width),
                element("path", d=_tip(b, width, ending), class_=f"tip {ending}"),
                element("title", told(link)),
                class_=class_,
            )
        )
    return drawn[::-1]


def told(link: Mapping[str, Any]) -> str:
    """A link in words, with its effect."""
    said = f"{link['source']} → {link['slot']}: effect {link['score']:.3f}"
    said += f", in {link['family']}" if link["family"] else ""
    return said + (f", largest with {', '.join(link['without'])} taken out" if link["without"] else "")


def _leaves(lines: Sequence[_Line], spots: Mapping[str, Spot]) -> list[float]:
    """Where along its box each link leaves: side by side, in the order of what they reach."""
    of: defaultdict[str, list[int]] = defaultdict(list)
    for at, line in enumerate(lines):
        of[line.link["source"]].append(at)
    places = [0.0] * len(lines)
    for source, mine in of.items():
        mine.sort(key=lambda at: (spots[lines[at].target].x, -spots[lines[at].target].y, at))
        room = min(0.7 * _box_width(spots[source]), 9.0 * (len(mine) - 1))
        for turn, at in enumerate(mine):
            along = turn / (len(mine) - 1) - 0.5 if len(mine) > 1 else 0.0
            places[at] = spots[source].x + along * room
    return places


def _side(line: _Line, x: float, to_x: float, spots: Mapping[str, Spot], inside: set[str]) -> int:
    """To which side a link gives way to boxes between its ends; 0 where there are none."""
    start, end = spots[line.link["source"]], spots[line.target]
    for name in inside - {START, END, line.link["source"], line.target}:
        spot = spots[name]
        if end.y < spot.y < start.y:
            along = (start.y - spot.y) / (start.y - end.y)
            if abs(x + along * (to_x - x) - spot.x) < _box_width(spot) / 2 + 4:
                return -1 if line.link["source"] == START else 1
    return 0


def _curve(start: tuple[float, float], end: tuple[float, float], bow: float) -> str:
    (x, y), (to_x, to_y) = start, end
    tip = to_y + 5
    bend = max(10.0, (y - tip) * (0.22 if bow else 0.45))
    return f"M{x:.1f},{y:.1f} C{x + bow:.1f},{y - bend:.1f} {to_x + bow:.1f},{tip + bend:.1f} {to_x:.1f},{tip:.1f}"


def _tip(at: tuple[float, float], width: float, ending: str) -> str:
    (x, y), half = at, 3.0 + width / 2
    if ending == "raises":
        return f"M{x:.1f},{y:.1f} L{x - half:.1f},{y + 7:.1f} L{x + half:.1f},{y + 7:.1f} Z"
    left, right = f"{x - half:.1f}", f"{x + half:.1f}"
    return f"M{left},{y + 2:.1f} L{right},{y + 2:.1f} L{right},{y + 5:.1f} L{left},{y + 5:.1f} Z"
