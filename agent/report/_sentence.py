"""A sentence of a report: prose in which every figure is a reference to the number it shows.

`The patch moves {{m-1a2b3c4d:cells.0.moved|.0%}} of the answers.` A reference names a measurement or a claim, a path to
a number, and a format. Prose with a digit outside a reference is refused, so no figure can be typed. Names and prompts
are exempt where they are marked: between backticks or double quotes everything is literal, references too, so text of
the subject can neither become a figure nor break a sentence.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from ...tools import Frozen

DEFAULT_FORM = ".3g"
_FORM = re.compile(r"\+?,?(\.\d{1,2})?[defg%]")
_TOKEN = re.compile(
    r"(?P<code>`[^`]*`)"
    r'|(?P<quote>"[^"]*"|“[^”]*”)'
    r"|\{\{(?P<id>m-[0-9a-f]+|c[0-9]+):(?P<path>[^{}|]+)(?:\|(?P<form>[^{}|]*))?\}\}"
)
_BARE_NUMBER = re.compile(r"[\s+\-−±~≈<>=]*[\d.,]*\d[\d.,]*\s*(%|percent|per cent)?\s*")


class UnboundFigure(ValueError):
    """A sentence with a figure that no measurement stands behind, or a reference to no number."""


class Reference(NamedTuple):
    """Where a figure comes from, and how it is printed."""

    id: str
    path: str
    form: str

    @property
    def name(self) -> str:
        """As a reader sees it."""
        return f"{self.id}:{self.path}"


class Piece(NamedTuple):
    """A part of a sentence: prose, a literal (without its backticks; with its quotes), or a figure."""

    kind: Literal["prose", "code", "quote", "figure"]
    text: str
    reference: Reference | None = None


def pieces(text: str) -> tuple[Piece, ...]:
    """A sentence taken apart.

    Raises:
        UnboundFigure: a digit outside references and literals, or braces that begin no reference.
    """
    found: list[Piece] = []
    end = 0
    for token in _TOKEN.finditer(text):
        found.append(Piece("prose", text[end : token.start()]))
        found.append(_piece(token, text))
        end = token.end()
    found.append(Piece("prose", text[end:]))
    for piece in found:
        if piece.kind == "prose":
            _refuse_unbound(piece.text, text)
    return tuple(piece for piece in found if piece.text)


def _piece(token: re.Match[str], text: str) -> Piece:
    if token["code"] is not None:
        return Piece("code", token["code"][1:-1])
    if token["quote"] is not None:
        if _BARE_NUMBER.fullmatch(token["quote"][1:-1]):
            raise UnboundFigure(
                f"{token['quote']} quotes nothing but a number, in: {text!r}. Refer to the measurement as "
                "`{{m-ID:path}}`, or put a token of the model between backticks."
            )
        return Piece("quote", token["quote"])
    form = token["form"] or DEFAULT_FORM
    if not _FORM.fullmatch(form):
        raise UnboundFigure(f"Format {form!r} in {token[0]} is not known. Use one such as .2f, .0%, d or .2g.")
    return Piece("figure", token[0], Reference(token["id"], token["path"].strip(), form))


def _refuse_unbound(prose: str, text: str) -> None:
    if "{{" in prose or "}}" in prose:
        raise UnboundFigure(f"Braces that are no reference, in: {text!r}. Write {{{{m-1a2b3c4d:path.to.number|.2f}}}}.")
    digit = next((c for c in prose if unicodedata.category(c).startswith("N")), None)
    if digit is not None:
        raise UnboundFigure(
            f"The figure {digit!r} is bound to no measurement, in: {text!r}. Refer to the measurement as "
            "{{m-ID:path}}, or put a name or prompt between backticks."
        )


def check_bound(sentence: "Sentence | str") -> None:
    """Stop where prose has a figure outside a reference.

    Raises:
        UnboundFigure: with the figure, the sentence and the mend.
    """
    pieces(sentence if isinstance(sentence, str) else sentence.text)


class Sentence(Frozen):
    """Prose whose figures are references: `{{m-1a2b3c4d:path.to.number|.2f}}` or `{{c1:judgement.effect|.2f}}`."""

    text: str = Field(description="The sentence; names and prompts between backticks or double quotes.", min_length=1)

    @field_validator("text")
    @classmethod
    def _is_bound(cls, text: str) -> str:
        pieces(text)
        return text

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Its parts, in order."""
        return pieces(self.text)

    @property
    def references(self) -> tuple[Reference, ...]:
        """Its figures, in order."""
        return tuple(piece.reference for piece in self.pieces if piece.reference)


_REDUCERS = {
    "len": len,
    "sum": sum,
    "min": min,
    "max": max,
    "mean": lambda values: sum(values) / len(values),
}


def number_at(data: Mapping[str, Any], reference: Reference) -> int | float:
    """The number that a reference names: dotted keys, list indices, and at a list len, sum, min, max or mean.

    Raises:
        UnboundFigure: no such path, or something there that is no number.
    """
    value: Any = data
    for step in reference.path.split("."):
        value = _step(value, step, reference)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnboundFigure(f"{reference.name} is {_short(value)}, not a number.")
    if reference.form.endswith("d") and not isinstance(value, int):
        raise UnboundFigure(f"{reference.name} is {value}, not a whole number. Use a format such as .2f.")
    return value


def _step(value: Any, step: str, reference: Reference) -> Any:
    if isinstance(value, Mapping):
        if step in value:
            return value[step]
        raise UnboundFigure(f"{reference.name}: no `{step}` here. There is: {', '.join(map(str, value)) or 'nothing'}.")
    if isinstance(value, list | tuple):
        if re.fullmatch(r"-?\d+", step):
            if -len(value) <= int(step) < len(value):
                return value[int(step)]
            raise UnboundFigure(f"{reference.name}: no entry {step} in a list of {len(value)}.")
        if step in _REDUCERS and (step == "len" or _is_numeric(value)):
            return _REDUCERS[step](value)
        raise UnboundFigure(
            f"{reference.name}: `{step}` is no index of a list. Also: {', '.join(_REDUCERS)} of numbers."
        )
    raise UnboundFigure(f"{reference.name}: nothing below {_short(value)}.")


def _is_numeric(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _short(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:60]
