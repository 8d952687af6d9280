"""An audit on disk: HOME/audits/NAME. Its runs lie under HOME/runs with all others, named by the cell.

results.sqlite    the cells as they were run last, and what came of each, written once
table.jsonl …     what `report` writes
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pydantic import ValidationError

from ...tools import ToolError
from ..held import held
from ..runs import UnreadableFile
from .cells import Cell
from .outcome import Outcome

FOLDER = "audits"
TABLES = """
CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY, outcome TEXT NOT NULL, seconds REAL NOT NULL, tokens INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS cells (place INTEGER PRIMARY KEY, cell TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS weights (model TEXT PRIMARY KEY, fingerprint TEXT NOT NULL);
"""
WAITS = 30.0  # seconds for another process to let go of the file


class Store:
    """What came of the cells of an audit.

    Args:
        home: folder of runs and audits.
        name: of the audit.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / FOLDER / name
        self._file = self.path / "results.sqlite"

    def keep_cells(self, cells: Sequence[Cell]) -> None:
        """Write down what is asked, in the order of the table, in place of what was asked before."""
        with self._open() as connection, connection:
            connection.execute("DELETE FROM cells")
            rows = ((place, cell.model_dump_json()) for place, cell in enumerate(cells))
            connection.executemany("INSERT INTO cells VALUES (?, ?)", rows)

    def cells(self) -> tuple[Cell, ...]:
        """What is asked, in the order of the table; nothing where it never ran.

        Raises:
            UnreadableFile: a row was changed.
        """
        if not self._file.is_file():
            return ()
        with self._open() as connection:
            rows = connection.execute("SELECT cell FROM cells ORDER BY place").fetchall()
        try:
            return tuple(Cell.model_validate_json(row[0]) for row in rows)
        except ValidationError as error:
            raise self._changed(error) from error

    def keep(self, cell: Cell, outcome: Outcome, seconds: float, tokens: int = 0) -> None:
        """Write down what came of a cell; what is there already stays, unless it says that asking failed."""
        row = cell.key(outcome.fingerprint), outcome.model_dump_json(), seconds, tokens
        with self._open() as connection, connection:
            connection.execute("DELETE FROM results WHERE key = ? AND json_extract(outcome, '$.failed') != ''", row[:1])
            connection.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", row)

    def keep_weights(self, model: str, fingerprint: str) -> None:
        """Write down which weights a model's name stands for now."""
        with self._open() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO weights VALUES (?, ?)", (model, fingerprint))

    def weights(self) -> dict[str, str]:
        """Fingerprints that models had when they were audited last, by how they are loaded."""
        if not self._file.is_file():
            return {}
        with self._open() as connection:
            return dict(connection.execute("SELECT model, fingerprint FROM weights").fetchall())

    def found(self, cells: Iterable[Cell]) -> dict[Cell, Outcome]:
        """What came of the cells that are done, of the weights that were audited last.

        Raises:
            UnreadableFile: a row was changed.
        """
        weights = self.weights()
        if not weights:
            return {}
        with self._open() as connection:
            rows: dict[str, str] = dict(connection.execute("SELECT key, outcome FROM results").fetchall())
        keys = {cell: cell.key(weights[cell.model]) for cell in cells if cell.model in weights}
        try:
            return {cell: Outcome.model_validate_json(rows[key]) for cell, key in keys.items() if key in rows}
        except ValidationError as error:
            raise self._changed(error) from error

    def seconds(self) -> list[float]:
        """How long each cell took that is done (seconds)."""
        if not self._file.is_file():
            return []
        with self._open() as connection:
            return [row[0] for row in connection.execute("SELECT seconds FROM results").fetchall()]

    def tokens(self) -> int:
        """Tokens that language models were sent and wrote for all cells that are done (count)."""
        if not self._file.is_file():
            return 0
        with self._open() as connection:
            return connection.execute("SELECT COALESCE(SUM(tokens), 0) FROM results").fetchone()[0]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the audit for as long as it runs; the system lets go when a process ends, however it ends.

        Raises:
            ToolError: another process runs it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with held(self.path / "lock", self._in_use):
            yield

    def _in_use(self, by: str) -> ToolError:
        mend = "Wait for it, or look: vesalius audit status SPEC.yaml"
        return ToolError(f"Audit {self.path.name} is run by another process ({by}).", mend=mend)

    def _changed(self, error: ValidationError) -> UnreadableFile:
        return UnreadableFile(f"{self._file} was changed: {error.errors()[0]['msg']}.")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=WAITS)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(TABLES)
            yield connection
