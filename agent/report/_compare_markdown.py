"""A comparison in short, for a release or a pull request: `comparison.md`."""

from collections.abc import Iterable

from ..comparing.results import MEANING, CircuitAgain, Compared, counts
from ._markdown_supernodes import in_cell
from ._text import cut, markdown_block, markdown_code, markdown_line, markdown_text
from .compare import (
    ASKED,
    BESIDE,
    CLAIMS,
    GROUPS,
    LINKS,
    LOST,
    MOST_GROUPS,
    MOST_LINKS,
    MOST_LOST,
    Row,
    asked_row,
    circuit_told,
    claim_row,
    first,
    group_rows,
    headline,
    label_of,
    link_row,
    lost_rows,
    reason_of,
    tests_told,
    tokens_told,
    verify_commands,
    worth_saying,
)


def comparison_markdown(whole: Compared) -> str:
    """To read, and to paste into a release."""
    parts = [
        "# Comparison",
        f"{markdown_code(whole.a.model)} → {markdown_code(whole.b.model)}",
        f"**{headline(whole)}**",
        _marked(whole.weights.told),
        "## Claims of A, tested again on B",
        _rows(("run", *CLAIMS), [(one.earlier.run, *claim_row(one)) for one in whole.retested.claims]),
        *_details(whole),
        *_listed("What the models answer", ASKED, map(asked_row, whole.retested.behaviours)),
        *_lost(whole),
        *(part for one in whole.retested.circuits for part in _circuit(one)),
        *_listed("What changed in the weights", GROUPS, group_rows(whole.weights)[:MOST_GROUPS]),
        *([_marked(told)] if (told := tokens_told(whole.weights)) else []),
        *_listed("B's own run beside A's", BESIDE, [(r.place, r.a, r.b, " ".join(r.words)) for r in whole.beside]),
        "## What the words mean",
        "\n".join(f"- **{one.label}**: {MEANING[one.label]}" for one in counts(whole.retested)),
        f"{whole.correction} {tests_told(whole)}",
        f"Measure every number again:\n\n{markdown_block(chr(10).join(verify_commands(whole)))}",
    ]
    return "\n\n".join(parts) + "\n"


def _details(whole: Compared) -> list[str]:
    lines = [f"- {one.earlier.id}, **{label_of(one)}**: {_marked(reason_of(one))}" for one in worth_saying(whole)]
    return ["\n".join(lines)] if lines else []


def _lost(whole: Compared) -> list[str]:
    lost = lost_rows(whole.retested.behaviours)
    if not lost:
        return []
    rows = [(p, a, b, f"{before:.2g}", f"{after:.2g}") for p, a, b, before, after in lost[:MOST_LOST]]
    return [f"Answered as expected by A and not by B{first(MOST_LOST, len(lost))}:", _rows(LOST, rows)]


def _circuit(one: CircuitAgain) -> list[str]:
    rows = [link_row(link) for link in one.links[:MOST_LINKS]]
    return ["## Circuits side by side", markdown_text(circuit_told(one)), *([_rows(LINKS, rows)] if rows else [])]


def _listed(title: str, head: Row, rows: Iterable[Row]) -> list[str]:
    found = list(rows)
    return [f"## {title}", _rows(head, found)] if found else []


def _rows(head: Row, rows: Iterable[Row]) -> str:
    lines = [
        list(head),
        ["---"] * len(head),
        *([in_cell(markdown_line(_marked(cell))) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _marked(text: str) -> str:
    """Text that is no sentence of a report, with what stands between backticks as code."""
    parts = cut(text).split("`")
    return "".join((markdown_code(part) if i % 2 else markdown_text(part)) for i, part in enumerate(parts) if part)
