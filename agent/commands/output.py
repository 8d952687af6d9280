"""Printing for people and for machines."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..report._text import visible

WIDTH_OF_A_FILE = 160  # columns
_BEYOND_ASCII = re.compile(r"[^\n\x20-\x7e]")


def print_json(value: Any) -> None:
    """One object on standard output; what a terminal would obey is escaped, which leaves the value as it is."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    sys.stdout.write(_BEYOND_ASCII.sub(_escaped, text) + "\n")


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return character if visible(character) == character else json.dumps(character)[1:-1]


def print_line(text: str) -> None:
    """A line on standard output, never broken, so that a path or a command in it can be copied whole."""
    sys.stdout.write(visible(text) + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on standard output, no cell cut short; cells are data and never markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE).print(table)
