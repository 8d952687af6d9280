"""Limits of a rule beside what was measured, as a table: what was due, and whether it came out."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from ._svg import element
from ._tables import Cell, table
from .legend import OUTCOMES

HEAD = ("test", "measured", "due", "outcome")


class Limit(NamedTuple):
    """One test of a rule."""

    test: str
    measured: float | None
    due: str
    passed: bool | None  # none where it was not evaluated

    @property
    def outcome(self) -> str:
        """A key of the legend's outcomes."""
        return "not_evaluated" if self.passed is None else "pass" if self.passed else "fail"

    @property
    def said(self) -> str:
        """The outcome as it is shown, sign and word."""
        return " ".join(OUTCOMES[self.outcome])


def limits_table(limits: Sequence[Limit], caption: str) -> Markup:
    """The tests of a rule as a table."""
    rows: list[tuple[Cell, ...]] = [
        (one.test, one.measured, one.due, element("span", one.said, class_=f"outcome {one.outcome}")) for one in limits
    ]
    return table(HEAD, rows, caption, class_="gates")
