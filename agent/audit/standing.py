"""How an audit stands while it runs, as the driver knows it."""

from collections.abc import Callable
from typing import NamedTuple


class ModelStanding(NamedTuple):
    """One model of it."""

    name: str  # label in the table
    done: int | None  # cells (count); none before it was loaded, for whose weights they hold is not known
    cells: int
    doing: tuple[str, ...]  # what each of its workers does


class Standing(NamedTuple):
    """All of it."""

    done: int  # cells, those of earlier runs too (count)
    cells: int
    models: tuple[ModelStanding, ...]
    seconds: float  # since this run began
    left: float | None  # about, at the pace of this run (seconds); none before a cell of it is done
    most_seconds: float | None  # of this run
    tokens: int
    most_tokens: int | None  # of all runs of the audit

    @property
    def doing(self) -> str:
        """What goes on, in a line."""
        return ", ".join(f"{model.name}: {doing}" for model in self.models for doing in model.doing)


Tell = Callable[[Standing], None]


class Pace:
    """Measures how fast cells are done, from the first that is given: loading tells nothing of the others.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._n = 0

    def given(self) -> None:
        """A cell was given."""
        self._began = self._clock() if self._began is None else self._began

    def done(self) -> None:
        """A cell was done."""
        self._n += 1

    def left(self, cells: int) -> float | None:
        """About how long so many more take (seconds); none where nothing is known yet."""
        return cells * (self._clock() - self._began) / self._n if self._n and self._began is not None else None
