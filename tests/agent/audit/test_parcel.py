"""A run's files on their way."""

import sqlite3
from contextlib import closing

import pytest
from vesalius.agent.audit.parcel import put, take
from vesalius.tools import ToolError


def a_run(folder):
    (folder / "measurements").mkdir(parents=True)
    for name in ("run.json", "ledger.jsonl", "report.json", "measurements/m-0a.json"):
        (folder / name).write_text(name)
    return folder


def test_what_was_put_is_what_was_taken_and_only_what_changed_is_taken_again(tmp_path):
    here, there, known = a_run(tmp_path / "here"), tmp_path / "there", {}
    put(there, take(here, known))
    assert {path.name: path.read_text() for path in there.rglob("*.json*")} == {
        path.name: path.read_text() for path in here.rglob("*.json*")
    }
    assert take(here, known) == []
    (here / "ledger.jsonl").write_text("longer than it was")
    assert take(here, known) == [("ledger.jsonl", b"longer than it was")]


def test_the_report_is_taken_first_and_put_last_so_a_run_that_has_one_has_all_of_it(tmp_path, monkeypatch):
    parcel = take(a_run(tmp_path / "here"), {})
    assert [name for name, _ in parcel][:2] == ["report.json", "ledger.jsonl"]
    written = []
    monkeypatch.setattr("vesalius.agent.audit.parcel.write_file", lambda path, write: written.append(path.name))
    put(tmp_path / "there", parcel)
    assert written[-2:] == ["ledger.jsonl", "report.json"]


def test_checkpoints_are_taken_with_what_was_written_ahead_while_another_writes(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with closing(sqlite3.connect(here / "state.sqlite")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (2)")  # of a step that has not ended
        parcel = take(here, {})
        assert [name for name, _ in parcel] == ["state.sqlite"]
        there.mkdir()
        (there / "state.sqlite-wal").write_bytes(b"of an older one")
        put(there, parcel)
        writer.rollback()
    with closing(sqlite3.connect(there / "state.sqlite")) as reader:
        assert reader.execute("SELECT x FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "name",
    ["../run.json", "/etc/passwd", "measurements/../../x", "a/b/c/d", "", ".hidden", "a//b", "a\\b", "x\n", "a/", "é"],
)
def test_a_file_that_would_lie_elsewhere_is_refused_with_all_that_came_with_it(name, tmp_path):
    folder = tmp_path / "runs" / "one"
    with pytest.raises(ToolError, match="would not lie in its run's folder"):
        put(folder, [("run.json", b"{}"), (name, b"owned")])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
