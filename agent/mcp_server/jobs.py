"""Jobs: work that takes longer than a client waits. One runs at a time, the others wait their turn; each has a handle.

What went wrong in a job stays with it until it is asked for: a mistake of ours ends that job and not the server.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import Any, Literal

from ...tools import ToolError

MOST_WAITING = 16
MOST_KEPT = 100  # finished jobs whose result can still be asked for
MOST_LINES = 8

State = Literal["queued", "running", "stopping", "done", "failed", "stopped"]
Plain = dict[str, Any]


class JobStopped(Exception):
    """Raised in a job that was told to stop, where it next says how far it is."""


class Job:
    """One piece of work: what it is about, how far it is, and what came of it.

    Args:
        about: what a client is told of it from the start; the work may add to it.
    """

    def __init__(self, handle: str, what: str, about: Plain) -> None:
        self.handle, self.what, self.about = handle, what, dict(about)
        self.lately: deque[str] = deque(maxlen=MOST_LINES)
        self.step: Plain | None = None
        self.future: Future[Plain]
        self._stop = Event()
        self._begun: float | None = None
        self._ended: float | None = None

    def progress(self, done: int, total: int, what: str) -> None:
        """Called by the work with how far it is.

        Raises:
            JobStopped: it was told to stop.
        """
        self.step = {"done": done, "total": total, "doing": what}
        self.refuse_to_go_on()

    def say(self, line: str) -> None:
        """Called by the work with something that happened."""
        self.lately.append(line)

    def refuse_to_go_on(self) -> None:
        """
        Raises:
            JobStopped: it was told to stop.
        """
        if self._stop.is_set():
            raise JobStopped(f"{self.handle} was stopped.")

    def stop(self) -> None:
        """Tell it to stop: at once where it has not begun, else where it next says how far it is."""
        self._stop.set()
        self.future.cancel()

    def run(self, work: "Callable[[Job], Plain]") -> Plain:
        """Do the work, and note when."""
        self._begun = time.monotonic()
        try:
            self.refuse_to_go_on()
            return work(self)
        finally:
            self._ended = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come of it."""
        return self.future.done()

    @property
    def state(self) -> State:
        """Where it stands."""
        if not self.future.done():
            if self._begun is None:
                return "queued"
            return "stopping" if self._stop.is_set() else "running"
        error = self.error
        return "done" if error is None else "stopped" if isinstance(error, JobStopped | CancelledError) else "failed"

    @property
    def error(self) -> BaseException | None:
        """What ended it, where it has ended otherwise than by being done."""
        return CancelledError() if self.future.cancelled() else self.future.exception()

    @property
    def seconds(self) -> float | None:
        """How long it has run; none before it begins."""
        if self._begun is None:
            return None
        return round((self._ended or time.monotonic()) - self._begun, 1)


class Jobs:
    """All jobs of a server, by handle."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job")
        self._jobs: dict[str, Job] = {}
        self._count = 0
        self._lock = Lock()

    def start(self, what: str, about: Plain, work: Callable[[Job], Plain]) -> Job:
        """Put work in the queue.

        Raises:
            ToolError: too many jobs wait.
        """
        with self._lock:
            waiting = [job for job in self._jobs.values() if not job.ended]
            if len(waiting) > MOST_WAITING:
                raise ToolError(
                    f"{len(waiting)} jobs are not done yet.", mend="Wait for one with job_status, or use stop_job."
                )
            self._count += 1
            job = Job(f"j{self._count}", what, about)
            job.future = self._worker.submit(job.run, work)
            self._jobs[job.handle] = job
            ended = [job for job in self._jobs.values() if job.ended]
            for old in ended[: max(0, len(ended) - MOST_KEPT)]:
                del self._jobs[old.handle]
            return job

    def get(self, handle: str) -> Job:
        """The job of that handle.

        Raises:
            ToolError: there is none, or none any more.
        """
        job = self._jobs.get(handle)
        if job is None:
            known = ", ".join(list(self._jobs)[-5:]) or "none yet"
            raise ToolError(f"There is no job {handle!r}.", mend=f"Newest jobs: {known}.")
        return job

    def all(self) -> list[Job]:
        """Every job that is known, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def ahead(self, job: Job) -> int:
        """Jobs that have to end before this one begins (count)."""
        if job.state != "queued":
            return 0
        before = self.all()
        return sum(not other.ended for other in before[: before.index(job)])

    def close(self, grace: float) -> bool:
        """Stop everything; whether it had all ended when the time was over.

        Args:
            grace: how long to wait for the job that is running (seconds).
        """
        jobs = self.all()
        for job in jobs:
            job.stop()
        self._worker.shutdown(wait=False, cancel_futures=True)
        return not wait([job.future for job in jobs if not job.ended], timeout=grace).not_done
