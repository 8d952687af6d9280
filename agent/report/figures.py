"""Figures in prose: each reference becomes the number it names, with its source beside it."""

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._sentence import Piece, Reference, Sentence, UnboundFigure, check_bound, number_at
from ._text import cut, markdown_code, markdown_line, markdown_text, visible
from .schema import Report

__all__ = [
    "Lookup",
    "UnboundFigure",
    "check_bound",
    "figure_text",
    "render_html",
    "render_markdown",
    "render_plain",
    "resolve",
]


class Lookup:
    """Where references are looked up, and which measurements each of them cites."""

    def __init__(self, data: Mapping[str, Mapping[str, Any]], cites: Mapping[str, tuple[str, ...]]) -> None:
        self._data, self._cites = data, cites

    @classmethod
    def of(cls, report: Report) -> "Lookup":
        """Everything that a report holds."""
        confirming = {r.measurement.id for r in report.measurements if r.phase == "confirm"}
        behind = {claim.id: claim.measurements for claim in report.claims}
        for claim in report.claims:
            behind |= {f"{claim.id}:attempts.{i}": one.measurements for i, one in enumerate(claim.attempts)}
        cites = {name: tuple(m for m in ids if m in confirming) or ids for name, ids in behind.items()}
        return cls(report.data, cites)

    def number(self, reference: Reference) -> int | float:
        """The number.

        Raises:
            UnboundFigure: an id that is not held, no such path, or no number there.
        """
        if reference.id not in self._data:
            raise UnboundFigure(f"{reference.name}: `{reference.id}` is not known here.")
        return number_at(self._data[reference.id], reference)

    def cites(self, reference: Reference) -> tuple[str, ...]:
        """Ids of the measurements behind it."""
        if attempt := re.match(r"attempts\.\d+", reference.path):  # it has measurements of its own
            return self._cites.get(f"{reference.id}:{attempt[0]}", (reference.id,))
        return self._cites.get(reference.id, (reference.id,))


Source = Lookup | Mapping[str, Measurement]


def _lookup(source: Source) -> Lookup:
    return source if isinstance(source, Lookup) else Lookup({i: m.result for i, m in source.items()}, {})


def resolve(reference: Reference, source: Source) -> int | float:
    """The number that a reference names."""
    return _lookup(source).number(reference)


def figure_text(reference: Reference, source: Source) -> str:
    """The number as printed; what rounds to nothing has no sign."""
    form = reference.form
    if not form.endswith("d"):
        form = f"+z{form[1:]}" if form.startswith("+") else f"z{form}"
    return format(_lookup(source).number(reference), form)


def render_plain(sentence: Sentence, source: Source) -> str:
    """For a terminal: `0.98 [m-1a2b3c4d]`; figures in a row that cite the same are followed by one citation."""
    return "".join(
        _cited(piece, figure, visible(piece.text) if piece.kind != "code" else f"`{cut(piece.text)}`")
        for piece, figure in _with_figures(sentence, _lookup(source))
    )


def render_markdown(sentence: Sentence, source: Source) -> str:
    """The same for Markdown, everything that is no figure escaped."""
    parts = (_cited(piece, figure, _markdown(piece)) for piece, figure in _with_figures(sentence, _lookup(source)))
    return markdown_line("".join(parts))


def render_html(sentence: Sentence, source: Source) -> Markup:
    """For a page: every figure a link to its measurement, or to its claim."""
    lookup = _lookup(source)
    return Markup("").join(_html(piece, lookup) for piece in sentence.pieces)


def _with_figures(sentence: Sentence, lookup: Lookup) -> list[tuple[Piece, tuple[str, tuple[str, ...]] | None]]:
    """Pieces, each figure with its text and with what is cited after it."""
    parts: list[tuple[Piece, tuple[str, tuple[str, ...]] | None]] = []
    cited_next: tuple[str, ...] = ()
    for piece in reversed(sentence.pieces):
        if piece.reference is None:
            parts.append((piece, None))
            continue
        cites = lookup.cites(piece.reference)
        parts.append((piece, (figure_text(piece.reference, lookup), () if cites == cited_next else cites)))
        cited_next = cites
    return parts[::-1]


def _cited(piece: Piece, figure: tuple[str, tuple[str, ...]] | None, otherwise: str) -> str:
    if figure is None:
        return otherwise
    text, cites = figure
    return f"{text} [{', '.join(cites)}]" if cites else text


def _markdown(piece: Piece) -> str:
    if piece.kind == "code":
        return markdown_code(piece.text)
    if piece.kind == "quote":
        return f"{piece.text[0]}{markdown_code(piece.text[1:-1])}{piece.text[-1]}"
    return markdown_text(piece.text)


def _html(piece: Piece, lookup: Lookup) -> Markup:
    if piece.reference is not None:
        source = f"{', '.join(lookup.cites(piece.reference))}: {piece.reference.path}"
        return Markup('<a class="figure" href="#{}" title="{}">{}</a>').format(
            piece.reference.id, source, figure_text(piece.reference, lookup)
        )
    if piece.kind == "code":
        return Markup('<code dir="auto">{}</code>').format(cut(piece.text))
    if piece.kind == "quote":
        return Markup('<q dir="auto">{}</q>').format(cut(piece.text[1:-1]))
    return Markup("{}").format(visible(piece.text))
