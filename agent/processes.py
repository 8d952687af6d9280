"""Workers as processes of their own, each with a line to whoever started it."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Running(Protocol):
    """A worker that runs: its process, or what stands for one."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        ...

    def terminate(self) -> None:
        """End it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has."""


Start = Callable[[str], tuple[Connection, Running]]
"""Starts the worker of a model."""


def processes(target: Callable[..., None], *given: Any) -> Start:
    """Starts workers as processes of their own.

    Args:
        target: called there with a connection, `given`, and the model.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hold a lock for ever

    def start(model: str) -> tuple[Connection, BaseProcess]:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *given, model), daemon=True)
        process.start()
        theirs.close()
        return ours, process  # pyright: ignore[reportReturnType]  # a connection of another class on Windows alone

    return start


def end_with_parent() -> None:
    """Of a worker: no keyboard reaches it, and it ends when whoever started it has, also one that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "no process started this one, so it has none to end with"
    assert parent.pid is not None, parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Its number as it was at the start: a parent that has gone since is not mistaken for whoever took its place.
    threading.Thread(target=_end_with, args=(parent.pid,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)
