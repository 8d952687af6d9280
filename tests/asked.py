"""Asking a server, and waiting for what comes of it."""

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from served import Served

SOON = 60.0  # seconds
ANSWERS = {"hot": "cold", "big": "small", "fast": "slow", "high": "low", "hard": "soft", "wet": "dry", "light": "dark"}
PAIRS = [
    {"clean": f"the opposite of {a} is", "corrupted": f"the opposite of {b} is", "answer": ANSWERS[a], "foil": foil}
    for (a, _), (b, foil) in pairwise(ANSWERS.items())
]
WHERE = "Where is the opposite computed?"


def begun(page: Served, **settings: Any) -> str:
    """The name of a new chat about the reference model."""
    return page.post("/api/chats", {"model": "atlas", **settings})["name"]


def say(page: Served, chat: str, said: str, pairs: Any = (), status: int = 202) -> dict[str, Any]:
    """The job of a message."""
    return page.post(f"/api/chats/{chat}/messages", {"said": said, "pairs": list(pairs)}, status)


def events_of(page: Served, job: dict[str, Any], kind: str = "event") -> list[dict[str, Any]]:
    """What has happened in a job until its end, read as a browser reads it."""
    return [data for name, data in _streamed(page, job) if name == kind]


def _streamed(page: Served, job: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    text = page.client.get(f"/api/jobs/{job['handle']}/events").text
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in lines:
            yield lines["event"], json.loads(lines["data"])


def until(page: Served, job: dict[str, Any], event: str) -> None:
    """Wait until something has happened in a job."""
    from vesalius.agent.server.pool import Pool

    pool: Pool = page.pool
    deadline = time.monotonic() + SOON
    while not any(one["event"] == event for one in pool.job(job["handle"]).events(0)):
        assert time.monotonic() < deadline, f"{event} has not happened"
        assert not pool.job(job["handle"]).ended, page.get(f"/api/jobs/{job['handle']}")
        time.sleep(0.02)


def settled(page: Served, job: dict[str, Any]) -> dict[str, Any]:
    """A job that has come to its end, or waits for a person."""
    deadline = time.monotonic() + SOON
    while (job := page.get(f"/api/jobs/{job['handle']}"))["state"] not in ("waiting", "done", "failed", "stopped"):
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def ended(page: Served, job: dict[str, Any]) -> dict[str, Any]:
    """A job that has come to its end."""
    deadline = time.monotonic() + SOON
    while job["state"] not in ("done", "failed", "stopped"):
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
        job = page.get(f"/api/jobs/{job['handle']}")
    return job
