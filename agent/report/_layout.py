"""Where the nodes of an attribution graph stand: tokens along x, layers along y, no two nodes on one spot."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SPACING = 40  # between neighbours; nodes are drawn at most `NODE` wide
NODE = 26
GAP = 30  # between columns and between layers
# Eighths of a gap by which layers are set off, in turn: links between three layers of one token would else lie on
# each other and on the node between. No three of five layers in a row stand in line.
SET_OFF = (0, 3, 8, 4, 7)
WIDE_ENOUGH = 5  # nodes side by side at one token and layer before a second line begins
ASPECT = 1.8  # of a cell with many more than that: wider than high, as screens are


class Place(NamedTuple):
    """Centre of a node; y grows downwards, so the first layer is at the bottom."""

    x: float
    y: float


class Layout(NamedTuple):
    """Places of nodes, and where columns and layers are named."""

    nodes: dict[str, Place]
    columns: tuple[tuple[int, float], ...]
    layers: tuple[tuple[int, float], ...]


def layout(nodes: Sequence[Mapping[str, Any]]) -> Layout:
    """Places of all nodes; those of most influence stand first in their cell."""
    cells: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for node in nodes:
        cells[node["position"], node["layer"]].append(node)
    wide: dict[int, int] = defaultdict(int)
    high: dict[int, int] = defaultdict(int)
    for (position, _), here in cells.items():
        wide[position] = max(wide[position], _width(len(here)))
    for (position, layer), here in cells.items():
        high[layer] = max(high[layer], -(-len(here) // wide[position]))
    left = _starts(wide)
    bottom = _starts(high)
    places: dict[str, Place] = {}
    for (position, layer), here in cells.items():
        # `influence` counts all nodes of more influence too, so small comes first.
        for i, node in enumerate(sorted(here, key=lambda n: (n["influence"], n["id"]))):
            line, along = divmod(i, wide[position])
            x = left[position] + SPACING * along + GAP * SET_OFF[layer % len(SET_OFF)] / 8
            places[node["id"]] = Place(x, -(bottom[layer] + SPACING * line))
    columns = tuple((p, left[p] + (SPACING * (wide[p] - 1) + GAP) / 2) for p in sorted(wide))
    return Layout(places, columns, tuple((layer, -bottom[layer]) for layer in sorted(high)))


def _width(n: int) -> int:
    """How many of a cell's nodes stand side by side."""
    return min(n, max(WIDE_ENOUGH, math.ceil(math.sqrt(ASPECT * n))))


def _starts(sizes: Mapping[int, int]) -> dict[int, float]:
    """Where each column or layer begins, one after the other."""
    starts: dict[int, float] = {}
    at = 0.0
    for key in sorted(sizes):
        starts[key] = at
        at += SPACING * sizes[key] + GAP
    return starts
