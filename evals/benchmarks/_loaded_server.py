"""A server as a person starts it, and people who use it: readers who open page after page, and askers."""

import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ...tools import ToolError

STARTS_WITHIN = 60.0  # seconds
ANSWER_WITHIN = 30.0  # seconds; a request that takes longer is an error
THINKS = (0.5, 1.5)  # seconds that a reader looks at a page
SHARED = ("style.css", "dom.js", "api.js", "prose.js")


class Seen(NamedTuple):
    """One answer."""

    kind: str
    seconds: float
    error: str  # empty where there was none


@contextmanager
def running_server(home: Path) -> Iterator[int]:
    """The port of a server of a home, in a process of its own.

    Raises:
        ToolError: it does not start.
    """
    command = [sys.executable, "-m", "vesalius.agent", "serve", "--port", "0", "--home", str(home), "--device", "cpu"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            if found is None:
                said.seek(0)
                raise ToolError(f"The server did not start: {said.read().strip()}", mend="Run: vesalius serve")
            yield int(found[1])
        finally:
            process.terminate()
            process.wait(STARTS_WITHIN)
            process.stdout.close()


class Client:
    """One person's connection to the server, which notes how long each answer takes."""

    def __init__(self, port: int) -> None:
        self._port, self._csrf = port, ""
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN)
        self.seen: list[Seen] = []

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def get(self, path: str, kind: str) -> bytes:
        """What a path answers; empty where it was an error, which is noted."""
        return self._ask("GET", path, kind, None)

    def post(self, path: str, body: Any, kind: str) -> dict[str, Any]:
        """What a change answers; empty where it was an error, which is noted."""
        if not self._csrf:
            self._csrf = json.loads(self.get("/api/session", "data"))["csrf"]
        answer = self._ask("POST", path, kind, json.dumps(body))
        return json.loads(answer) if answer else {}

    def _ask(self, method: str, path: str, kind: str, body: str | None) -> bytes:
        headers = {"content-type": "application/json", "x-vesalius-csrf": self._csrf} if body is not None else {}
        started = time.perf_counter()
        try:
            self._line.request(method, path, body, headers)
            answer = self._line.getresponse()
            read, error = answer.read(), "" if answer.status < 400 else f"{answer.status} {method} {path}"
        except (OSError, http.client.HTTPException) as failed:
            read, error = b"", f"{type(failed).__name__} {method} {path}"
            self._line.close()
        self.seen.append(Seen(kind, time.perf_counter() - started, error))
        return b"" if error else read


def read_pages(client: Client, run: str, random: Random, is_over: Callable[[], bool]) -> None:
    """Open the list, a report and measurements of it, over and over, with all that their pages load."""
    for name in SHARED:
        client.get(f"/static/{name}", "static")
    while not is_over():
        client.get("/", "page")
        client.get("/api/runs?most=50", "data")
        _look(random, is_over)
        client.get(f"/runs/{run}", "page")
        shown = client.get(f"/api/runs/{run}/shown", "data")
        client.get(f"/api/runs/{run}/reviews", "data")
        if not shown:
            continue
        ids = [one["id"] for one in json.loads(shown)["measurements"]]
        for name in random.sample(ids, 3):
            _look(random, is_over)
            client.get(f"/api/runs/{run}/measurements/{name}", "data")
        _look(random, is_over)


def _look(random: Random, is_over: Callable[[], bool]) -> None:
    until = time.monotonic() + random.uniform(*THINKS)
    while time.monotonic() < until and not is_over():
        time.sleep(0.05)


def ask_questions(client: Client, questions: list[str], is_over: Callable[[], bool]) -> list[str]:
    """Ask in a chat, one question after the other, until the time is over; returns runs that were answered."""
    chat = client.post("/api/chats", {"model": "atlas"}, "data").get("name")
    answered: list[str] = []
    for question in questions:
        if is_over() or not chat:
            break
        job = client.post(f"/api/chats/{chat}/messages", {"said": question}, "data")
        while job and job["state"] not in ("done", "failed", "stopped"):
            if is_over():
                client.post(f"/api/jobs/{job['handle']}/stop", None, "data")
                return answered
            time.sleep(0.5)
            told = client.get(f"/api/jobs/{job['handle']}", "data")
            job = json.loads(told) if told else {}
        if job.get("reply") and job["reply"]["kind"] == "investigated":
            answered.append(job["reply"]["run"])
        elif job:
            client.seen.append(Seen("data", 0.0, f"a question was not answered: {job}"))
    return answered


def together(works: list[Callable[[], Any]]) -> list[Any]:
    """What several people come to who act at the same time."""
    found: list[Any] = [None] * len(works)

    def do(place: int) -> None:
        found[place] = works[place]()

    threads = [threading.Thread(target=do, args=(place,), daemon=True) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
