"""Who decided what about a report, and when: accept, reject or comment claim by claim, and the sign-off of the whole.

RUN/reviews.jsonl holds one decision a line, hash-chained as the ledger is (`_chain.py`): nothing in it is rewritten,
and a changed, dropped or reordered line breaks every later one. Of a claim the last decision counts. Each decision
names the SHA-256 of the report.json that it is about (what `sha256sum report.json` prints), so one about an earlier
version of the report is told from one about the report as it is.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from ._chain import GENESIS, Entry, LedgerError
from ._standing import ClaimStanding, Decision, Review, RunState, Standing, standing, undecided
from .ledger import Ledger, read_ledger

__all__ = [
    "ClaimStanding",
    "Decision",
    "Review",
    "ReviewError",
    "RunState",
    "StaleReview",
    "Standing",
    "keep_review",
    "read_reviews",
    "record_digest",
    "report_digest",
    "standing",
]

FILE = "reviews.jsonl"
PATIENCE = 10.0  # seconds to wait for another writer
PAUSE = 0.02  # seconds between two looks at its lock


class ReviewError(ValueError):
    """A decision that cannot be kept, or a record that cannot be read: what was got, and the mend."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message} {mend}")
        self.message = message
        self.mend = mend


class StaleReview(ReviewError):
    """A decision about a report that is no longer the run's."""


def report_digest(raw: bytes) -> str:
    """What decisions call a version of a report: SHA-256 (hex) of its report.json."""
    return hashlib.sha256(raw).hexdigest()


def read_reviews(folder: Path) -> tuple[Review, ...]:
    """The verified decisions about a run, oldest first; a line that is being written is not among them.

    Args:
        folder: of the run.

    Raises:
        ReviewError: the chain is broken, or a line is no decision.
    """
    path = _file_in(folder)
    if not path.exists():
        return ()
    with _in_our_words(path):
        entries = read_ledger(path)
    return tuple(_review_of(entry, path) for entry in entries)


def keep_review(
    folder: Path, decision: Decision, report: str, claims: Sequence[str], now: datetime | None = None
) -> Review:
    """Write a decision to disk, after all that were made before it; several processes may.

    Args:
        folder: of the run.
        decision: as made.
        report: SHA-256 of the run's report.json as it is now.
        claims: of that report.
        now: when; the clock's time where it is left out.

    Raises:
        StaleReview: it is about another version of the report.
        ReviewError: no such claim, a sign-off while claims are undecided, a broken record, or another writer that does
            not end.
    """
    if decision.report != report:
        raise StaleReview(
            f"The decision is about report {decision.report[:12]}, and the run's report is {report[:12]} by now.",
            mend="Read the report as it is, then decide again.",
        )
    if decision.claim is not None and decision.claim not in claims:
        raise ReviewError(f"The report has no claim {decision.claim}.", mend=f"Claims: {', '.join(claims) or 'none'}.")
    path = _file_in(folder)
    with _alone(folder), _in_our_words(path), Ledger(path) as record:
        kept = tuple(_review_of(entry, path) for entry in record.entries())
        if decision.decision == "sign_off":
            _refuse_undecided(kept, claims, report)
        at = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
        entry = record.append(_key(len(kept)), "note", {**decision.model_dump(mode="json"), "at": at})
    return _review_of(entry, path)


def record_digest(reviews: Sequence[Review]) -> str:
    """Hash of the last decision: whoever keeps it knows a record that was cut short later."""
    return reviews[-1].hash if reviews else GENESIS


def _refuse_undecided(kept: Sequence[Review], claims: Collection[str], report: str) -> None:
    if left := undecided(kept, claims, report):
        raise ReviewError(
            f"Not decided in this version of the report: {', '.join(left)}.",
            mend="Accept or reject every claim, then sign off.",
        )


def _key(place: int) -> str:
    return f"review-{place}"


def _review_of(entry: Entry, path: Path) -> Review:
    try:
        if entry.kind != "note" or entry.key != _key(entry.seq):
            raise ValueError(f"its key is `{entry.key}`, its kind `{entry.kind}`")
        return Review.model_validate({**entry.body, "hash": entry.hash})
    except ValidationError as error:
        first = error.errors()[0]
        raise _no_decision(entry, path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}".strip(": ")) from error
    except ValueError as error:
        raise _no_decision(entry, path, str(error)) from error


def _no_decision(entry: Entry, path: Path, why: str) -> ReviewError:
    return ReviewError(f"Line {entry.seq + 1} of {path.name} is no decision ({why}).", mend=_MEND)


_MEND = f"Restore {FILE} from a copy; decisions before that line are intact."


def _file_in(folder: Path) -> Path:
    path = folder / FILE
    # A run's folder may come from anywhere; what is appended to must not lie elsewhere.
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ReviewError(f"{FILE} of run {folder.name} is no plain file.", mend="Take it away; nothing was written.")
    return path


@contextmanager
def _in_our_words(path: Path) -> Iterator[None]:
    """A ledger's errors, which advise another investigation, with the mend for a record of decisions."""
    try:
        yield
    except LedgerError as error:
        raise ReviewError(error.message.replace("the ledger", "the record"), mend=_MEND) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run's folder, so that writers wait for one another; a killed one lets go.

    The folder and not the file: a ledger refuses a file that is held, and does not wait.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + PATIENCE
        while not _held(handle):
            if time.monotonic() > until:
                raise ReviewError(
                    f"Another process has been writing decisions about run {folder.name} for {PATIENCE:.0f} seconds.",
                    mend="Decide again when it has ended.",
                )
            time.sleep(PAUSE)
        yield
    finally:
        os.close(handle)


def _held(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
