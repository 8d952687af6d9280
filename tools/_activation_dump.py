"""Activations of features on probe prompts from another's file, held to agree with themselves before anything is read.

The form is that of the activation dumps beside "Automated Circuit Interpretation via Probe Prompting" (2025): an object
with `results`, one record a probe, each with `prompt`, `tokens` and per feature `source` (`LAYER-SET`), `index` and
`values`, one a token. `max_value` and `max_value_index` must agree with the values where they are given; `sum_values`
does not in the published files and is not read. Tokens that begin a text and stand for none are left out.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ._base import ToolError
from ._foreign_text import json_of, text_of
from ._graph_types import short
from ._probe_readings import Line
from ._probe_tokens import n_before_text

LARGEST_DUMP = 200 * 2**20  # bytes
_AGREES = 1e-3  # of the larger, for a maximum that was rounded on its own
_SOURCE = re.compile(r"(\d{1,4})(?:-(.{0,200}))?")
_FORM = (
    '{"model": "…", "results": [{"prompt": "…", "tokens": ["…"], "activations": [{"source": "LAYER-SET", "index": 0, '
    '"values": [0.0]}]}]}'
)
_MEND = f"Give a file of the form {_FORM}, every feature on every probe, one value a token."
_SMALLER = "Leave out features that the graph does not have, or probes."

Feature = tuple[int, int]
"""Layer, and index in the layer's dictionary."""


class _Record(BaseModel):
    model_config = ConfigDict(strict=True)

    source: str
    index: int = Field(ge=0)
    values: list[FiniteFloat] = Field(min_length=1)
    max_value: FiniteFloat | None = None
    max_value_index: int | None = None


class _Probe(BaseModel):
    model_config = ConfigDict(strict=True)

    probe_id: str = ""
    prompt: str = Field(min_length=1)
    tokens: list[str] = Field(min_length=1)
    activations: list[_Record] = Field(min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(strict=True)

    model: str = ""
    source_set: str = ""
    results: list[_Probe] = Field(min_length=1)


@dataclass(frozen=True)
class ActivationDump:
    """Features on probes."""

    model: str
    source_set: str
    probe_ids: tuple[str, ...]
    lines: tuple[Line, ...]
    features: tuple[Feature, ...]
    acts: tuple[Float[np.ndarray, "feature _"], ...]  # per probe, at the line's tokens; none below 0

    def only(self, probes: Collection[int]) -> "ActivationDump":
        """The same features on a few of the probes, to name by some and to test by others."""
        kept = [place for place in range(len(self.lines)) if place in probes]
        ids, lines, acts = ([part[place] for place in kept] for part in (self.probe_ids, self.lines, self.acts))
        return replace(self, probe_ids=tuple(ids), lines=tuple(lines), acts=tuple(acts))

    def of(self, feature: Feature) -> list[list[float]]:
        """Per probe, one feature's activations at the line's tokens.

        Raises:
            ToolError: a feature that is not there.
        """
        if feature not in self.features:
            missing = f"Feature {feature[0]}/{feature[1]} is not in the file of activations."
            raise ToolError(missing, mend="Give one that has every feature on every probe.")
        row = self.features.index(feature)
        return [acts[row].tolist() for acts in self.acts]


def read_dump(path: Path) -> ActivationDump:
    """The activations of a file that somebody else may have written.

    Raises:
        ToolError: no such file, or one that is too large, of another form, or that contradicts itself; it says where.
    """
    text = text_of(path, LARGEST_DUMP, "a file of activations", _SMALLER, _MEND)
    file = _checked(json_of(text, path.name, _MEND), path.name)
    set_name, features = _features(file)
    order = {feature: row for row, feature in enumerate(features)}
    lines, kept = [], []
    for place, probe in enumerate(file.results):
        lines.append(_line(probe, place))
        acts = np.empty((len(features), len(probe.tokens)))
        for record in probe.activations:
            acts[order[_feature(record, place, probe)[0]]] = record.values
        kept.append(acts[:, list(lines[-1].places)].clip(min=0))
    return ActivationDump(
        model=file.model,
        source_set=file.source_set or set_name,
        probe_ids=tuple(probe.probe_id for probe in file.results),
        lines=tuple(lines),
        features=features,
        acts=tuple(kept),
    )


def _checked(raw: Any, name: str) -> _File:
    try:
        return _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ToolError(f"{name} holds no activations: `{short(where)}`: {first['msg']}.", mend=_MEND) from error


def _features(file: _File) -> tuple[str, tuple[Feature, ...]]:
    """The set that the features belong to, and those that every probe has, by layer and index."""
    sets: dict[str, str] = {}
    first: set[Feature] = set()
    for place, probe in enumerate(file.results):
        seen: set[Feature] = set()
        for record in probe.activations:
            feature, of_set = _feature(record, place, probe)
            name = f"{feature[0]}/{feature[1]}"
            if feature in seen:
                raise _wrong(place, probe, f"feature {name} stands there twice")
            seen.add(feature)
            sets.setdefault(of_set, name)
            _refuse_contradiction(record, place, probe, name)
        first = first or seen
        if odd := sorted(first ^ seen):
            what = "lacks" if odd[0] in first else "alone has"
            raise _wrong(place, probe, f"it {what} feature {odd[0][0]}/{odd[0][1]} ({len(odd)} such)")
    if len(sets) > 1:
        listed = ", ".join(f"{name} of `{short(of_set)}`" for of_set, name in [*sets.items()][:2])
        raise ToolError(f"The features are of {len(sets)} dictionaries: {listed}.", mend="Give one file for each.")
    return next(iter(sets)), tuple(sorted(first))


def _feature(record: _Record, place: int, probe: _Probe) -> tuple[Feature, str]:
    named = _SOURCE.fullmatch(record.source)
    if not named:
        raise _wrong(place, probe, f"`{short(record.source)}` is no source of the form LAYER-SET")
    return (int(named[1]), record.index), named[2] or ""


def _refuse_contradiction(record: _Record, place: int, probe: _Probe, name: str) -> None:
    values = record.values
    if len(values) != len(probe.tokens):
        raise _wrong(place, probe, f"feature {name} has {len(values)} values for {len(probe.tokens)} tokens")
    high, said, at = max(values), record.max_value, record.max_value_index
    if said is not None and abs(said - high) > _AGREES * max(abs(said), abs(high)):
        raise _wrong(place, probe, f"feature {name} has `max_value` {said:g}, but its largest value is {high:g}")
    if at is not None and not (0 <= at < len(values) and high - values[at] <= _AGREES * abs(high)):
        raise _wrong(place, probe, f"feature {name} has its largest value not at `max_value_index` {at}")


def _line(probe: _Probe, place: int) -> Line:
    start = n_before_text(probe.tokens)
    if start == len(probe.tokens):
        raise _wrong(place, probe, "it has no token that stands for text")
    return Line(probe.prompt, tuple(probe.tokens[start:]), tuple(range(start, len(probe.tokens))))


def _wrong(place: int, probe: _Probe, what: str) -> ToolError:
    named = f"`{short(probe.probe_id or probe.prompt)}`"
    return ToolError(f"Record {place} of `results` ({named}) is not sound: {what}.", mend=_MEND)
