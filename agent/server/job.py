"""A job: an order, what has happened to it so far, and what came of it."""

import json
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, Literal

from .orders import Order

MOST_EVENTS = 5_000
TOLD_ONCE = ("told", "run", "before")  # a run says these again whenever it is taken up
BROUGHT_ON = ("finished", "failed", "said", "approved", "judged")  # what takes a run further
NEVER_LOST = ("waiting", "not_taken", "approved")  # without these a person could not go on

State = Literal["queued", "running", "waiting", "stopping", "done", "failed", "stopped"]


class Job:
    """One order on its way. A worker's thread writes it, and requests read it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.step: dict[str, Any] | None = None
        self.is_stopping = False
        self.is_parked = False  # its run waits for a person, and no worker has it
        self.stint = 0  # how often a worker was given it
        self.waits_for = ""  # the key of what the person was shown last
        self.words: list[dict[str, Any]] = []  # of that person, for the worker that has it, or has it next
        self._events: list[dict[str, Any]] = []
        self._told: set[str] = set()
        self._outcome: dict[str, Any] | None = None
        self._begun: float | None = None
        self._ended: float | None = None
        self._lock = Lock()

    @property
    def handle(self) -> str:
        """Names it."""
        return self.order.handle

    def begin(self) -> None:
        """A worker has it."""
        self._begun = self._begun or time.monotonic()
        self.stint += 1

    def note(self, event: dict[str, Any]) -> None:
        """Something happened."""
        kind = event["event"]
        with self._lock:
            if kind in TOLD_ONCE:
                said = json.dumps(event, sort_keys=True)
                if said in self._told:
                    return
                self._told.add(said)
            if kind == "waiting":
                self.waits_for = event["key"]
            if len(self._events) < MOST_EVENTS or kind in NEVER_LOST:
                self._events.append({**event, "at": self.seconds})

    @property
    def steps_done(self) -> int:
        """Things that were brought to an end (count): an experiment that only begins, again and again, is none."""
        return sum(event["event"] in BROUGHT_ON for event in self._events)

    def end(self, outcome: dict[str, Any]) -> None:
        """It has come to its end."""
        self._ended, self._outcome = time.monotonic(), outcome

    def events(self, after: int) -> Sequence[dict[str, Any]]:
        """What has happened, without the first `after`."""
        return self._events[after:]

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come of it."""
        return self._outcome is not None

    @property
    def result(self) -> dict[str, Any] | None:
        """What came of it; none where it has not been done."""
        return (self._outcome or {}).get("done")

    @property
    def error(self) -> str:
        """Why it was not done; empty where it was, or was stopped."""
        return (self._outcome or {}).get("error", "")

    @property
    def was_refused(self) -> bool:
        """Whether it could not be done as it was asked for, which is no mistake of ours."""
        return (self._outcome or {}).get("ended") == "refused"

    @property
    def state(self) -> State:
        """Where it stands."""
        if self._outcome is not None:
            if "done" in self._outcome:
                return "done"
            return "stopped" if self._outcome["ended"] == "stopped" else "failed"
        if self.is_parked:
            return "waiting"
        if self._begun is None:
            return "queued"
        return "stopping" if self.is_stopping else "running"

    @property
    def seconds(self) -> float | None:
        """How long it has run; none before it begins."""
        if self._begun is None:
            return None
        return round((self._ended or time.monotonic()) - self._begun, 1)
