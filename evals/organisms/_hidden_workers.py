"""Work shared out among processes that end with whoever started them, however that ends.

One job after the other goes to whichever process is free. An error or Ctrl-C ends all of them at once: what they were
doing is lost, what was done before is there.
"""

import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from ...agent.processes import Running, end_with_parent, processes
from ...tools import ToolError


def shared_out(do: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int) -> Generator[Any, None, None]:
    """What `do` makes of each job's arguments, in the order in which they are done.

    Close it where it is left early: `contextlib.closing`.

    Raises:
        ToolError: what `do` raised, or a process ended in the middle of a job.
    """
    if min(workers, len(jobs)) <= 1:
        yield from (do(*job) for job in jobs)
        return
    team = _team(do, min(workers, len(jobs)))
    left = list(jobs)
    try:
        for connection in team:
            connection.send(left.pop(0))
        busy = list(team)
        while busy:
            for connection in wait(busy):
                assert isinstance(connection, Connection), connection
                found = _answer(connection, team[connection])
                if left:
                    connection.send(left.pop(0))
                else:
                    busy.remove(connection)
                yield found
    finally:
        for process in team.values():
            process.terminate()
        for connection, process in team.items():
            process.join()
            connection.close()


def _team(do: Callable[..., Any], size: int) -> dict[Connection, Running]:
    start = processes(_work, do)
    with _no_keyboard():
        return dict(start(str(number)) for number in range(size))


@contextmanager
def _no_keyboard() -> Iterator[None]:
    """Processes started now do not hear Ctrl-C from their first moment on, not just from when they can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _answer(connection: Connection, process: Running) -> Any:
    try:
        how, found = connection.recv()
    except (EOFError, ConnectionResetError) as error:
        raise ToolError(
            "A process that worked ended in the middle of its work: killed from outside, or out of memory.",
            mend="Run the same again: it goes on after what is done.",
        ) from error
    if how == "refused":
        raise ToolError(*found)
    assert how == "done", f"our own mistake, in another process:\n{found}"
    return found


def _work(connection: Connection, do: Callable[..., Any], _: str) -> None:
    end_with_parent()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            told = "done", do(*job)
        except ToolError as error:
            told = "refused", (error.message, error.mend)
        except Exception:  # told in the process that asked: here nobody reads it
            told = "failed", traceback.format_exc()
        connection.send(told)
