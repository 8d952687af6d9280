"""An organism handed to an instrument, with the arguments that a user would give."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ...tools import get_tool
from ..organisms._organism import Organism

ALL_PARTS = 100_000  # more than any organism has links: the most that instruments list


def families_of(organism: Organism) -> list[dict[str, Any]]:
    """Its counterfactual families as instruments take them."""
    return [
        {"name": name, "pairs": [pair.model_dump(mode="json") for pair in pairs]}
        for name, pairs in organism.families.items()
    ]


def run_on(organism: Organism, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """What an instrument says of it."""
    instrument = get_tool(name)
    return instrument(organism.subject, instrument.parse(dict(args))).model_dump(mode="json")


def scored_by_family(
    organism: Organism, name: str, args: Mapping[str, Any], value: str = "effect"
) -> dict[str, dict[tuple[str, str], float]]:
    """By family, what an instrument that lists scores says of every source and slot; a node's slot is empty.

    Args:
        value: `effect`, or `measured` where `check` asks for it (shares of the family's gap).
    """
    families = families_of(organism)
    result = run_on(organism, name, {"families": families, "top": ALL_PARTS, "check": 0, **args})
    found: dict[str, dict[tuple[str, str], float]] = {family["name"]: {} for family in families}
    for one in result["scored"]:
        for said in one["families"]:
            found[said["family"]][one["source"], one["slot"]] = said[value]
    return found


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What came out, and the seconds of processor time that it took."""
    started = time.process_time()
    return run(), time.process_time() - started
