"""Opening a chromadb store: a folder that one process owns at a time, or a server by URL.

Two processes on one folder lose nothing that they write, but a reader in one goes stale or fails when the other writes
(chromadb 1.5.9, measured), so a lock file lets one in at a time. A second one is whose turn is next: without it a
process that closes and opens again at once is always there before those that wait. A server by URL takes as many as
come.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from ._errors import RememberError

# Named for the type checker only: importing chromadb takes half a second, spent when a store is opened.
if TYPE_CHECKING:
    from chromadb.api.client import Client
else:
    Client = Any

LOCK_NAME = "vesalius.lock"
TURN_NAME = "vesalius.turn"
POLL_SECONDS = 0.05
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 30.0
DEFAULT_PORT = 8000
SEVERAL = "For several processes run `chroma run --path FOLDER` and give its URL instead of the folder."


def is_url(location: Path | str) -> bool:
    """Whether a location names a server rather than a folder."""
    return isinstance(location, str) and "://" in location


@contextmanager
def opened(location: Path | str, wait_seconds: float) -> Iterator[Client]:
    """A client for the length of a `with` block.

    Args:
        location: A folder, made if absent, or the URL of a chromadb server.
        wait_seconds: How long to wait for another process that has the folder.

    Raises:
        RememberError: the folder is taken, unusable or no store; the URL is malformed or no chromadb server answers.
    """
    if is_url(location):
        with _server(str(location)) as client:
            yield client
        return
    folder = Path(location).expanduser().resolve()
    with _owned(folder, wait_seconds), _embedded(folder) as client:
        yield client


@contextmanager
def plain_errors(location: Path | str) -> Iterator[None]:
    """Turn what chromadb and its connection raise into a `RememberError`."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except httpx.HTTPError as error:
        raise _no_answer(str(location), error) from error
    except ChromaError as error:
        raise RememberError(
            f"The memory at {location} failed: {error}.",
            mend="If it says so again, move that store aside and start with a new one.",
        ) from error


def _settings() -> Any:
    from chromadb.config import Settings

    # No `.env` file: one that happens to lie in the working folder is not meant for this store.
    return Settings(anonymized_telemetry=False, _env_file=None)  # pyright: ignore[reportCallIssue]


@contextmanager
def _embedded(folder: Path) -> Iterator[Client]:
    import chromadb
    from chromadb.api.client import Client

    with plain_errors(folder):
        client = chromadb.PersistentClient(str(folder), settings=_settings())
    assert isinstance(client, Client), type(client)  # its declared type has no `close`
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _server(url: str) -> Iterator[Client]:
    import chromadb
    import httpx
    from chromadb.api.client import Client

    parts, port = _parsed(url)
    assert parts.hostname is not None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    _greet(f"{parts.scheme}://{host}:{port}", url)
    try:
        client = chromadb.HttpClient(host, port, ssl=parts.scheme == "https", settings=_settings())
    except ValueError as error:  # what chromadb makes of a failed connection
        raise _no_answer(url, error) from error
    assert isinstance(client, Client), type(client)
    # chromadb sets no time limit and leaves its connections open at the end, and has no setting for either. Its
    # administrative half keeps a session of its own.
    sessions: list[httpx.Client] = [half._server._session for half in (client, client._admin_client)]  # pyright: ignore[reportAttributeAccessIssue]
    for session in sessions:
        session.timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        yield client
    finally:
        client.close()
        for session in sessions:
            session.close()


def _parsed(url: str) -> tuple[SplitResult, int]:
    mend = "Give http://HOST:PORT or https://HOST:PORT, or the path of a folder."
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else DEFAULT_PORT)
    except ValueError as error:
        raise RememberError(f"The memory's URL cannot be read: {error}.", mend=mend) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RememberError(f"`{parts.scheme}://{parts.hostname or ''}` names no memory server.", mend=mend)
    if parts.username or parts.password or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise RememberError("The memory's URL holds more than a host and a port.", mend=mend)
    return parts, port


def _greet(base: str, url: str) -> None:
    """See that a chromadb server answers, with a time limit, before a client without one is made."""
    import httpx

    try:
        answer = httpx.get(f"{base}/api/v2/heartbeat", timeout=CONNECT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _no_answer(url, error) from error
    if answer.status_code != httpx.codes.OK or "nanosecond heartbeat" not in answer.text:
        raise RememberError(
            f"What answers at {url} (status {answer.status_code}) is no chromadb server.",
            mend="Give the URL of one: `chroma run --path FOLDER --port PORT`.",
        )


def _no_answer(url: str, error: Exception) -> RememberError:
    return RememberError(
        f"The memory server at {url} does not answer: {str(error) or type(error).__name__}.",
        mend="Start it with `chroma run --path FOLDER --port PORT`, or give a folder instead of a URL.",
    )


@dataclass
class _Held:
    descriptor: int
    process: int
    users: int


# By process, not by store object: chromadb shares one system per folder, and a POSIX lock belongs to the process.
_HELD: dict[Path, _Held] = {}
_HELD_GUARD = threading.Lock()


@contextmanager
def _owned(folder: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the folder's lock. Opening again in the same process shares it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _wait_for(folder, wait_seconds)
    except OSError as error:
        raise RememberError(
            f"The folder {folder} cannot hold a memory: {error.strerror}.", mend="Give a folder that you may write to."
        ) from error
    try:
        yield
    finally:
        _leave(folder)


def _wait_for(folder: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    turn = os.open(folder / TURN_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        is_next = False
        while True:
            is_next = is_next or _is_next(turn)
            owner = _take(folder, is_next)
            if owner is None:
                return
            if time.monotonic() >= deadline:
                raise RememberError(
                    f"The memory in {folder} is in use by {owner}; waited {wait_seconds:g} s.",
                    mend=f"Wait for it to end. {SEVERAL}",
                )
            time.sleep(POLL_SECONDS)
    finally:
        os.close(turn)  # and the next in line may try


def _is_next(turn: int) -> bool:
    # `flock`, which belongs to the open file: threads of one process stand in line one by one.
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take(folder: Path, is_next: bool) -> str | None:
    """Take the lock, or say who has it; without being next, only share what this process has already."""
    with _HELD_GUARD:
        held = _HELD.get(folder)
        if held is not None:
            refuse_forked(held.process, folder)
            held.users += 1
            return None
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not is_next:
                raise BlockingIOError(errno.EAGAIN, "others wait already")
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            number = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return f"process {number}" if number.isdigit() else "another process"
            raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        _HELD[folder] = _Held(descriptor, os.getpid(), users=1)
        return None


def _leave(folder: Path) -> None:
    with _HELD_GUARD:
        held = _HELD[folder]
        held.users -= 1
        if held.users == 0:
            del _HELD[folder]
            os.close(held.descriptor)  # and with it the lock


def refuse_forked(opened_by: int, location: Path | str) -> None:
    """A store's threads do not survive a fork, and using it without them hangs.

    Raises:
        RememberError: this process was forked from the one that opened the store.
    """
    if opened_by != os.getpid():
        raise RememberError(
            f"The memory at {location} was opened by process {opened_by}, before this one was forked from it.",
            mend="Open it in one process, after starting workers, or start them by `spawn`.",
        )
