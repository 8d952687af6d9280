"""What an audit may take, told before anything is loaded: from what such cells took here before."""

import statistics
from collections.abc import Sequence

from pydantic import Field

from ...tools import Frozen
from ..budget import Prices, budget_of
from .cells import Cell
from .spec import Spec
from .store import Store


class Estimate(Frozen):
    """What an audit is, and may take."""

    n_cells: int = Field(description="Cells (count).")
    n_done: int = Field(description="Of them done, of the weights that were audited last (count).")
    workers: int = Field(description="Workers that fit here (count).")
    seconds: float | None = Field(description="About what is left takes (seconds); none where nothing is known yet.")
    n_timed: int = Field(description="Cells of this audit that this is known from (count).")
    most_tokens: int | None = Field(
        description="Tokens of language models at most: of every cell's budget, or the audit's own limit where that is "
        "less; none where no limit is set."
    )
    most_seconds: float | None = Field(description="Of one run of the audit (seconds); none where no limit is set.")


def estimate(spec: Spec, cells: Sequence[Cell], store: Store, workers: int, prices: Prices) -> Estimate:
    """What an audit may take.

    Args:
        workers: that there is room for at a time.
    """
    took = store.seconds()
    left = len(cells) - (n_done := len(store.found(cells)))
    workers = max(1, min(workers, left))
    of_cells = [budget_of(cell.budget, prices).tokens if cell.needs_language_model else 0 for cell in cells]
    limits = [*([] if None in of_cells else [sum(one or 0 for one in of_cells)]), *filter(None, [spec.tokens])]
    return Estimate(
        n_cells=len(cells),
        n_done=n_done,
        workers=workers,
        seconds=left * statistics.fmean(took) / workers if took else None,
        n_timed=len(took),
        most_tokens=min(limits, default=None),
        most_seconds=spec.seconds,
    )
