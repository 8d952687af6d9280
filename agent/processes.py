"""Workers as processes of their own, each with a line to whoever started it."""

import multiprocessing
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
