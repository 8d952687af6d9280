"""What an audit may take, told before anything is loaded: from what such cells took here before."""

import statistics
from collections.abc import Sequence

from pydantic import Field

from ...tools import Frozen
from ..budget import Prices, budget_of
from .cells import Cell
from .store import Store


class Estimate(Frozen):
    """What an audit is, and may take."""

    n_cells: int = Field(description="Cells (count).")
    n_done: int = Field(description="Of them done, of the weights that were audited last (count).")
    workers: int = Field(description="Workers that fit here (count).")
    seconds: float | None = Field(description="About what is left takes (seconds); none where nothing is known yet.")
    n_timed: int = Field(description="Cells of this audit that this is known from (count).")
    most_tokens: int | None = Field(description="Tokens that are sent and written at most; none where no limit is set.")


def estimate(cells: Sequence[Cell], store: Store, workers: int, prices: Prices) -> Estimate:
    """What an audit may take."""
    took = store.seconds()
    left = len(cells) - (n_done := len(store.found(cells)))
    workers = max(1, min(workers, left))
    limits = [budget_of(cell.budget, prices).tokens if cell.by else 0 for cell in cells]
    return Estimate(
        n_cells=len(cells),
        n_done=n_done,
        workers=workers,
        seconds=left * statistics.fmean(took) / workers if took else None,
        n_timed=len(took),
        most_tokens=None if None in limits else sum(limit or 0 for limit in limits),
    )
