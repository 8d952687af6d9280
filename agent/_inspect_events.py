"""The course of an investigation as events of an Inspect log, in the order of its ledger.

A ledger tells no time. Events stand where the measured durations, laid end to end from the start of the run, put them:
their order is what happened, their distances are how long the instruments ran.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from inspect_ai.event import (  # pyright: ignore[reportMissingImports]
    Event,
    InfoEvent,
    ScoreEvent,
    SpanBeginEvent,
    SpanEndEvent,
    ToolEvent,
)
from inspect_ai.scorer import Score  # pyright: ignore[reportMissingImports]
from inspect_ai.tool import ToolCallError  # pyright: ignore[reportMissingImports]

from ..tools import Measurement
from ._chain import Entry
from .headlines import headline
from .report._text import visible
from .report.figures import render_plain
from .report.schema import Report

STAGES = {"sealed": "seal", "confirmed": "confirm", "verdict": "judge", "question": "intake"}


def stage_of(entry: Entry) -> str:
    """The part of the investigation that an entry belongs to; empty where it belongs to whatever went before."""
    if entry.kind == "note" and "phase" not in entry.body:
        return ""
    return STAGES.get(entry.kind) or entry.body.get("phase", "")


class Course:
    """What happened, entry by entry, as events."""

    def __init__(self, report: Report, verdicts: Mapping[str, Score]) -> None:
        self._verdicts = verdicts
        self._records = {record.measurement.id: record.measurement for record in report.measurements}
        self._run = report.run
        self._started = datetime.fromisoformat(report.created)
        self._seconds = 0.0

    def events(self, entries: Sequence[Entry], sample: str) -> Iterator[Event]:
        """The events of some entries, those of one stage in one span.

        Args:
            sample: where they are shown; an event of one entry is another one in another sample.
        """
        self._seconds, span, stage = 0.0, "", ""
        for entry in entries:
            now = stage_of(entry) or stage
            if now != stage:
                if span:
                    yield SpanEndEvent(id=span, **self._at(f"{sample}-end-{entry.seq}", span))
                span, stage = f"{self._run}-{sample}-{entry.seq}", now
                yield SpanBeginEvent(id=span, name=stage, type="stage", **self._at(f"{sample}-begin-{entry.seq}", span))
            yield self._event(entry, self._at(f"{sample}-{entry.seq}", span))
            self._seconds += self._seconds_of(entry)
        if span:
            yield SpanEndEvent(id=span, **self._at(f"{sample}-end", span))

    def seconds(self, entries: Sequence[Entry]) -> float:
        """How long the instruments ran for some entries."""
        return sum(map(self._seconds_of, entries))

    def ended(self, entries: Sequence[Entry]) -> datetime:
        """When the events of these entries, all there are, came to their end."""
        return self._started + timedelta(seconds=self.seconds(entries))

    def _at(self, name: str, span: str) -> dict[str, Any]:
        """What every event has; ids follow from the run, so that equal runs give equal events."""
        when = self._started + timedelta(seconds=self._seconds)
        return {
            "uuid": f"{self._run}-{name}",
            "span_id": span or None,
            "timestamp": when,
            "working_start": self._seconds,
        }

    def _seconds_of(self, entry: Entry) -> float:
        measured = self._records.get(entry.body.get("measurement", ""))
        return measured.seconds if measured else 0.0

    def _event(self, entry: Entry, at: dict[str, Any]) -> Event:
        told = {"ledger_entry": entry.seq, "ledger_hash": entry.hash}
        measured = self._records.get(entry.body.get("measurement", ""))
        if measured is not None:
            return self._measured(entry, measured, told, at)
        if "failed" in entry.body:
            return self._failed(entry, told, at)
        if entry.kind == "verdict" and entry.body["claim"] in self._verdicts:
            return ScoreEvent(score=self._verdicts[entry.body["claim"]], scorer="judge", metadata=told, **at)
        return InfoEvent(source=entry.kind, data=_told(entry), metadata=told, **at)

    def _measured(self, entry: Entry, measured: Measurement, told: dict[str, Any], at: dict[str, Any]) -> Event:
        about = {"measurement": measured.id, "digest": measured.digest, **_about(entry)}
        return ToolEvent(
            id=measured.id,
            function=measured.tool,
            arguments=measured.args,
            result=render_plain(headline(measured), {measured.id: measured}),
            completed=at["timestamp"] + timedelta(seconds=measured.seconds),
            working_time=measured.seconds,
            metadata={**told, **about},
            **at,
        )

    def _failed(self, entry: Entry, told: dict[str, Any], at: dict[str, Any]) -> Event:
        return ToolEvent(
            id=entry.key,
            function=entry.body["tool"],
            arguments={},
            error=ToolCallError("unknown", visible(entry.body["failed"])),
            failed=True,
            metadata={**told, **_about(entry)},
            **at,
        )


def _about(entry: Entry) -> dict[str, Any]:
    twin = entry.body.get("twin_seed")
    return {"phase": entry.body["phase"], "why": entry.body["why"]} | ({} if twin is None else {"twin_seed": twin})


def _told(entry: Entry) -> Any:
    """What an entry that is no measurement says: of a sealed prediction what it is, without its prompts."""
    if entry.kind != "sealed":
        return entry.body
    proposal = entry.body["proposal"]
    sealed = proposal["prediction"]
    arms = [*sealed["arms"], *sealed["twin_arms"], *([sealed["shuffled_arm"]] if sealed["shuffled_arm"] else [])]
    return {
        "prediction": sealed["id"],
        "hypothesis": proposal["hypothesis"]["statement"],
        "refuted_if": proposal["hypothesis"]["refuted_if"],
        "direction": sealed["direction"],
        "smallest_effect": sealed["smallest_effect"],
        "arms": [f"{arm['tool']}: {arm['label']}" for arm in arms],
        "measurements": entry.body["measurements"],
    }
