"""The page's server inside a test, and what a browser sends it."""

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from vesalius.agent.processes import Start, processes
from vesalius.agent.server.access import Access, access_for
from vesalius.agent.server.app import make_app
from vesalius.agent.server.guard import CSRF_HEADER
from vesalius.agent.server.pool import Pool
from vesalius.agent.server.waiting_line import WaitingLine
from vesalius.agent.server.worker import Load, process, work
from vesalius.agent.settings import Settings, read_settings

HERE = "http://127.0.0.1:8765"
HOSTILE = "<script>document.title='owned'</script> [x](javascript:alert(1)) \u202egnp.exe"


class Served:
    """A client of a server, that does what the page does."""

    def __init__(self, client: TestClient, access: Access, home: Path, pool: Pool) -> None:
        self.client, self.access, self.home, self.pool = client, access, home, pool

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.client.get(path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 201, **headers: str) -> Any:
        sent = {CSRF_HEADER: self.access.csrf, "origin": HERE} | headers
        answer = self.client.post(path, json=body, headers=sent)
        assert answer.status_code == status, answer.text
        return answer.json()

    def decide(self, decision: str, claim: str | None = "c1", status: int = 201, run: str = "done", **more: str) -> Any:
        digest = self.get(f"/api/runs/{run}/shown")["digest"]
        body = {"decision": decision, "claim": claim, "reviewer": "Ada", "report": digest} | more
        return self.post(f"/api/runs/{run}/reviews", body, status)


Starter = Callable[[Settings, Load], Start]
"""How workers are started."""


class InThisProcess:
    """A worker in a thread, for models that lie nowhere on disk; it ends where the line does."""

    def __init__(self, thread: threading.Thread, theirs: Connection) -> None:
        self._thread, self._theirs = thread, theirs

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def terminate(self) -> None:
        """Nothing ends a thread; the server is told that nobody is there."""
        with socket.socket(fileno=os.dup(self._theirs.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)


def threads(settings: Settings, load: Load) -> Start:
    """Starts workers as threads of this process."""

    def start(model: str) -> tuple[Connection, InThisProcess]:
        ours, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=work, args=(theirs, settings, model, load), daemon=True)
        thread.start()
        return ours, InThisProcess(thread, theirs)

    return start


def in_processes(settings: Settings, load: Load) -> Start:
    """Starts workers as the server does, each in a process of its own, which loads by itself."""
    return processes(process, settings)


def settings_of(home: Path, **given: Any) -> Settings:
    """Settings of a server of a home."""
    return read_settings(home=home, device="cpu", **given)


@contextmanager
def pool_of(settings: Settings, load: Load, start: Starter = threads) -> Iterator[Pool]:
    """The workers of a server."""
    pool = Pool(start(settings, load), WaitingLine(settings.home))
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def served(
    home: Path, load: Load, access: Access | None = None, start: Starter = threads, **settings: Any
) -> Iterator[Served]:
    """A server of a home."""
    access = access or access_for("127.0.0.1")
    given = settings_of(home, **settings)
    with pool_of(given, load, start) as pool:
        app = make_app(given, access, pool)
        with TestClient(app, base_url=HERE, follow_redirects=False) as client:
            yield Served(client, access, home, pool)
