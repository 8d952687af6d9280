"""Audits as a person runs them: `vesalius audit run` in a process of its own, timed, watched, and killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...agent.audit.store import Store
from ...tools import ToolError

SOON, LOOKS = 600.0, 0.2  # seconds
NOT_MET = 1  # exit status where a cell fails by the policy


@dataclass
class AuditRun:
    """One run of an audit's spec in a home.

    Args:
        spec: file of the spec.
        home: folder of its runs.
        more: options of the command.
    """

    spec: Path
    home: Path
    more: Sequence[str] = ()
    process: subprocess.Popen[str] = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "vesalius.agent", "audit", "run", str(self.spec), "--home", str(self.home)]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "--device", "cpu", *self.more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @property
    def store(self) -> Store:
        """What came of it so far."""
        return Store(self.home, self.spec.stem)

    def ended(self) -> float:
        """Wait for its end: how long it took (seconds).

        Raises:
            ToolError: it ended in an error.
        """
        _, said = self.process.communicate()
        took = time.monotonic() - self.began
        if self.process.returncode not in (0, NOT_MET):
            raise ToolError(f"The audit {self.spec.stem} ended with {self.process.returncode}: {said}", mend="")
        return took

    def done(self) -> int:
        """Cells that are done (count)."""
        return len(self.store.seconds())

    def until(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so.

        Raises:
            ToolError: the audit ended before.
        """
        until = time.monotonic() + SOON
        while not is_so():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise ToolError(f"The audit {self.spec.stem} ended before it could be disturbed.", mend="")
            time.sleep(LOOKS)

    def kill(self) -> None:
        """SIGKILL the driver, and wait for its workers to see it."""
        left = descendants(self.process.pid)
        self.process.kill()
        self.process.communicate()
        until = time.monotonic() + SOON
        while any(_is_there(pid) for pid in left) and time.monotonic() < until:
            time.sleep(LOOKS)

    def table(self) -> bytes:
        """The table, to the byte."""
        return (self.store.path / "table.jsonl").read_bytes()

    def rows(self) -> list[dict[str, Any]]:
        """The table's rows."""
        return [json.loads(line) for line in self.table().splitlines()]


def write_spec(folder: Path, name: str, **spec: Any) -> Path:
    """A spec's file, called as the audit is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"audit": name, **spec}, sort_keys=False), encoding="utf-8")
    return path


def tools_seconds(home: Path) -> float:
    """What instruments took in all runs of a home, by their own clocks (seconds)."""
    return sum(json.loads(path.read_text())["seconds"] for path in home.glob("runs/*/measurements/*.json"))


class Watch(threading.Thread):
    """Looks at the memory of a process and of all below it, until it ends.

    Args:
        process: whose tree.
        every: between two looks (seconds).
    """

    def __init__(self, process: subprocess.Popen[str], every: float) -> None:
        super().__init__(daemon=True)
        self._process, self._every = process, every
        self.bytes: list[int] = []
        self.start()

    def run(self) -> None:
        while self._process.poll() is None:
            self.bytes.append(sum(map(_resident, (self._process.pid, *descendants(self._process.pid)))))
            time.sleep(self._every)


def descendants(pid: int) -> list[int]:
    """Every process below one; Linux alone tells."""
    found = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return found


def kill_one(pids: Sequence[int], named: bytes) -> bool:
    """SIGKILL the first of some processes whose command line holds these letters; whether there was one."""
    for pid in pids:
        try:
            if named in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                return True
        except OSError:
            continue  # it has ended
    return False


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, task.read_text().split())
        except OSError:
            continue  # it has ended


def _resident(pid: int) -> int:
    """Bytes in memory that are this process's own, so that pages shared by several count once or not at all."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
