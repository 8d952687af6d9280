"""Where a chat's investigations run: one subject, loaded once, and what earlier runs measured at hand."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ...tools import ToolError
from ..asking import Where, desk_for, start_run
from ..bench import card_of, request_id
from ..budget import budget_of, prices_of
from ..commands.asking import consultant_of, planned_of, writer_of
from ..commands.verifying import told, verified
from ..commands.vocabulary import with_known_words
from ..endpoint import endpoint_of
from ..planners.interface import ContrastPair, Experiment, SubjectCard
from ..planners.protocol import ProtocolPlanner
from ..planners.reading import PRESUMING, read_question
from ..report.schema import Report, read_report
from ..runs import Put, RunFolder
from ..settings import Settings
from .planning import planned_steps
from .reuse import Earlier
from .turns import Line

if TYPE_CHECKING:
    from ...tools import Measurement, Progress, Subject
    from ..desk import Desk


@runtime_checkable
class Front(Protocol):
    """Where a person sits who sees an investigation run, and says what it may do."""

    how_pairs_come: str
    """What a person is told who has to give contrast pairs."""

    def run_to_its_end(self, desk: "Desk") -> None:
        """Run the investigation of a desk, ask what a person has to approve, and show what happens.

        Raises:
            KeyboardInterrupt: the person stops it.
            WaitsForApproval: nobody is here to approve.
        """
        ...

    def progress(self, what: str) -> "AbstractContextManager[Progress]":
        """Shows how far something is for as long as it lasts."""
        ...


class Lab:
    """Starts investigations and goes on with them."""

    def __init__(self, settings: Settings, subject: "Subject", front: Front, use_memory: bool) -> None:
        self.settings, self.subject, self.front = settings, subject, front
        self.where = Where(settings.home, settings.memory, use_memory)
        self._card: SubjectCard | None = None

    @property
    def card(self) -> SubjectCard:
        """What a planner may know of the subject."""
        self._card = self._card or card_of(self.subject)
        return self._card

    def set_budget(self, text: str) -> None:
        """What the next investigations may spend.

        Raises:
            ToolError: it cannot be read.
        """
        prices = prices_of(self.settings)
        budget_of(text, prices)
        self.settings = self.settings.model_copy(update={"budget": text})

    def begin(self, question: str, pairs: tuple[ContrastPair, ...], put: Put | None = None) -> RunFolder:
        """A new run's folder.

        Args:
            put: how the person put the question, where a language model made it of that.

        Raises:
            ToolError: the question cannot be put to the model.
        """
        settings, task = self.settings, read_question(question, pairs)
        probes_by = endpoint_of(settings).model if settings.probes == "llm" else ""
        how = settings.seed, settings.device, pairs, probes_by, planned_of(settings), put
        try:
            return start_run(self.where, self.subject, question, *how)
        except ToolError as error:
            raise with_known_words(error, task.prompt, self.subject.tasks) from error

    def run(self, folder: RunFolder, earlier: Sequence[RunFolder]) -> Report:
        """Run an investigation to its end, or go on with one.

        Args:
            earlier: runs whose measurements need not be made again.
        """
        advisers = writer_of(self.settings, folder), consultant_of(self.settings, folder)
        with desk_for(self.where, self.subject, folder, *advisers) as desk:
            desk.bench.earlier = Earlier(desk.bench, desk.ledger, lambda: desk.docket.experiments, earlier).find
            self.front.run_to_its_end(desk)
        return read_report(folder.path / "report.json")

    def verify(self, report: Report, folder: RunFolder) -> list[Line]:
        """How many numbers of a run's report come out the same when they are measured again."""
        from ...tools import load_subject

        def load(name: str) -> "Subject":
            return self.subject if name == self.subject.key.model else load_subject(name, self.settings.device)

        with self.front.progress("measuring again") as progress:
            found = verified(self.settings, report, folder, load, progress)
        lines = told(report, found, record_checked=True)
        return [Line(text=line.plain, style=str(line.style)) for line in lines]

    def plan(self, question: str, pairs: tuple[ContrastPair, ...], earlier: Sequence[RunFolder]) -> list[Line]:
        """What a question would have measured, as far as is known without measuring."""

        def kept(experiment: Experiment) -> "Measurement | None":
            wanted = request_id(experiment.tool, experiment.args, self.subject.key)
            return next((found for run in earlier if (found := run.kept(wanted))), None)

        planner = ProtocolPlanner(self.settings.seed)
        task = read_question(question, pairs)
        lines = [*planned_steps(planner, task, self.card, kept)]
        if self.settings.planner == "llm" and task.kind in PRESUMING:
            lines.append(Line(text="A language model plans here and may choose otherwise; this is the fixed course."))
        return lines
