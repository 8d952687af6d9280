"""The workers: one process for each model that is worked on, an order at a time, in the order they came.

A worker that dies is started again and its order given again; what it had measured is on disk. A model that nobody
asks about makes room for one that somebody does.
"""

from multiprocessing.connection import Connection
from threading import Condition, Thread
from typing import Any

from ...tools import ToolError
from ..processes import Running, Start
from .job import Job
from .orders import Order, Work
from .problems import NotHere, TooMany
from .slot import LAST_WORDS, Slot
from .waiting_line import WaitingLine

MOST_WORKERS = 2  # models in memory
MOST_WAITING = 32
MOST_KEPT = 100  # ended jobs that can still be asked for
MOST_WORDS = 200  # of a person about one job, since it last waited


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
        self._slots = [Slot(self) for _ in range(most)]
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

    def take(self, slot: Slot) -> Job | None:
        """The next job for a worker, once there is one; none when the server ends."""
        with self.changed:
            while not self._closing:
                if (job := next((one for one in self._waiting if self._is_for(slot, one)), None)) is not None:
                    self._waiting.remove(job)
                    slot.job = job
                    return job
                self.changed.wait()
            return None

    def _is_for(self, slot: Slot, job: Job) -> bool:
        """Whether a worker that is free is the one for a job: who has its model; else who has none; else any."""
        holder = next((one for one in self._slots if one.held == job.order.model), None)
        if holder is not None:
            return holder is slot
        is_empty_elsewhere = any(one.model == "" and one.job is None for one in self._slots if one is not slot)
        return slot.model == "" or not is_empty_elsewhere

    def finish(self, slot: Slot, job: Job, outcome: dict[str, Any]) -> None:
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
