"""One process owns a folder at a time, and what it was told is written survives it."""

import fcntl
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from vesalius.memory import Memory, RememberError

WRITER = """
import sys
from vesalius.memory import ClaimRecord, HashingEmbedder, Memory
from vesalius.tools import SubjectKey

subject = SubjectKey(model="atlas", fingerprint="a" * 64)
with Memory(sys.argv[1], HashingEmbedder()) as memory:
    print("open", flush=True)
    for i in range(int(sys.argv[2])):
        claim = ClaimRecord(subject=subject, run="r", tier="causal", text=f"claim {i}", verdict="supported")
        print(*memory.remember([claim]), flush=True)
    sys.stdin.read()
"""


def start(folder: Path, claims: int) -> subprocess.Popen[str]:
    """A process that opens the memory, says `open`, writes, and keeps the folder until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(claims)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_every_acknowledged_write_survives_kill_9(tmp_path, spelling):
    acknowledged: set[str] = set()
    for round_length in (1, 7, 20):
        with start(tmp_path, 10_000) as process:
            assert read_line(process) == "open"
            acknowledged |= {read_line(process) for _ in range(round_length)}
            process.send_signal(signal.SIGKILL)
        with Memory(tmp_path, spelling, wait_seconds=1.0) as memory:
            assert acknowledged <= {record.id for record in memory.records()}
            assert {hit.id for hit in memory.search("claim", limit=1000)} >= acknowledged


def test_a_second_process_gets_an_error_that_names_the_first_and_the_server(tmp_path, spelling):
    with start(tmp_path, 0) as process:
        assert read_line(process) == "open"
        started = time.monotonic()
        with pytest.raises(RememberError, match=rf"process {process.pid}; waited 0\.3 s.*chroma run"):
            Memory(tmp_path, spelling, wait_seconds=0.3)
        assert time.monotonic() - started < 3
        process.communicate("")


def test_a_second_process_waits_for_the_first_and_sees_what_it_wrote(tmp_path, spelling):
    with start(tmp_path, 1) as process:
        assert read_line(process) == "open"
        written = read_line(process)
        assert process.stdin is not None
        threading.Timer(0.5, process.stdin.close).start()
        with Memory(tmp_path, spelling, wait_seconds=20.0) as memory:
            assert [record.id for record in memory.records()] == [written]


def test_who_closes_and_opens_again_at_once_does_not_come_before_who_waits(tmp_path, spelling):
    memory = Memory(tmp_path, spelling)
    with start(tmp_path, 1) as process:
        while not someone_waits(tmp_path):
            time.sleep(0.02)
        assert process.stdin is not None
        memory.close()
        threading.Timer(0.3, process.stdin.close).start()
        with Memory(tmp_path, spelling, wait_seconds=20.0) as again:
            assert [record.text for record in again.records()] == ["claim 0"]


def someone_waits(folder: Path) -> bool:
    with (folder / "vesalius.turn").open() as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_one_process_may_open_a_folder_twice_and_holds_it_until_both_close(tmp_path, spelling, claim):
    first, second = Memory(tmp_path, spelling), Memory(f"{tmp_path}/../{tmp_path.name}", spelling)
    second.remember([claim()])
    assert first.status().counts["claims"] == 1
    first.close()
    with start(tmp_path, 0) as process:
        time.sleep(0.1)
        second.remember([claim("another")])
        second.close()
        assert read_line(process) == "open"
        process.communicate("")


def test_threads_may_share_a_memory(tmp_path, spelling, claim):
    with Memory(tmp_path, spelling) as memory:
        texts = [f"claim {i}" for i in range(24)]
        threads = [
            threading.Thread(target=lambda part=part: [memory.remember([claim(text)]) for text in part])
            for part in (texts[:8], texts[8:16], texts[16:])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {record.text for record in memory.records()} == set(texts)


def test_a_forked_child_is_refused_rather_than_left_hanging(tmp_path, spelling):
    code = (
        "import os, sys\n"
        "from vesalius.memory import HashingEmbedder, Memory, RememberError\n"
        "memory = Memory(sys.argv[1], HashingEmbedder())\n"
        "if os.fork() == 0:\n"
        "    refused = 0\n"
        "    for attempt in (memory.status, lambda: Memory(sys.argv[1], HashingEmbedder())):\n"
        "        try: attempt()\n"
        "        except RememberError as error: refused += 'spawn' in error.mend\n"
        "    memory.close()\n"
        "    os._exit(refused)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]), memory.status().counts['claims'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["2", "0"], done.stderr


def test_a_memory_nobody_closed_is_let_go_when_it_is_collected(tmp_path, spelling):
    memory = Memory(tmp_path, spelling)
    del memory
    with start(tmp_path, 0) as process:
        assert read_line(process) == "open"
        process.communicate("")
        assert process.wait() == 0
