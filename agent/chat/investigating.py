"""Where a chat's investigations run: one subject, loaded once, and what earlier runs measured at hand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ...tools import ToolError
from ..asking import Where, desk_for, start_run
from ..bench import card_of, request_id
from ..budget import budget_of, prices_of
from ..commands.asking import consultant_of, planned_of, run_to_its_end, writer_of
from ..commands.vocabulary import with_known_words
from ..endpoint import endpoint_of
from ..planners.interface import ContrastPair, Experiment, SubjectCard
from ..planners.protocol import ProtocolPlanner
from ..planners.reading import read_question
from ..report.schema import Report, read_report
from ..runs import RunFolder
from ..settings import Settings
from .planning import planned_steps
from .reuse import Earlier
from .turns import Line

if TYPE_CHECKING:
    from ...tools import Measurement, Subject


class Lab:
    """Starts investigations and goes on with them."""

    def __init__(self, settings: Settings, subject: "Subject", console: Console, use_memory: bool) -> None:
        self.settings, self.subject, self.console = settings, subject, console
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

    def begin(self, question: str, pairs: tuple[ContrastPair, ...]) -> RunFolder:
        """A new run's folder.

        Raises:
            ToolError: the question cannot be put to the model.
        """
        settings, task = self.settings, read_question(question, pairs)
        probes_by = endpoint_of(settings).model if settings.probes == "llm" else ""
        planned = planned_of(settings)
        try:
            return start_run(
                self.where, self.subject, question, settings.seed, settings.device, pairs, probes_by, planned
            )
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
            run_to_its_end(self.console, desk, "/resume")
        return read_report(folder.path / "report.json")

    def plan(self, question: str, pairs: tuple[ContrastPair, ...], earlier: Sequence[RunFolder]) -> list[Line]:
        """What a question would have measured, as far as is known without measuring."""

        def kept(experiment: Experiment) -> "Measurement | None":
            wanted = request_id(experiment.tool, experiment.args, self.subject.key)
            return next((found for run in earlier if (found := run.kept(wanted))), None)

        planner = ProtocolPlanner(self.settings.seed)
        lines = [*planned_steps(planner, read_question(question, pairs), self.card, kept)]
        if self.settings.planner == "llm":
            lines.append(Line(text="A language model plans here and may choose otherwise; this is the fixed course."))
        return lines
