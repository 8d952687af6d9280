"""Two writers and a reader at once, and `kill -9` in the midst of a write, in real processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vesalius.memory import ClaimRecord, Memory, export_records
from vesalius.tools import SubjectKey


class Counting:
    """An embedder that costs nothing, here and in the processes that are started."""

    id = "counting"
    notice: str | None = None

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, float(len(text))] for text in texts]


HEAD = """
import sys
from pathlib import Path
from vesalius.memory import ClaimRecord, Memory, export_records, import_records
from vesalius.tools import SubjectKey

class Counting:
    id = "counting"
    notice = None

    def embed(self, texts):
        return [[1.0, float(len(text))] for text in texts]

def claim(text, run="r", **more):
    subject = SubjectKey(model="atlas", fingerprint="a" * 64)
    return ClaimRecord(subject=subject, run=run, tier="causal", text=text, verdict="supported", **more)

def opened():
    return Memory(sys.argv[1], Counting(), wait_seconds=60)

"""
WRITER = """
for i in range(int(sys.argv[3])):
    with opened() as memory:
        memory.remember([claim(f"claim {i}", sys.argv[2]), claim(f"more {i}", sys.argv[2])])
    print(i, flush=True)
"""
READER = """
seen, ended = set(), False
while not ended:
    ended = Path(sys.argv[2]).exists()
    with opened() as memory:
        now = {record.id for record in memory.records()}
        hits = memory.search("claim", limit=1000)
    assert seen <= now, "a record that was there is gone"
    assert {hit.id for hit in hits} == now, "the index and the rows differ"
    seen = now
print(len(seen))
"""
LARGE = """
records = [claim(f"claim {i} " + "word " * 50) for i in range(2000)]  # four batches
with opened() as memory:
    print("writing", flush=True)
    memory.remember(records)
    print("written", flush=True)
"""
IMPORTER = """
with opened() as memory:
    print("writing", flush=True)
    import_records(memory, Path(sys.argv[2]))
    print("written", flush=True)
"""
EXPORTER = """
with opened() as memory:
    print("writing", flush=True)
    export_records(memory, Path(sys.argv[2]))
    print("written", flush=True)
"""


def start(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out


def killed(code: str, after: float, *args: object) -> bool:
    """Run until it says that it writes, kill it some seconds later, and say whether that was in the midst of it."""
    with start(code, *args) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        return "written" not in process.stdout.read()


def test_two_writers_and_a_reader_lose_nothing_and_see_no_half_state(tmp_path):
    end = tmp_path / "end"
    reader = start(READER, tmp_path / "memory", end)
    writers = [start(WRITER, tmp_path / "memory", run, 5) for run in ("one", "two")]
    for writer in writers:
        assert finished(writer).split() == [str(i) for i in range(5)]
    end.touch()
    assert finished(reader).split() == ["20"]
    with Memory(tmp_path / "memory", Counting()) as memory:
        due = {(run, f"{word} {i}") for run in ("one", "two") for word in ("claim", "more") for i in range(5)}
        assert {(record.run, record.text) for record in memory.records()} == due


def test_a_kill_in_the_midst_of_a_large_write_leaves_whole_batches_that_can_be_worked_with(tmp_path):
    cut_short = 0
    for after in (0.05, 0.4):
        folder = tmp_path / str(after)
        cut_short += killed(LARGE, after, folder)
        with Memory(folder, Counting(), wait_seconds=1.0) as memory:
            left = list(memory.records())  # each is read back whole, and checked against its id
            assert len(left) % 500 == 0, "a batch is there whole or not at all"
            assert len(memory.search("claim", limit=3000)) == len(left)
            memory.remember(left)
            assert memory.forget("r") == len(left)
    assert cut_short, "no kill fell into the write: nothing was tested"


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with a memory of some thousand records, and its export."""
    folder = tmp_path_factory.mktemp("kept")
    with Memory(folder / "source", Counting()) as memory:
        about = {"subject": SubjectKey(model="atlas", fingerprint="a" * 64), "run": "r", "tier": "causal"}
        memory.remember([ClaimRecord(**about, text=f"claim {i}", verdict="supported") for i in range(2000)])
        export_records(memory, folder / "all.jsonl")
    return folder


def test_an_import_that_was_killed_is_completed_by_the_next(tmp_path, kept):
    file = kept / "all.jsonl"
    folders = (tmp_path / str(after) for after in (0.8, 0.3) if killed(IMPORTER, after, tmp_path / str(after), file))
    folder = next(folders)  # the first whose import the kill fell into
    finished(start(IMPORTER, folder, file))
    with Memory(folder, Counting()) as memory:
        export_records(memory, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == file.read_bytes()


def test_an_export_that_was_killed_leaves_the_file_of_before(tmp_path, kept):
    before = (kept / "all.jsonl").read_bytes()
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    cut_short = killed(EXPORTER, 0.05, kept / "source", out)
    assert out.read_bytes() == (b"before" if cut_short else before)
    finished(start(EXPORTER, kept / "source", out))
    assert out.read_bytes() == before
