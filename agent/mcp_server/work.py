"""What jobs do: measure, investigate, go on with an investigation, verify one. One subject stays in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tools import Tool, ToolError, ToolResult
from ..allowing import allowed_model
from ..approving import Waiting
from ..asking import Where, ask, desk_for, start_run
from ..commands.approving import approve_with, keep_waiting
from ..commands.asking import consultant_of, planned_of, writer_of
from ..commands.kept import keep_alone
from ..commands.strongest import strongest_of
from ..commands.verifying import verified
from ..commands.vocabulary import with_known_words
from ..console import in_short
from ..endpoint import endpoint_of
from ..headlines import headline
from ..planners.interface import Task
from ..planners.llm_words import quoted
from ..report._text import cut
from ..report.figures import render_plain
from ..runs import RunFolder
from ..settings import Settings
from .jobs import Job, Plain
from .reading import answer_of, report_of

if TYPE_CHECKING:
    from ...tools import Subject

MOST_ROWS = 10
SHOWN_DRIFTS = 20


class Workshop:
    """Does the work of jobs, one after the other, on models that the person who started the server allows."""

    def __init__(self, settings: Settings, download: bool, use_memory: bool) -> None:
        self.settings, self.download, self.use_memory = settings, download, use_memory
        self.home: Path = settings.home
        self.planned = planned_of(settings)
        self.probes_by = endpoint_of(settings).model if settings.probes == "llm" else ""
        self._resident: tuple[tuple[str, str], Subject] | None = None

    def allowed(self, model: str | None) -> str:
        """The model to work on.

        Raises:
            ToolError: one that is neither shipped, nor a folder, nor what the server was started with.
        """
        mend = "Hub ids need a server started with --download."
        return allowed_model(model or "", self.settings.model, mend, self.download)

    def subject(self, name: str, device: str | None = None) -> "Subject":
        """The model of that name; the one in memory before makes room for it."""
        from ...tools import load_subject

        key = (name, device or self.settings.device)
        if self._resident is None or self._resident[0] != key:
            self._resident = None
            self._resident = key, load_subject(*key, download=self.download)
        return self._resident[1]

    def measure(self, tool: Tool[Any, ToolResult], args: Any, model: str, job: Job) -> Plain:
        """Run an instrument and keep its measurement."""
        job.say(f"loading {model}")
        measurement = tool.measure(self.subject(model), args, job.progress)
        keep_alone(self.home, measurement)
        strongest = strongest_of(measurement)
        return {
            "measurement": measurement.id,
            "tool": tool.name,
            "found": render_plain(headline(measurement), {measurement.id: measurement}),
            "strongest": {
                "of": strongest.what,
                "columns": strongest.head,
                "rows": strongest.rows[:MOST_ROWS],
                "more": max(0, len(strongest.rows) - MOST_ROWS),
            },
            "subject": measurement.subject.model_dump(mode="json"),
            "digest": measurement.digest,
            "seconds": round(measurement.seconds, 2),
            "whole": f"get_measurement with id {measurement.id}",
        }

    def ask(self, task: Task, model: str, seed: int, job: Job) -> Plain:
        """Investigate a question that could be read."""
        job.say(f"loading {model}")
        subject = self.subject(model)
        where = Where(self.home, self.settings.memory, self.use_memory)
        given = seed, self.settings.device, task.pairs, self.probes_by, self.planned
        try:
            folder = start_run(where, subject, task.question, *given)
        except ToolError as error:
            raise with_known_words(error, task.prompt, subject.tasks) from error
        return self._investigated(folder, subject, job)

    def resume(self, folder: RunFolder, job: Job) -> Plain:
        """Go on with a run that was stopped; of one that has ended the answer is given again."""
        info = folder.info
        job.say(f"loading {info.model}")
        return self._investigated(folder, self.subject(self.allowed(info.model), info.device), job)

    def _investigated(self, folder: RunFolder, subject: "Subject", job: Job) -> Plain:
        job.about["run"] = folder.name
        job.refuse_to_go_on()
        where = Where(self.home, self.settings.memory, self.use_memory)
        advisers = writer_of(self.settings, folder), consultant_of(self.settings, folder)
        with desk_for(where, subject, folder, *advisers) as desk:
            if (waiting := ask(desk, lambda event: _tell(event, job))) is not None:
                return _waits(folder, waiting)
        return answer_of(report_of(folder), folder)

    def verify(self, folder: RunFolder, job: Job) -> Plain:
        """Measure every number of a run's report again."""
        from ..report.verify import DRIFTED, REPRODUCED, exit_status

        def load(name: str) -> "Subject":
            return self.subject(self.allowed(name))

        found = verified(self.settings, report_of(folder), folder, load, job.progress)
        words = {REPRODUCED: "reproduced", DRIFTED: "drifted"}
        return {
            "run": folder.name,
            "outcome": words.get(exit_status(found), "not reproducible"),
            "measurements": found.measurements,
            "bit_identical": found.bit_identical,
            "reproduced": len(found.reproduced),
            "drifted": [drift.model_dump(mode="json") for drift in found.drifted[:SHOWN_DRIFTS]],
            "drifted_in_all": len(found.drifted),
            "not_reproducible": [one.model_dump(mode="json") for one in found.not_reproducible[:SHOWN_DRIFTS]],
            "not_reproducible_in_all": len(found.not_reproducible),
        }


def _waits(folder: RunFolder, waiting: Waiting) -> Plain:
    """What is said of a run that a person, and not the client, has to approve."""
    keep_waiting(folder, waiting)
    command = approve_with(folder)
    return {"run": folder.name, "waits": f"A person has to run `{command}`; then go on with resume_run."}


def _tell(event: dict[str, Any], job: Job) -> None:
    """Note an event of an investigation, and stop there where the job is to stop."""
    if event["event"] == "progress":
        job.progress(event["done"], event["total"], event["what"])
        return
    if line := _LINES.get(event["event"], lambda _: "")(event):
        job.say(cut(line))
    job.refuse_to_go_on()


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "started": lambda e: f"{e['phase']}: {e['tool']}: {e['why']}",
    "finished": lambda e: f"found: {e['found']}",
    "failed": lambda e: f"could not run: {e['reason']}",
    "recalled": lambda e: f"hints from earlier runs: {len(e['findings'])}",
    "notice": lambda e: e["text"],
    "sealed": lambda e: f"sealed {e['prediction']}: {in_short(e['statement'])}",
    "judged": lambda e: f"judged {e['claim']}: {e['verdict']} ({e['tier']})",
    "consulting": lambda e: f"asking {e['model']} ({e['role']}, turn {e['number']})",
    "said": lambda e: f"{e['role']}: {quoted(e['content']) if e['content'] else e['problem']}",
    "spent": lambda e: e["text"],
    "reporting": lambda _: "writing the report",
}
