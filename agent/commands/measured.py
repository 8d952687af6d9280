"""What a person sees of one measurement: what it found, the strongest of it, and where all of it is kept."""

import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ...tools import Measurement
from ..console import TEXT, hang
from ..headlines import headline
from ..report.figures import Lookup, render_plain
from .kept import keep_alone
from .output import WIDTH_OF_A_FILE, print_line, print_table
from .strongest import cell_text, strongest_of

MOST_ROWS = 10


def print_measurement(m: Measurement, home: Path) -> None:
    """Print a measurement in short, and keep it whole under `home`."""
    is_terminal = sys.stdout.isatty()
    console = Console(soft_wrap=not is_terminal, highlight=False, width=None if is_terminal else WIDTH_OF_A_FILE)
    # The one measurement that figures are read from is named once, at the end.
    found = render_plain(headline(m), Lookup({m.id: m.result}, {m.id: ()}))
    hang(console, Text(found, style="bold"), 0, TEXT)
    print_line("")
    strongest = strongest_of(m)
    shown = strongest.rows[:MOST_ROWS]
    print_table(strongest.head, [[cell_text(cell) for cell in row] for row in shown])
    if len(strongest.rows) > len(shown):
        print_line(f"… and {len(strongest.rows) - len(shown)} more {strongest.what}")
    print_line("")
    twin = "" if m.subject.reinit_seed is None else ", re-initialised"
    print_line(f"{m.tool} on {m.subject.model}{twin}, {m.seconds:.1f} s: measurement {m.id}")
    print_line(f"Whole result: {keep_alone(home, m)} (with --json it is printed instead)")
