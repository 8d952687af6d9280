"""What of a run is compared with words that somebody looks for: its question, the asker's words, and every claim.

Figures are shown, and left out of what is compared: two claims are not alike because they share a number.
"""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from ..report._sentence import Piece, UnboundFigure, pieces
from ..report._text import cut
from ..report.figures import Lookup, figure_text
from ..runs import RunFolder, UnreadableFile
from .shelf import Stamp, stamp

MOST_LINES = 24  # of one run
MOST_CHARS = 2_000  # of one line

Kind = Literal["question", "asked", "claim"]


class Line(NamedTuple):
    """One sentence about a run."""

    kind: Kind
    claim: str  # its id; empty where it is none
    shown: str
    compared: str


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Words(_Part):
    words: str


class _Sentence(_Part):
    text: str


class _Claim(_Part):
    id: str
    sentence: _Sentence


class _Report(_Part):
    """What is compared of a report; whether the rest is sound is found when it is opened."""

    question: str
    asked: _Words | None = None
    claims: tuple[_Claim, ...] = ()


def stamp_of(folder: RunFolder) -> Stamp | None:
    """What differs once a run says something else; none where it is no longer there."""
    for name in ("report.json", "run.json"):
        try:
            return stamp(folder.path / name)
        except OSError:
            continue
    return None


def lines_of(folder: RunFolder) -> tuple[Line, ...]:
    """The sentences about a run, none where they cannot be read."""
    path = folder.path / "report.json"
    try:
        found = _of_report(path) if path.is_file() else _of_question(folder)
        return tuple(islice((line for line in found if line.compared), MOST_LINES))
    except (OSError, ValueError, UnreadableFile):  # the list says what is wrong with it
        return ()


def _of_question(folder: RunFolder) -> Iterator[Line]:
    info = folder.info
    return _asked(info.question, info.put.words if info.put else "")


def _of_report(path: Path) -> Iterator[Line]:
    raw = from_json(path.read_bytes())
    try:
        report = _Report.model_validate(raw)
    except ValidationError as error:
        raise ValueError("no report") from error
    lookup = Lookup(_data(raw), {})
    claims = (_of_claim(claim, lookup) for claim in report.claims)
    head = _asked(report.question, report.asked.words if report.asked else "")
    return chain(head, (line for line in claims if line is not None))


def _asked(question: str, words: str) -> Iterator[Line]:
    yield Line("question", "", _seen(question), _short(question))
    if words and words != question:
        yield Line("asked", "", _seen(words), _short(words))


def _of_claim(claim: _Claim, lookup: Lookup) -> Line | None:
    try:
        parts = pieces(claim.sentence.text)
    except UnboundFigure:
        return None
    shown = "".join(_shown(part, lookup) for part in parts)
    compared = "".join(" " if part.reference else part.text for part in parts)
    return Line("claim", claim.id, _seen(shown), _short(compared))


def _shown(part: Piece, lookup: Lookup) -> str:
    if part.reference is None:
        return part.text
    try:
        return figure_text(part.reference, lookup)
    except UnboundFigure:
        return "…"


def _data(raw: dict[str, Any]) -> dict[str, Any]:
    """What references resolve in, of a report that may be no sound one."""
    found: dict[str, Any] = {}
    for record in raw.get("measurements") or ():
        if isinstance(record, dict) and isinstance(one := record.get("measurement"), dict):
            found[str(one.get("id"))] = one.get("result")
    return found | {claim["id"]: claim for claim in raw.get("claims") or ()}


def _seen(text: str) -> str:
    return cut(text[:MOST_CHARS])


def _short(text: str) -> str:
    return " ".join(text[:MOST_CHARS].split())
