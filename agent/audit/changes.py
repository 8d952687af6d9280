"""Two tables of audits side by side: what is found now and was not before, of the same or of another model."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ...tools import Frozen
from ..runs import UnreadableFile
from .spec import Found
from .table import Row

Kind = Literal["newly fails", "fails no more", "found otherwise", "same", "only in A", "only in B", "not done"]
KINDS: dict[Kind, str] = {
    "newly fails": "it fails in B, and does not in A or is not asked there",
    "fails no more": "it fails in A and does not in B",
    "found otherwise": "what is found differs, and neither fails or both do",
    "same": "the same is found",
    "only in A": "B does not ask it",
    "only in B": "A does not ask it",
    "not done": "one of them has no answer yet",
}
"""In the order of how much they matter."""
MOST_BYTES = 500_000_000


class Change(Frozen):
    """A cell of one table beside that of the other."""

    item: str = Field(description="The item, with its place in the matrix.")
    subject: str = Field(description="Label of the model; of both, where two models are held against each other.")
    seed: int = Field(description="Seed of everything random.")
    kind: Kind = Field(description="What differs.")
    was: tuple[Found, ...] | None = Field(description="What A found; none where it has no answer.")
    now: tuple[Found, ...] | None = Field(description="What B found; none where it has no answer.")
    same_weights: bool | None = Field(description="Whether both asked the same weights; none where one has no answer.")
    said: str = Field(description="B's answer, or A's where B has none.")


def changes(a: Sequence[Row], b: Sequence[Row]) -> tuple[Change, ...]:
    """Every cell of both, those that matter most first, and then in the order of the tables.

    Args:
        a, b: tables of which each names an item, a model and a seed at most once; see `of_model`.
    """
    ours, theirs = ({(row.item, row.subject, row.seed): row for row in rows if not row.spike} for rows in (a, b))
    found = [_change(ours.get(key), theirs.get(key)) for key in {**ours, **theirs}]
    return tuple(sorted(found, key=lambda one: [*KINDS].index(one.kind)))


def _change(a: Row | None, b: Row | None) -> Change:
    row = b or a
    assert row is not None
    was, now = (None if one is None else one.outcome for one in (a, b))
    return Change(
        item=row.item,
        subject=row.subject,
        seed=row.seed,
        kind=_kind(a, b),
        was=a.found if a and was else None,
        now=b.found if b and now else None,
        same_weights=was.fingerprint == now.fingerprint if was and now else None,
        said=next((one.failed or one.unanswerable or one.answer for one in (now, was) if one), ""),
    )


def _kind(a: Row | None, b: Row | None) -> Kind:
    if b is None:
        return "only in A"
    if a is None:
        return "newly fails" if b.fails else "only in B"
    if a.outcome is None or b.outcome is None:
        return "not done"
    if bool(a.fails) != bool(b.fails):
        return "newly fails" if b.fails else "fails no more"
    return "same" if a.found == b.found else "found otherwise"


def of_model(rows: Sequence[Row], label: str | None, called: str, name: str) -> tuple[Row, ...]:
    """The rows of one model, under a name that those of the other table get too; all of them where none is meant.

    Args:
        label: of the model.
        called: what the table is, for a message.
        name: that they get.

    Raises:
        UnreadableFile: the table has no such model.
    """
    if label is None:
        return tuple(rows)
    known = list(dict.fromkeys(row.subject for row in rows if not row.spike))
    if label not in known:
        raise UnreadableFile(f"{called} has no model {label!r}; it has: {', '.join(known)}.")
    return tuple(row.model_copy(update={"subject": name}) for row in rows if row.subject == label)


def read_table(path: Path) -> tuple[Row, ...]:
    """The rows of a `table.jsonl`.

    Raises:
        UnreadableFile: not there, a line that is no row, or a row twice; the message says which.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableFile(f"{path} has more than {MOST_BYTES:,} bytes.")
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}.") from error
    rows = tuple(_rows(path, lines))
    times = Counter((row.item, row.subject, row.seed) for row in rows)
    if twice := next((key for key, n in times.items() if n > 1), None):
        raise UnreadableFile(f"{path} has item {twice[0]!r} of {twice[1]!r} with seed {twice[2]} twice.")
    return rows


def _rows(path: Path, lines: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        try:
            yield Row.model_validate_json(line)
        except ValidationError as error:
            said = error.errors()[0]
            where = ".".join(map(str, said["loc"]))
            told = f"{path}, line {number} is no row of an audit's table: {where} {said['msg']}."
            raise UnreadableFile(told) from error
