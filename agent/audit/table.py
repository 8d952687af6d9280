"""The verdict table of an audit: what came of each cell, corrected over the whole of it, and whether it fails."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from ...tools import Frozen
from .._gates import FALSE_DISCOVERY_RATE
from .._statistics import benjamini_hochberg
from .cells import Cell, Truth
from .outcome import Outcome
from .spec import FOUND, Found
from .spikes import Calibration, rate_of

CORRECTION = (
    "Each claim of an effect enters with its q, which is corrected for every unit its own investigation looked at; "
    "over all such claims of the audit these are corrected again (Benjamini and Hochberg 1995), and a claim counts as "
    f"supported where that is at most {FALSE_DISCOVERY_RATE:g} too. A claim that there is no effect rests on its "
    "interval, which lies within what would not matter; its p asks for an effect, so it is not corrected. What "
    "became of earlier claims is corrected within their own comparison. While cells are not done, q may still grow."
)


class Row(Frozen):
    """A cell in the table."""

    item: str = Field(description="The item, with its place in the matrix.")
    subject: str = Field(description="Label of the model.")
    seed: int = Field(description="Seed of everything random.")
    found: tuple[Found, ...] = Field(description="What came of it; empty where it is not done.")
    fails: tuple[Found, ...] = Field(description="What of that makes it fail.")
    supported: tuple[str, ...] = Field(description="Claims that are supported over the whole audit: their ids.")
    withdrawn: tuple[str, ...] = Field(description="Claims that their investigation supports and the audit does not.")
    q: dict[str, float] = Field(description="Corrected over the whole audit, by claim of an effect.")
    outcome: Outcome | None = Field(description="What came of it, whole; none where it is not done.")
    spike: Truth | Literal[""] = Field(
        default="", description="A question of known truth, to measure the audit; empty for its own."
    )


class Audited(Frozen):
    """An audit's table."""

    audit: str = Field(description="Names the audit.")
    rows: tuple[Row, ...] = Field(description="Every cell, in the order of the spec.")
    n_claims: int = Field(description="Claims of effects, which are corrected together (count).")
    correction: str = Field(default=CORRECTION, description="How.")
    spiked: tuple[Row, ...] = Field(default=(), description="Questions of known truth that were mixed in.")
    calibration: Calibration | None = Field(default=None, description="What came of those; none without any.")

    @property
    def n_done(self) -> int:
        """Cells of its own that are done (count)."""
        return sum(row.outcome is not None for row in self.rows)

    @property
    def failing(self) -> tuple[Row, ...]:
        """Cells that fail."""
        return tuple(row for row in self.rows if row.fails)

    @property
    def is_whole(self) -> bool:
        """Whether every cell is done, spike-ins too."""
        return all(row.outcome is not None for row in (*self.rows, *self.spiked))


def table_of(audit: str, cells: Sequence[Cell], outcomes: Mapping[Cell, Outcome]) -> Audited:
    """The table of an audit, as far as it is done."""
    own, spiked = ([cell for cell in cells if bool(cell.spike) is wanted] for wanted in (False, True))
    q = _corrected(own, outcomes)
    # Each as if it alone stood among the audit's own: several that are known to be true would make it easier for all
    # others to count as found.
    beside = tuple(_row(cell, outcomes.get(cell), _corrected([*own, cell], outcomes)) for cell in spiked)
    return Audited(
        audit=audit,
        rows=tuple(_row(cell, outcomes.get(cell), q) for cell in own),
        n_claims=len(q),
        spiked=beside,
        calibration=_calibration(beside) if beside else None,
    )


def _corrected(cells: Sequence[Cell], outcomes: Mapping[Cell, Outcome]) -> dict[tuple[Cell, str], float]:
    """The q of every claim of an effect, corrected over those of all these cells."""
    found = [(cell, claim) for cell in cells if cell in outcomes for claim in outcomes[cell].claims]
    claims = [(cell, claim) for cell, claim in found if claim.predicts == "positive"]
    corrected = benjamini_hochberg([claim.q for _, claim in claims]) if claims else ()
    return {(cell, claim.id): value for (cell, claim), value in zip(claims, corrected, strict=True)}


def _calibration(rows: Sequence[Row]) -> Calibration:
    done = [row for row in rows if row.outcome is not None]
    planted, null = ([bool(row.supported) for row in done if row.spike == truth] for truth in ("planted", "null"))
    return Calibration(planted=rate_of(planted), null=rate_of(null))


def _row(cell: Cell, outcome: Outcome | None, q: Mapping[tuple[Cell, str], float]) -> Row:
    claims = outcome.claims if outcome else ()
    alone = [claim.id for claim in claims if claim.verdict == "supported"]
    supported = tuple(name for name in alone if q.get((cell, name), 0.0) <= FALSE_DISCOVERY_RATE)
    found = _found(outcome, supported) if outcome else ()
    return Row(
        item=cell.item,
        subject=cell.subject,
        seed=cell.seed,
        found=found,
        fails=tuple(one for one in found if one in cell.fails_if),
        supported=supported,
        withdrawn=tuple(name for name in alone if name not in supported),
        q={claim.id: q[cell, claim.id] for claim in claims if (cell, claim.id) in q},
        outcome=outcome,
        spike=cell.spike,
    )


def _found(outcome: Outcome, supported: Iterable[str]) -> tuple[Found, ...]:
    """In the order of `FOUND`."""
    verdicts = {claim.verdict for claim in outcome.claims}
    left = {claim.id for claim in outcome.claims if claim.verdict == "supported"} - {*supported}
    again = {one.label for one in outcome.again}
    is_answered = not (outcome.failed or outcome.unanswerable)
    is_so: dict[Found, bool] = {
        "supported": bool([*supported]),
        "refuted": "refuted" in verdicts,
        "inconclusive": "inconclusive" in verdicts or bool(left),
        "unclaimed": is_answered and not outcome.claims,
        "weak": bool(outcome.weaknesses),
        "held": "held" in again,
        "weakened": "weakened" in again or outcome.is_rarer,
        "moved": "moved" in again,
        "broke": "broke" in again or outcome.is_gone,
        "undecided": "undecided" in again,
        "not_testable": "not testable" in again,
        "changed": bool(again & {"newly supported", "newly refuted"}),
        "premise_holds": outcome.premise is True,
        "premise_fails": outcome.premise is False,
        "unanswerable": bool(outcome.unanswerable),
        "failed": bool(outcome.failed),
    }
    return tuple(name for name in FOUND if is_so[name])
