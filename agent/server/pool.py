"""The workers: one process for each model that is worked on, an order at a time, in the order they came.

A worker that dies is started again and its order given again; what it had measured is on disk. A model that nobody
asks about makes room for one that somebody does.
"""

import multiprocessing
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from typing import Any, Protocol, runtime_checkable

from ...tools import ToolError
from .hearing import write_unheard
from .job import Job
from .orders import Hear, Order, Work
from .problems import NotHere, TooMany
from .waiting_line import WaitingLine

MOST_WORKERS = 2  # models in memory
MOST_WAITING = 32
MOST_KEPT = 100  # ended jobs that can still be asked for
MOST_WORDS = 200  # of a person about one job, since it last waited
MOST_STARTS = 3  # of one order with nothing new: a worker that dies of it each time is not given it again
LAST_WORDS = 1.0  # seconds for a process to end


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


class Pool:
    """Takes orders, has workers do them, and knows of each where it stands.

    Args:
        start: starts the worker of a model.
        line: orders on disk.
        most: workers at a time.
    """

    def __init__(self, start: Start, line: WaitingLine, most: int = MOST_WORKERS) -> None:
        self._start, self._line, self.home = start, line, line.home
        self.changed = Condition()
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._closing = False
        self.is_leaving = False  # whether the server takes leave: nobody is told of what happens any more
        self._slots = [_Slot(self) for _ in range(most)]
        for order in line.left():
            self._put(Job(order))
        self._threads = [Thread(target=slot.serve, name="worker", daemon=True) for slot in self._slots]
        self._threads += [Thread(target=slot.pass_on, name="words", daemon=True) for slot in self._slots]
        for thread in self._threads:
            thread.start()

    def submit(self, model: str, work: Work) -> Job:
        """Put work in the queue of a model; a message is on disk when this returns.

        Raises:
            TooMany: the queue is full.
        """
        order = Order(handle=self._line.handle(), model=model, work=work)
        with self.changed:
            if len(self._waiting) >= MOST_WAITING:
                raise TooMany(f"{len(self._waiting)} orders wait already.", mend="Wait until one has ended.")
            if order.outlives_the_server:
                self._line.keep(order)
            return self._put(Job(order))

    def _put(self, job: Job) -> Job:
        with self.changed:
            self._jobs[job.handle] = job
            self._waiting.append(job)
            ended = [one for one in self._jobs.values() if one.ended]
            for old in ended[: max(0, len(ended) - MOST_KEPT)]:
                del self._jobs[old.handle]
            self.changed.notify_all()
            return job

    def job(self, handle: str) -> Job:
        """The job of that handle.

        Raises:
            NotHere: there is none, or none any more.
        """
        job = self._jobs.get(handle)
        if job is None:
            raise NotHere(f"There is no job {handle!r}.", mend="The server has forgotten it; what it measured is kept.")
        return job

    def all(self) -> list[Job]:
        """Every job that is known, oldest first."""
        with self.changed:
            return list(self._jobs.values())

    def ahead(self, job: Job) -> int:
        """Orders about the same model that come before it (count); none once it runs."""
        with self.changed:
            if job not in self._waiting:
                return 0
            before = self._waiting[: self._waiting.index(job)]
            running = [slot.job for slot in self._slots if slot.job is not None]
            same = [one for one in (*before, *running) if one.order.model == job.order.model]
            is_free = any(slot.job is None for slot in self._slots)
            return len(same) if same or is_free else len(before) + 1

    def stop(self, handle: str) -> Job:
        """Tell a job to stop: at once where it waits, else where it next says how far it is.

        A server that is killed before it has stopped does not take it up again.

        Raises:
            NotHere: there is none of that handle.
        """
        job = self.job(handle)
        with self.changed:
            if job in self._waiting or job.is_parked:
                if job in self._waiting:
                    self._waiting.remove(job)
                self._end(job, {"ended": "stopped"})
                return job
            job.is_stopping = True
            self._line.done(handle)
            self._pass_on(job, {"stop": handle})
        return job

    def tell(self, job: Job, word: dict[str, Any]) -> None:
        """Pass a person's word on to who does a job; one that waits for it goes on.

        Raises:
            ToolError: it has ended.
            TooMany: more was said than is listened to.
        """
        with self.changed:
            if job.ended:
                raise ToolError(f"{job.handle} has ended.", mend="Ask again, or go on with its run: /resume.")
            if len(job.words) >= MOST_WORDS:
                raise TooMany(f"{len(job.words)} words about it wait already.", mend="Wait until they were heard.")
            if word.get("key", job.waits_for) != job.waits_for:  # nobody was shown it yet, or it has passed
                job.note({"event": "not_taken", "text": "The run does not wait for that word."})
                return
            job.words.append(word)
            if job.is_parked:
                self._go_on(job)
            else:
                self._pass_on(job, {"job": job.handle, "stint": job.stint, **word})

    def _go_on(self, job: Job) -> None:
        job.is_parked = False
        self._waiting.append(job)
        self.changed.notify_all()

    def _pass_on(self, job: Job, word: dict[str, Any]) -> None:
        for slot in self._slots:
            if slot.job is job:
                slot.tell(word)

    def close(self) -> None:
        """End every worker; messages that were not done are done after the next start."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()
        for slot in self._slots:
            slot.end()
        for thread in self._threads:
            thread.join(LAST_WORDS)
        self._line.close()

    def take(self, slot: "_Slot") -> Job | None:
        """The next job for a worker, once there is one; none when the server ends."""
        with self.changed:
            while not self._closing:
                if (job := next((one for one in self._waiting if self._is_for(slot, one)), None)) is not None:
                    self._waiting.remove(job)
                    slot.job = job
                    return job
                self.changed.wait()
            return None

    def _is_for(self, slot: "_Slot", job: Job) -> bool:
        """Whether a worker that is free is the one for a job: who has its model; else who has none; else any."""
        holder = next((one for one in self._slots if one.held == job.order.model), None)
        if holder is not None:
            return holder is slot
        is_empty_elsewhere = any(one.model == "" and one.job is None for one in self._slots if one is not slot)
        return slot.model == "" or not is_empty_elsewhere

    def finish(self, slot: "_Slot", job: Job, outcome: dict[str, Any]) -> None:
        """Note what came of a job, or what it waits for, and that its worker is free."""
        with self.changed:
            slot.job = None
            if "parked" in outcome and job.is_stopping:  # said while it was about to wait
                self._end(job, {"ended": "stopped"})
            elif (waiting := outcome.get("parked")) is not None:
                job.is_parked = True
                job.words = job.words[outcome["heard"] :]
                if job.words:  # said while it was about to wait
                    self._go_on(job)
                else:
                    job.note({"event": "waiting", **waiting})
            else:
                self._end(job, outcome)
            self.changed.notify_all()

    def _end(self, job: Job, outcome: dict[str, Any]) -> None:
        job.is_parked = False
        job.end(outcome)
        self._line.done(job.handle)

    @property
    def is_closing(self) -> bool:
        """Whether the server ends."""
        return self._closing

    def started(self, model: str) -> tuple[Connection, Running]:
        """A new worker of a model."""
        return self._start(model)


class _Slot:
    """Room for one worker, and the thread that listens to it."""

    def __init__(self, pool: Pool) -> None:
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
            known = len(job.events(0))
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
                deaths = 1 if len(job.events(0)) > known else deaths + 1
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


def processes(target: Callable[..., None], *given: Any) -> Start:
    """Starts workers as processes of their own.

    Args:
        target: called there with a connection, `given`, and the model.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a server with threads may hold a lock for ever

    def start(model: str) -> tuple[Connection, BaseProcess]:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *given, model), daemon=True)
        process.start()
        theirs.close()
        return ours, process  # pyright: ignore[reportReturnType]  # a connection of another class on Windows alone

    return start
