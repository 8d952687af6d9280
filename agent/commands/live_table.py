"""An audit while it runs: a table of its models in a terminal, a line now and then where there is none."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..audit.standing import ModelStanding, Standing, Tell
from ..report._text import visible
from .progress import Lines, span

MOST_MODELS = 12  # rows: those at work first, then those that have most to do
OFTEN = 4.0  # times a second
BAR = 24  # columns
BESIDE = 6  # lines that are no model's: the name, the head, those that are not shown, and what is left, maybe in two


@contextmanager
def shown(audit: str) -> Iterator[Tell]:
    """A function that shows how an audit stands, on standard error, for as long as it runs."""
    if not sys.stderr.isatty():
        lines = Lines(time.monotonic, sys.stderr.write)
        yield lambda standing: lines(standing.done, standing.cells, standing.doing)
        return
    with Live(console=Console(stderr=True), refresh_per_second=OFTEN, transient=True) as live:
        yield lambda standing: live.update(drawn(audit, standing, live.console.height - BESIDE))


def drawn(audit: str, standing: Standing, rows: int = MOST_MODELS) -> Group:
    """The table with what is left and spent under it; what models are called is data and never markup.

    Args:
        rows: that there is room for (count).
    """
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("model", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("", width=BAR)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("now", ratio=3, no_wrap=True, overflow="ellipsis")
    listed = sorted(standing.models, key=_turn)[: max(1, min(rows, MOST_MODELS))]
    for model in sorted(listed, key=standing.models.index):
        table.add_row(*_row(model))
    more = len(standing.models) - len(listed)
    rest = (Text(f"and {more} more models", style="dim"),) if more else ()
    return Group(Text(f"Audit {visible(audit)}", style="bold"), table, *rest, Text(told(standing)))


def told(standing: Standing) -> str:
    """What is done, left and spent, in a line."""
    parts = [f"{standing.done} of {standing.cells} cells done"]
    if standing.left is not None:
        parts.append(f"about {span(standing.left)} left")
    if standing.most_seconds is not None:
        parts.append(f"{span(standing.seconds)} of {span(standing.most_seconds)} gone")
    if standing.most_tokens is not None:
        parts.append(f"{standing.tokens:,} of {standing.most_tokens:,} tokens")
    elif standing.tokens:
        parts.append(f"{standing.tokens:,} tokens")
    return ", ".join(parts) + "."


def _turn(model: ModelStanding) -> tuple[bool, bool, int]:
    return not model.doing, model.done == model.cells, (model.done or 0) - model.cells


def _row(model: ModelStanding) -> tuple[Text, ProgressBar, Text, Text]:
    now = "; ".join(model.doing) or ("waits" if model.done != model.cells else "")
    style = "" if model.doing else "dim"
    done = "–" if model.done is None else str(model.done)
    bar = ProgressBar(total=model.cells, completed=model.done or 0, width=BAR)
    return Text(visible(model.name), style), bar, Text(f"{done}/{model.cells}", style), Text(visible(now), style)
