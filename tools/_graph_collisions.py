"""Which node a link of a circuit-tracer file means where two nodes have one id.

There the error of layer l at position p is `0_l_p`, and so is feature l of layer 0 at p. Errors read nothing, so as a
target the id is the feature. As a source of a target at layer l or below it is the feature too, because an error writes
behind its layer. Beyond that the order tells: each target's links stand in the order of their sources' nodes, features
before errors. Where no order fits, or more than one does, the file is refused.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, FiniteFloat

from ._base import ToolError
from ._graph_types import PlainNode, short

_MEND = "Export the graph again with ids that differ, as `vesalius graph export` writes them."


class FileLink(BaseModel):
    """A link as the file has it."""

    source: str
    target: str
    weight: FiniteFloat


Ends = list[tuple[int, int, float]]
"""Per link the place of its source and of its target among the file's nodes, and its weight."""


def ends_told_apart(
    names: Sequence[str], nodes: Mapping[int, PlainNode], links: Sequence[FileLink]
) -> tuple[Ends, int]:
    """The ends of every link between nodes that are understood, and how many links end at others.

    Args:
        names: ids of all nodes of the file, in order.
        nodes: those that are understood, by their place among all.
        links: links of the file, in order.

    Raises:
        ToolError: an id that stands twice and is not that of a layer-0 feature and an error, a link to no node, or
            one of which cannot be told what it means.
    """
    places = _places(names, nodes)
    of_target: dict[int, list[tuple[int, tuple[int, ...], float]]] = defaultdict(list)
    lost = 0
    for order, link in enumerate(links):
        for end in (link.source, link.target):
            if end not in places:
                raise ToolError(
                    f"A link from `{short(link.source)}` to `{short(link.target)}` ends at a node that is not there.",
                    mend="Export the graph again, whole.",
                )
        target = places[link.target][0]  # of two, the feature
        sources = places[link.source]
        if target not in nodes or sources[0] not in nodes:
            lost += 1
            continue
        if len(sources) == 2 and nodes[target].layer <= nodes[sources[1]].layer:
            sources = sources[:1]
        of_target[target].append((order, sources, link.weight))
    found: list[tuple[int, int, int, float]] = []
    for target, group in of_target.items():
        chosen = _in_order([sources for _, sources, _ in group], names[target])
        found += [(order, source, target, weight) for (order, _, weight), source in zip(group, chosen, strict=True)]
    return [(source, target, weight) for _, source, target, weight in sorted(found)], lost


def _places(names: Sequence[str], nodes: Mapping[int, PlainNode]) -> dict[str, tuple[int, ...]]:
    """Where each id stands: once, or twice as a layer-0 feature and an error, the feature first."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    for name, found in places.items():
        if len(found) == 1:
            continue
        kinds = sorted((nodes[place].kind, place) for place in found if place in nodes)
        known = len(found) == 2 and [kind for kind, _ in kinds] == ["error", "feature"]
        if not known or nodes[kinds[1][1]].layer != 0:
            raise ToolError(f"{len(found)} nodes of the file have the id `{short(name)}`.", mend=_MEND)
        places[name] = [kinds[1][1], kinds[0][1]]
    return {name: tuple(found) for name, found in places.items()}


def _in_order(choices: Sequence[tuple[int, ...]], target: str) -> list[int]:
    """The one choice per link with which sources stand in ascending order; any order will do where nothing is open."""
    if all(len(choice) == 1 for choice in choices):
        return [choice[0] for choice in choices]
    lowest = _ascending([sorted(choice) for choice in choices])
    highest = _ascending([sorted(-place for place in choice) for choice in reversed(choices)])
    if lowest is None or highest is None or lowest != [-place for place in reversed(highest)]:
        raise ToolError(
            f"A layer-0 feature and an error of the file have one id, and which of them a link to `{short(target)}` "
            "means cannot be told.",
            mend=_MEND,
        )
    return lowest


def _ascending(choices: Sequence[Sequence[int]]) -> list[int] | None:
    """The smallest ascending choice, if there is one."""
    chosen: list[int] = []
    for choice in choices:
        larger = [place for place in choice if not chosen or place > chosen[-1]]
        if not larger:
            return None
        chosen.append(larger[0])
    return chosen
