"""A worker's place: its process, the line to it, and the thread that listens."""

import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..processes import Running
from .hearing import write_unheard
from .job import Job
from .orders import Hear

if TYPE_CHECKING:
    from .pool import Pool

MOST_STARTS = 3  # of one order with nothing new: a worker that dies of it each time is not given it again
LAST_WORDS = 1.0  # seconds for a process to end


class Slot:
    """Room for one worker, and the thread that listens to it."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.model, self.job = "", None
        self._connection: Connection | None = None
        self._running: Running | None = None
        self._sending = Lock()
        self._words: SimpleQueue[tuple[Connection, dict[str, Any]] | None] = SimpleQueue()

    model: str
    job: Job | None

    @property
    def held(self) -> str:
        """The model that it has, or is about to have: once it takes a job, nobody else takes another of that model."""
        return self.model if self.job is None else self.job.order.model

    def serve(self) -> None:
        """Have jobs done until the server ends."""
        while (job := self._pool.take(self)) is not None:
            outcome = self._done(job)
            if outcome is None:  # the server ends, and the job is done after the next start
                return
            if isinstance(job.order.work, Hear) and (error := outcome.get("error")):
                write_unheard(self._pool.home, job.order.work, job.handle, error)
            self._pool.finish(self, job, outcome)

    def tell(self, word: dict[str, Any]) -> None:
        """Say something to the worker, which hears it when it can; one that is just dying hears nothing."""
        if (connection := self._connection) is not None:
            self._words.put((connection, word))

    def pass_on(self) -> None:
        """Send what is said until the server ends: a worker that does not listen keeps nobody else waiting."""
        while (told := self._words.get()) is not None:
            connection, word = told
            with self._sending, suppress(OSError):
                connection.send(word)

    def end(self) -> None:
        """End the worker; who listens to it hears that."""
        if (running := self._running) is not None:
            running.terminate()
        if self._pool.is_closing:
            self._words.put(None)

    def _hang_up(self) -> None:
        """End the worker and let go of it; only who listens may, for another would close what is being read."""
        self.end()
        with self._sending:
            connection, running = self._connection, self._running
            self._connection, self._running = None, None
            if connection is not None:
                connection.close()
        if running is not None:
            running.join(LAST_WORDS)

    def _done(self, job: Job) -> dict[str, Any] | None:
        deaths = 0
        while deaths < MOST_STARTS:
            known = job.steps_done
            try:
                self._ready(job)
                outcome = self._listen(job)
            except (EOFError, OSError) as error:
                self._hang_up()
                self.model = ""
                if self._pool.is_closing:
                    return None
                if job.is_stopping:
                    return {"ended": "stopped"}
                sys.stderr.write(f"The worker of {job.order.model} ended in {job.handle} ({type(error).__name__}).\n")
                deaths = 1 if job.steps_done > known else deaths + 1
                if deaths < MOST_STARTS:
                    job.note({"event": "notice", "text": "The worker died and is started again; the work goes on."})
                continue
            return outcome
        return {"ended": "failed", "error": f"Its worker died {MOST_STARTS} times; the server's terminal may say why."}

    def _ready(self, job: Job) -> None:
        """A worker that has the job's model, and has been told what to do."""
        model = job.order.model
        if self.model != model or self._running is None or not self._running.is_alive():
            self._hang_up()
            self.model = model
            started = self._pool.started(model)
            with self._sending:
                self._connection, self._running = started
        with self._pool.changed:
            job.begin()
            self.tell({"order": job.order.model_dump(mode="json"), "stint": job.stint})
            for word in job.words:
                self.tell({"job": job.handle, "stint": job.stint, **word})
            if job.is_stopping:  # said before there was anybody to hear it
                self.tell({"stop": job.handle})

    def _listen(self, job: Job) -> dict[str, Any]:
        """What came of the job; what happens meanwhile is noted with it."""
        while True:
            connection = self._connection
            if connection is None:
                raise EOFError
            message = connection.recv()
            if message["job"] != job.handle:
                continue
            if "event" in message:
                job.note(message["event"])
            elif "step" in message:
                job.step = message["step"]
            else:
                return message
