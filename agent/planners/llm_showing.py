"""What a language model that plans is shown of a measurement: its headline, and its result cut down to what fits.

Nothing is interpreted here. Lists of numbers become their mean, least and largest; long lists lose their tail, those of
effects their smallest; how much is left out is said. The subject's own words come as JSON strings among other data.
"""

import json
from typing import Any

from ...tools import Measurement
from ..headlines import headline
from ..report.figures import render_plain

ROOM = 6_000  # characters of one result
SHORTEST = 3  # entries that a list keeps at least
DIGITS = 3
LONGEST_TEXT = 200  # characters of a string


def shown(measurement: Measurement) -> str:
    """A measurement as JSON text that fits."""
    told = {"id": measurement.id, "found": told_of(measurement)}
    for entries in (60, 24, 10, SHORTEST):
        text = json.dumps({**told, "result": _cut(measurement.result, entries)}, ensure_ascii=False)
        if len(text) <= ROOM:
            return text
    return json.dumps({**told, "result": "too long to show: ask for less at once"}, ensure_ascii=False)


def told_of(measurement: Measurement) -> str:
    """Its headline."""
    return render_plain(headline(measurement), {measurement.id: measurement})


def _cut(value: Any, entries: int) -> Any:
    if isinstance(value, dict):
        return {key: _cut(one, entries) for key, one in value.items()}
    if isinstance(value, list):
        return _cut_list(value, entries)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value[:LONGEST_TEXT] if isinstance(value, str) else value


def _cut_list(values: list[Any], entries: int) -> Any:
    if len(values) > SHORTEST and all(isinstance(one, int | float) for one in values):
        mean, least, most = sum(values) / len(values), min(values), max(values)
        return {name: _cut(float(one), entries) for name, one in (("mean", mean), ("least", least), ("most", most))} | {
            "n": len(values)
        }
    if len(values) <= entries:
        return [_cut(one, entries) for one in values]
    by_effect = all(isinstance(one, dict) and isinstance(one.get("effect"), float) for one in values)
    kept = sorted(values, key=lambda one: -abs(one["effect"])) if by_effect else values
    which = "of smallest effect" if by_effect else "more"
    return [*(_cut(one, entries) for one in kept[:entries]), f"({len(values) - entries} {which} left out)"]
