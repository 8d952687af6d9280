"""Audits as pages show them: the list, and one with its table."""

from pathlib import Path

from pydantic import Field

from ...tools import Frozen
from ..audit.spec import FOUND, Name
from ..audit.store import FOLDER, Store
from ..audit.table import Audited, table_of
from ..audit.written import calibrated, headline, verdict
from ..runs import UnreadableFile
from .problems import NotHere


class AuditInShort(Frozen):
    """An audit in the list."""

    name: str = Field(description="Names it.")
    cells: int = Field(description="Questions, each of one model with one seed (count).")
    done: int = Field(description="Of them done (count).")
    failing: int = Field(description="Of those failing, by the policy of its spec (count).")
    models: tuple[str, ...] = Field(description="Labels of its models.")
    error: str = Field(default="", description="Why it cannot be read; empty where it can.")


class AuditList(Frozen):
    """The audits of a home."""

    audits: tuple[AuditInShort, ...] = Field(description="By name.")


class AuditShown(Frozen):
    """An audit with its table."""

    headline: str = Field(description="It in a sentence.")
    calibrated: str = Field(description="What came of questions of known truth; empty without any.")
    verdicts: tuple[str, ...] = Field(description="Whether each row passes, fails, or is not done.")
    meaning: dict[str, str] = Field(description="What each word for what was found says.")
    audited: Audited = Field(description="The table.")


def audits_of(home: Path) -> AuditList:
    """The audits of a home."""
    folder = home / FOLDER
    names = sorted(path.parent.name for path in folder.glob("*/results.sqlite")) if folder.is_dir() else []
    return AuditList(audits=tuple(_in_short(home, name) for name in names))


def audit_shown(home: Path, name: Name) -> AuditShown:
    """One audit, as far as it is done.

    Raises:
        NotHere: there is none of that name.
        UnreadableFile: its file was changed.
    """
    if not (home / FOLDER / name / "results.sqlite").is_file():
        raise NotHere(f"There is no audit {name!r}.", mend="Run one: vesalius audit run SPEC.yaml")
    audited = _audited(home, name)
    verdicts = tuple(map(verdict, audited.rows))
    said = {"headline": headline(audited), "calibrated": calibrated(audited)}
    return AuditShown(**said, verdicts=verdicts, meaning={**FOUND}, audited=audited)


def _audited(home: Path, name: str) -> Audited:
    store = Store(home, name)
    cells = store.cells()
    return table_of(name, cells, store.found(cells))


def _in_short(home: Path, name: str) -> AuditInShort:
    try:
        audited = _audited(home, name)
    except UnreadableFile as error:
        return AuditInShort(name=name, cells=0, done=0, failing=0, models=(), error=str(error))
    return AuditInShort(
        name=name,
        cells=len(audited.rows),
        done=audited.n_done,
        failing=len(audited.failing),
        models=tuple(dict.fromkeys(row.subject for row in audited.rows)),
    )
