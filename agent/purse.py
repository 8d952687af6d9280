"""The budget of a run while it runs: what is gone is counted from what was said and measured, and from the clock."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..tools import ToolError
from .budget import EXPLORING, TIMES, Budget, Prices, Spent, reached, spent, told
from .planners.llm_turns import Turn


class Purse:
    """A budget with its prices and the clock that it is held to."""

    def __init__(self, budget: Budget | None = None, prices: Prices | None = None) -> None:
        self.budget, self.prices = budget or Budget(), prices or Prices()
        self._started = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time that is not the run's own, such as what a person takes to answer."""
        since = time.monotonic()
        try:
            yield
        finally:
            self._started += time.monotonic() - since

    def spent(self, turns: Sequence[Turn], tool_seconds: Callable[[], float]) -> Spent:
        """What is gone so far.

        Args:
            tool_seconds: time of all measurements (seconds); asked only where it is limited.
        """
        measured = tool_seconds() if self.budget.tool_seconds is not None else 0.0
        return spent(turns, self.prices, measured, time.monotonic() - self._started)

    @property
    def is_timed(self) -> bool:
        """Whether time is limited."""
        return any(getattr(self.budget, name) is not None for name in TIMES)

    def refuse_overtime(self) -> None:
        """Called while something is explored, so that one long measurement cannot spend what is left for the others.

        Raises:
            ToolError: exploration has had its share of the wall time.
        """
        limit = self.budget.seconds
        if limit is not None and time.monotonic() - self._started >= EXPLORING * limit:
            raise ToolError(
                f"It was stopped: the budget of {limit:g} seconds is reached.", mend="Give more, or ask for less."
            )

    def told(self, turns: Sequence[Turn], tool_seconds: Callable[[], float]) -> str:
        """How much of each limit is gone, in a line."""
        return told(self.budget, self.spent(turns, tool_seconds))

    def gone(self, turns: Sequence[Turn], tool_seconds: Callable[[], float]) -> str:
        """Which limit is reached, in words, where all of it may be spent; empty where none is."""
        return reached(self.budget, self.spent(turns, tool_seconds), exploring=False)

    def reached(self, turns: Sequence[Turn], tool_seconds: Callable[[], float], exploring: bool) -> str:
        """Which limit is reached, in words; empty where none is. What is said costs nothing once exploring is over."""
        held = self.budget if exploring else Budget.model_validate(_times_of(self.budget))
        return reached(held, self.spent(turns, tool_seconds), exploring)


def _times_of(budget: Budget) -> dict[str, float | None]:
    return {"calls": None, "tokens": None, **{name: getattr(budget, name) for name in TIMES}}
