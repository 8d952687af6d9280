"""What counts as one unit among those looked at: a place and what is done there, however often and on whatever prompts.

`sealing.py` asks which explorations saw what a prediction is about, `_samples.py` which of them its confirmation stands
in for. Two requests are one unit where all agrees that could make another measurement of them: all arguments but those
below, so that an argument nobody thought of keeps units apart, and counts one too many rather than one too few.
"""

import re
from collections.abc import Iterator
from typing import Any

from ..tools import Measurement, canonical
from ._evidence import Arm
from .holdout import plain, prompts_in

# Prompts and what goes with them; how a group is called; controls; permissions; and places, of which a cell has one.
NOT_OF_THE_UNIT = {
    *("pairs", "reference", "counterparts", "scale"),
    *("supernode", "random_draws", "seed", "force_dictionary"),
    *("sites", "positions", "joint"),
}
FEATURES = ("feature", "features")  # sets of LAYER/FEATURE, in whatever order and however written


def unit_of_arm(arm: Arm) -> str:
    """The unit that an arm is about, on the subject; its arguments complete."""
    site, position = "+".join(arm.args.get("sites", ())), next(iter(arm.args.get("positions", ())), "")
    return canonical([arm.tool, _what(arm.args), site, position, None])


def units_in(measurement: Measurement) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a measurement, with its unit; what is seen on a twin is a unit of its own."""
    args, what = measurement.args, _what(measurement.args)
    for cell in measurement.result.get("cells", ()):
        site = cell.get("site", "") if "sites" in args else ""  # else the tool says it, in its own words
        position = cell.get("position", "") if "positions" in args else ""
        yield canonical([measurement.tool, what, site, position, measurement.subject.reinit_seed]), cell


def measured_on(tool: str, args: dict[str, Any]) -> set[tuple[str, str]]:
    """Prompts of a request, and the clusters that they are said to be of: those as this instrument has seen them."""
    pairs = args.get("pairs", ())
    prompts = {("", prompt) for prompt in prompts_in(pairs)}
    return prompts | {(tool, plain(pair["cluster"])) for pair in pairs if pair.get("cluster")}


def _what(args: dict[str, Any]) -> dict[str, Any]:
    """What is done, without the place."""
    kept = {name: value for name, value in args.items() if name not in NOT_OF_THE_UNIT}
    return kept | {name: _features(kept[name]) for name in FEATURES if name in kept}


def _features(named: Any) -> list[tuple[int, ...]]:
    several = [named] if isinstance(named, str) else named or ()
    return sorted({tuple(map(int, re.findall(r"\d+", str(one)))) for one in several})
