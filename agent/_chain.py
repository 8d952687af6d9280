"""The chain of a ledger's entries: how an entry is hashed and written, and what makes a sequence of them sound.

No file is opened here; `ledger.py` says what the entries are for.
"""

import json
from typing import Any, Literal

from pydantic import Field

from ..tools import Frozen, canonical, digest

Kind = Literal["question", "premise", "measurement", "sealed", "confirmed", "verdict", "note"]
GENESIS = "0" * 64  # what the first entry follows
FIELDS = {"seq", "key", "kind", "body", "prev", "hash"}


class LedgerError(ValueError):
    """The ledger cannot be read or written as asked: what was got, and the mend."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message} {mend}")
        self.message = message
        self.mend = mend


class Entry(Frozen):
    """One line of the ledger."""

    seq: int = Field(description="Position in the ledger, from 0.")
    key: str = Field(description="Names the entry; no two entries share one.")
    kind: Kind = Field(description="What the entry records.")
    body: dict[str, Any] = Field(description="The record, plain JSON without times or machine facts.")
    prev: str = Field(description="Hash of the entry before.")
    hash: str = Field(description="SHA-256 over prev, key, kind and body in canonical JSON.")

    @property
    def line(self) -> bytes:
        """The one way this entry is written."""
        return canonical(self.model_dump()).encode() + b"\n"


def verified(raw: bytes, name: str) -> tuple[list[Entry], int]:
    """Entries of the whole lines, each checked against the one before, and how many bytes those lines take."""
    size = raw.rfind(b"\n") + 1
    entries: list[Entry] = []
    keys: set[str] = set()
    for number, line in enumerate(raw[:size].split(b"\n")[:-1], start=1):
        problem = _problem_of(line, entries, keys)
        if problem:
            raise LedgerError(
                f"Line {number} of {name} {problem}: the ledger was changed after it was written.",
                mend=f"Restore {name} from a copy, or start a new investigation; entries before it are intact.",
            )
        keys.add(entries[-1].key)
    return entries, size


def _problem_of(line: bytes, entries: list[Entry], keys: set[str]) -> str:
    """What is wrong with a line after the entries before it, or nothing; a sound line joins them."""
    before = entries[-1].hash if entries else GENESIS
    try:
        raw = json.loads(line)
        if not isinstance(raw, dict) or raw.keys() != FIELDS:
            return "is not an entry"
        if raw["prev"] != before:
            return "does not follow the line before"
        entry = linked(len(entries), raw["key"], raw["kind"], raw["body"], before)
        written = entry.line
    except (ValueError, RecursionError):  # no text, no JSON, or fields of other types
        return "is not an entry"
    if written != line + b"\n":
        return "does not have the hash of its content"
    if entry.key in keys:
        return f"repeats the key `{entry.key}`"
    try:
        refuse_disorder(entries, entry)
    except LedgerError as error:
        return f"breaks the order of sealing and measuring ({error.message})"
    entries.append(entry)
    return ""


def linked(seq: int, key: Any, kind: Any, body: Any, prev: str) -> Entry:
    content = {"prev": prev, "key": key, "kind": kind, "body": body}
    return Entry(seq=seq, key=key, kind=kind, body=body, prev=prev, hash=digest(content))


def refuse_disorder(entries: list[Entry], entry: Entry) -> None:
    """Hold the rule that a prediction is sealed first and measured afterwards."""
    if "seconds" in entry.body:
        raise LedgerError(f"Entry `{entry.key}` records a wall time.", mend="Leave `seconds` out of the body.")
    if entry.kind not in ("sealed", "confirmed"):
        return
    prediction = prediction_of(entry)
    if not prediction:
        raise LedgerError(
            f"Entry `{entry.key}` ({entry.kind}) names no prediction.", mend="Put its id in `prediction`."
        )
    sealed = next((e for e in entries if e.kind == "sealed" and prediction_of(e) == prediction), None)
    if entry.kind == "sealed":
        if sealed is not None:
            raise LedgerError(f"Prediction {prediction} is sealed already.", mend="Give the new prediction its own id.")
        early = set(_listed(entry)) & _measured(entries)
    else:
        if sealed is None:
            raise LedgerError(f"Prediction {prediction} was never sealed.", mend="Seal it, then measure and confirm.")
        early = _refuse_unsealed(entry, sealed) & _measured(entries[: sealed.seq])
    if early:
        raise LedgerError(
            f"Prediction {prediction} is not sealed before it is measured: {', '.join(sorted(early))} ran earlier.",
            mend="Confirm on prompts that were not measured before.",
        )


def _refuse_unsealed(confirmed: Entry, sealed: Entry) -> set[str]:
    """The confirming measurement, which must be among those sealed where the seal lists them."""
    measurement = confirmed.body.get("measurement")
    if not isinstance(measurement, str):
        raise LedgerError(f"Entry `{confirmed.key}` names no measurement.", mend="Put its id in `measurement`.")
    if "measurements" in sealed.body and measurement not in _listed(sealed):
        raise LedgerError(
            f"Measurement {measurement} confirms prediction {prediction_of(sealed)}, which did not seal it.",
            mend="Confirm with the sealed measurements, or seal a new prediction.",
        )
    return {measurement}


def _measured(entries: list[Entry]) -> set[str]:
    ran = [e.body.get("measurement") for e in entries if e.kind in ("measurement", "confirmed")]
    return {m for m in ran if isinstance(m, str)}


def _listed(sealed: Entry) -> list[str]:
    listed = sealed.body.get("measurements", [])
    if not isinstance(listed, list) or not all(isinstance(x, str) for x in listed):
        raise LedgerError(f"`measurements` of `{sealed.key}` is no list of ids.", mend="List text, or leave it out.")
    return listed


def prediction_of(entry: Entry) -> str:
    prediction = entry.body.get("prediction")
    name = prediction.get("id") if isinstance(prediction, dict) else prediction
    return name if isinstance(name, str) else ""
