"""Runs an audit's cells in worker processes of this machine, one model resident in each.

One thread waits for all of them. What came of a cell is on disk before the next is given; a worker that dies is
replaced and its cell given again, and that goes on where its run stopped.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from pydantic import ValidationError

from ...tools import ToolError
from ..processes import Running, Start
from .cells import Cell
from .outcome import Outcome, blank
from .standing import ModelStanding, Pace, Standing, Tell
from .store import Store

MOST_STARTS = 3  # of one cell: a worker that dies of it each time is not given it again
LAST_WORDS = 5.0  # seconds for a process to end
LOOKS = 1.0  # seconds between looks at the clock
CHECKS = 10.0  # seconds between looks at where workers are


class Halted(ToolError):
    """The audit cannot go on for now, and not because of what was asked."""


@dataclass
class Worker:
    """A process with its model."""

    model: str
    connection: Connection
    running: Running
    fingerprint: str = ""
    cell: Cell | None = None
    step: str = "loading"


class Driver:
    """Gives cells to workers until none is left.

    Args:
        store: where what comes of them is kept.
        launch: starts the worker of a model.
        most: workers at a time.
        tell: is told how it stands.
        check: raises a `ToolError` where the workers' place is gone; asked every few seconds.
        clock: seconds.
    """

    def __init__(
        self,
        store: Store,
        launch: Start,
        most: int,
        tell: Tell,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._launch, self._most = store, launch, most
        self._tell, self._clock, self._pace = tell, clock, Pace(clock)
        self._check, self._checked = check, clock()
        self._waiting: dict[str, list[Cell]] = {}
        self._cells: Counter[str] = Counter()  # by label of the model
        self._n_done: Counter[str] = Counter()  # the same, of the models that were loaded
        self._label: dict[str, str] = {}  # of the first that is this model
        self._starts: dict[Cell, int] = {}
        self._workers: list[Worker] = []
        self._unloadable: dict[str, str] = {}
        self._since = 0.0
        self._seconds: float | None = None
        self._until: float | None = None
        self._tokens: int | None = None
        self._spent = 0

    def drive(self, cells: Sequence[Cell], seconds: float | None, tokens: int | None = None) -> None:
        """Ask every cell that was not asked yet of these weights.

        Args:
            seconds: after which no cell is begun any more.
            tokens: of language models, after which none is either; those of earlier runs of the audit count.

        Raises:
            Halted: something keeps every cell from being asked, or a model cannot be loaded, and all others were asked;
                what is done is kept.
            KeyboardInterrupt: stopped; what is done is kept.
        """
        self._since, self._tokens, self._spent = self._clock(), tokens, self._store.tokens()
        self._seconds, self._until = seconds, None if seconds is None else self._since + seconds
        self._cells = Counter(cell.subject for cell in cells)
        for cell in cells:
            self._label.setdefault(cell.model, cell.subject)
            self._waiting.setdefault(cell.model, []).append(cell)
        try:
            while self._staffed():
                self._tell(self._standing())
                self._look()
                for ready in wait([one.connection for one in self._workers], LOOKS):
                    self._hear(next(one for one in self._workers if one.connection is ready))
        finally:
            for worker in [*self._workers]:
                self._dismiss(worker)
        if self._unloadable:
            told = "; ".join(f"{model}: {why}" for model, why in self._unloadable.items())
            raise Halted(f"Not audited, for it cannot be loaded: {told}", mend="All else that could be asked was.")

    def _look(self) -> None:
        if self._clock() - self._checked < CHECKS:
            return
        self._check()
        self._checked = self._clock()

    @property
    def _is_over(self) -> bool:
        """Whether no cell may be begun any more."""
        if self._until is not None and self._clock() >= self._until:
            return True
        return self._tokens is not None and self._spent >= self._tokens

    def _staffed(self) -> bool:
        """Whether a worker has something to do; starts those that there is room and work for."""
        if self._is_over:
            self._waiting.clear()
        while len(self._workers) < self._most and (model := self._wanted()):
            self._start(model)
        return bool(self._workers)

    def _wanted(self) -> str:
        """The model with most cells for each of its workers and one more; empty where no other worker is of use."""
        of = {model: sum(one.model == model for one in self._workers) for model in self._waiting}
        idle = {one.model for one in self._workers if one.cell is None}  # one that loads takes what there is
        wanted = [m for m, cells in self._waiting.items() if cells and (m not in idle or len(cells) > of[m])]
        return max(wanted, key=lambda model: len(self._waiting[model]) / (of[model] + 1), default="")

    def _start(self, model: str) -> None:
        connection, running = self._launch(model)
        self._workers.append(Worker(model, connection, running))

    def _hear(self, worker: Worker) -> None:
        try:
            message: dict[str, Any] = worker.connection.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if "step" in message:
            worker.step = message["step"]
        elif "halt" in message:
            raise Halted(f"{message['halt']}.", mend="Nothing finished is lost. Mend it and run the audit again.")
        elif "unloadable" in message:
            self._unloadable[worker.model] = f"{message['unloadable']} {message['mend']}".strip()
            self._waiting.pop(worker.model, None)
            self._dismiss(worker)
        elif "loaded" in message:
            self._loaded(worker, message["loaded"])
        else:
            self._done(worker, message)

    def _loaded(self, worker: Worker, fingerprint: str) -> None:
        """Which weights the model has decides what was asked of it before."""
        worker.fingerprint = fingerprint
        self._store.keep_weights(worker.model, fingerprint)
        left = self._waiting.get(worker.model, [])
        known = {cell: found for cell, found in self._store.found(left).items() if not found.failed}
        self._waiting[worker.model] = [cell for cell in left if cell not in known]
        for cell in left:
            self._n_done[cell.subject] += cell in known
        self._give(worker)

    def _done(self, worker: Worker, message: dict[str, Any]) -> None:
        cell, worker.cell = worker.cell, None
        assert cell is not None
        try:
            outcome = Outcome.model_validate(message["done"])
        except ValidationError as error:  # on a node with the same version and other code
            told = f"A worker of {worker.model} answered what this program cannot read: {error.errors()[0]['msg']}."
            raise Halted(told, mend="Install the same code on every node.") from error
        self._keep(cell, outcome, message["seconds"], message.get("tokens", 0))
        self._give(worker)

    def _keep(self, cell: Cell, outcome: Outcome, seconds: float, tokens: int = 0) -> None:
        self._store.keep(cell, outcome, seconds, tokens)
        self._n_done[cell.subject] += 1
        self._spent += tokens
        self._pace.done()

    def _give(self, worker: Worker) -> None:
        """The next cell of its model; without one it makes room for another model's worker."""
        waiting = self._waiting.get(worker.model)
        if not waiting or self._is_over:
            self._dismiss(worker)
            return
        worker.cell, worker.step = waiting.pop(0), "beginning"
        self._pace.given()
        try:
            worker.connection.send(worker.cell.model_dump(mode="json"))
        except OSError:
            self._died(worker)

    def _died(self, worker: Worker) -> None:
        self._dismiss(worker)
        cell = worker.cell
        if cell is None:
            raise Halted(
                f"The worker of {worker.model} ended before it had loaded the model.",
                mend="Its last words stand above. Less memory is needed with --workers 1.",
            )
        self._starts[cell] = self._starts.get(cell, 0) + 1
        if self._starts[cell] < MOST_STARTS:
            self._waiting.setdefault(cell.model, []).insert(0, cell)
            return
        failed = f"Its worker died {MOST_STARTS} times."
        self._keep(cell, blank(cell, worker.fingerprint).model_copy(update={"failed": failed}), 0.0)

    def _dismiss(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.connection.close()
        worker.running.terminate()
        worker.running.join(LAST_WORDS)

    def _standing(self) -> Standing:
        doing: dict[str, list[str]] = {}
        for one in self._workers:
            name = one.cell.subject if one.cell else self._label[one.model]
            doing.setdefault(name, []).append(f"{one.cell.item}, {one.step}" if one.cell else one.step)
        n_done, n_cells = sum(self._n_done.values()), sum(self._cells.values())
        models = (
            ModelStanding(name, self._n_done.get(name), cells, tuple(doing.get(name, ())))
            for name, cells in self._cells.items()
        )
        left = self._pace.left(n_cells - n_done)
        limits = {"most_seconds": self._seconds, "tokens": self._spent, "most_tokens": self._tokens}
        return Standing(n_done, n_cells, tuple(models), self._clock() - self._since, left, **limits)
