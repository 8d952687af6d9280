"""Standard input and output, kept for the client alone.

Libraries print as they load, and one line of theirs would break the protocol: what anybody else writes to standard
output goes to standard error, and what anybody else reads from standard input is empty.
"""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import NamedTuple

import anyio

CHUNK = 65536


class Wire(NamedTuple):
    """Descriptors of what the client writes and reads."""

    inward: int
    outward: int


@contextmanager
def private_wire() -> Iterator[Wire]:
    """Take standard input and output out of everybody else's reach; they are not given back."""
    wire = Wire(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    yield wire


async def lines_from(descriptor: int) -> AsyncIterator[str]:
    """Lines as they come, until there are no more.

    A thread of ours reads, one that the end of the process does not wait for: a reader that waits for a client's next
    line could be stopped by no interrupt.
    """
    # Without bound, so that nothing waits to be sent when the loop is closed under it.
    send, receive = anyio.create_memory_object_stream[bytes](math.inf)
    loop = asyncio.get_running_loop()

    def pass_on(chunk: bytes) -> None:
        with suppress(anyio.BrokenResourceError):  # whoever took lines was cancelled meanwhile
            send.send_nowait(chunk)

    def read() -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            while chunk := os.read(descriptor, CHUNK):
                loop.call_soon_threadsafe(pass_on, chunk)
            loop.call_soon_threadsafe(send.close)

    Thread(target=read, name="client", daemon=True).start()
    rest = b""
    async with receive:
        async for chunk in receive:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", errors="replace")
