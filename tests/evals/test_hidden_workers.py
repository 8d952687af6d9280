"""Work shared out: all of it is done, trouble is told, and no process outlives whoever started it."""

import functools
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from vesalius.evals.organisms._hidden_workers import shared_out
from vesalius.evals.organisms._interchange_folder import refuse_existing
from vesalius.tools import ToolError

HEED = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
SLEEPING = """
import multiprocessing, time
from vesalius.evals.organisms._hidden_workers import shared_out
if __name__ == "__main__":
    for _ in shared_out(time.sleep, [(0.01,), (0.01,), (600,), (600,)], 2):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def no_more() -> bool:
    """Whether all processes that this one started have ended."""
    return not multiprocessing.active_children()


def runs(pid: int) -> bool:
    """Whether a process does; one that has ended and was not fetched does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_is_done_once(workers):
    found = list(shared_out(pow, [(2, n) for n in range(7)], workers))
    assert sorted(found) == [1, 2, 4, 8, 16, 32, 64]
    assert no_more()


def test_several_jobs_are_done_by_other_processes():
    assert os.getpid() not in set(shared_out(os.getpid, [(), (), ()], 2))
    assert set(shared_out(os.getpid, [(), ()], 1)) == {os.getpid()}


def test_a_refusal_comes_back_with_its_mend_and_ends_the_others(tmp_path):
    with pytest.raises(ToolError, match="exists") as raised:
        list(shared_out(refuse_existing, [(tmp_path,), (tmp_path,), (tmp_path,)], 2))
    assert "Pass a folder that does not" in raised.value.mend
    assert no_more()


def test_our_own_mistake_comes_back_with_where_it_was_made():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        list(shared_out(operator.truediv, [(1, 1), (1, 0)], 2))
    assert no_more()


def test_a_process_that_is_killed_is_told_and_not_waited_for():
    with pytest.raises(ToolError, match="Run the same again"):
        list(shared_out(os._exit, [(9,), (9,)], 2))
    assert no_more()


def test_work_that_is_left_early_is_ended_at_once():
    began = time.monotonic()
    with closing(shared_out(time.sleep, [(0.01,), (600,), (600,)], 2)) as done:
        next(done)
    assert no_more()
    assert time.monotonic() - began < 60


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize(("how", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, -2)])
def test_workers_end_with_a_parent_that_is_killed_ended_or_stopped(how, status, tmp_path):
    script = tmp_path / "sleeping.py"
    script.write_text(SLEEPING)
    started = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=HEED,
        start_new_session=True,
    )
    assert started.stdout is not None
    children = [int(pid) for pid in started.stdout.readline().split()]
    started.stdout.readline()
    assert len(children) == 2
    assert all(map(runs, children))
    # A terminal sends Ctrl-C to all processes of a command.
    (os.killpg if how == signal.SIGINT else os.kill)(started.pid, how)
    assert started.wait(10) in (status, 130)
    until = time.monotonic() + 10
    while any(map(runs, children)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in children if runs(pid)]
    told = started.stderr.read().decode()
    assert told.count("Traceback") == (1 if how == signal.SIGINT else 0)  # the parent's own alone
    started.stdout.close()
    started.stderr.close()
