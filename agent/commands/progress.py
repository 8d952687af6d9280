"""Progress of a long command: a bar in a terminal, a line now and then where there is none."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..report._text import visible

Report = Callable[[int, int, str], None]
EVERY = 10.0  # seconds between lines


@contextmanager
def shown(what: str) -> Iterator[Report]:
    """A function that shows progress on standard error for as long as it is needed."""
    if not sys.stderr.isatty():
        yield Lines(time.monotonic, sys.stderr.write)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total, now: bar.update(task, completed=done, total=total, description=escape(visible(now)))


class Lines:
    """Writes a line every ten seconds, with the time that is left at the pace so far."""

    def __init__(self, clock: Callable[[], float], write: Callable[[str], object]) -> None:
        self._clock, self._write = clock, write
        self._told = clock()
        self._from = self._told, -1

    def __call__(self, done: int, total: int, what: str) -> None:
        now = self._clock()
        # Pace counts from the first step done: what comes before it, as reading does, tells nothing of the steps.
        if self._from[1] <= 0:
            self._from = now, done
        if now - self._told < EVERY:
            return
        self._told = now
        started, first = self._from
        left = f", about {span((now - started) * (total - done) / (done - first))} left" if done > first else ""
        self._write(f"{done}/{total} {visible(what)}{left}\n")
        sys.stderr.flush()


def span(seconds: float) -> str:
    """A time in the unit that a person would use."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
