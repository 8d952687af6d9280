"""A run's folder: what is on disk while an investigation goes on, and how it survives being killed.

RUN/run.json            question, settings, model: enough to go on with it
RUN/ledger.jsonl        sealed predictions and verdicts, hash-chained
RUN/measurements/*.json one file per finished measurement, written whole or not at all
RUN/state.sqlite        the graph's checkpoints
RUN/report.{json,html,md}
"""

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ..tools import Frozen, Measurement, ToolError, digest, write_file
from .budget import Budget, Prices
from .planners.llm_turns import Turn
from .report._asked import Asked

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
BEGUN = re.compile(r"\d{8}-\d{6}-?")  # how a name of a time begins; runs of audits have others, and are nobody's last

COMPARISONS = "comparisons"  # folder of what was tested again on other models, each made like a run


class UnknownRun(ValueError):
    """No run of that name; the message lists what there is."""


class UnreadableFile(ValueError):
    """A file that a person gave does not hold what it should; the message says what was found and what is due."""


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile."""
    write_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def _changed(path: Path) -> UnreadableFile:
    return UnreadableFile(f"{path} is not as it was written. Restore it from a copy, or ask the question again.")


def _known(home: Path) -> list[str]:
    runs = home / "runs"
    return sorted(p.name for p in runs.iterdir() if (p / "run.json").is_file()) if runs.is_dir() else []


def newest_run(home: Path) -> str:
    """The run that was asked for last, by name; empty where none was."""
    return max((name for name in _known(home) if BEGUN.match(name)), default="")


class Planned(Frozen):
    """Who plans a run, and what that may cost."""

    by: str = ""  # language model that plans; empty where the deterministic planner does
    room: int = 90_000  # longest conversation with it (characters)
    budget: Budget = Budget()
    prices: Prices = Prices()
    approve: Literal["none", "plan", "each"] = "none"
    advised_by: str = ""  # language model in the parts beside the planner; empty where none has any
    refute: Literal["off", "protocol", "llm"] = "off"  # who tries to break supported claims
    attempts: int = 2  # most of them on each claim
    writer: Literal["off", "llm"] = "off"  # who words the answer beside code
    blind: Literal["off", "arms", "names", "both"] = "off"  # what is hidden from a language model that plans
    compare: bool = False  # whether a second run follows in which it is shown


class Put(Asked):
    """A question that a language model put into a form, with all that it said about it."""

    turns: tuple[Turn, ...] = ()


class RunInfo(Frozen):
    """What a run needs to be taken up again."""

    question: str  # in a form that is read here
    put: Put | None = None  # how a person put it, where a language model read it
    model: str
    device: str
    seed: int
    pairs: tuple[dict[str, Any], ...] = ()
    probes_by: str = ""  # language model that writes the probes; empty where they are made without one
    planned: Planned = Planned()
    beside: str = ""  # the run with names hidden that this one, with names shown, is set beside; empty for none
    created: str


class RunFolder:
    """Paths of one run, and its measurements."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.ledger = path / "ledger.jsonl"
        self.state = path / "state.sqlite"
        self._measurements = path / "measurements"
        self._read: dict[str, Measurement] = {}  # each is looked at after every step, and never changes

    @classmethod
    def create(cls, home: Path, info: RunInfo, name: str = "") -> "RunFolder":
        """A new folder.

        Args:
            name: of the run, which has no run.json yet; by default one of its time and question.
        """
        if name:
            folder = cls(home / "runs" / name)
            write_whole(folder.path / "run.json", info.model_dump_json(indent=2))
            return folder
        stamp = datetime.fromisoformat(info.created).strftime("%Y%m%d-%H%M%S")
        words = "-".join(re.findall(r"[a-z0-9]+", info.question.lower())[:8])
        for n in range(1000):
            path = home / "runs" / (f"{stamp}-{words}"[:80] + (f"-{n}" if n else ""))
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            folder = cls(path)
            write_whole(path / "run.json", info.model_dump_json(indent=2))
            return folder
        raise AssertionError("a thousand runs were started in this second")

    @classmethod
    def open(cls, home: Path, name: str) -> "RunFolder":
        """An existing run by name, by path, or by `last`.

        Raises:
            UnknownRun: there is none.
        """
        runs, known = home / "runs", _known(home)
        if name == "last" and (newest := newest_run(home)):
            return cls(runs / newest)
        if NAME.fullmatch(name) and name in known:
            return cls(runs / name)
        if NAME.fullmatch(name) and (home / COMPARISONS / name / "run.json").is_file():
            return cls(home / COMPARISONS / name)
        if (Path(name) / "run.json").is_file():
            return cls(Path(name))
        shown = ", ".join(known[-5:]) or "none yet"
        raise UnknownRun(
            f"There is no run {name!r}. Give the name or folder of a run, or `last`. Newest runs: {shown}."
        )

    @property
    def info(self) -> RunInfo:
        """What the run was started with.

        Raises:
            UnreadableFile: its run.json was changed.
        """
        path = self.path / "run.json"
        try:
            return RunInfo.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _changed(path) from error

    @property
    def reports(self) -> dict[str, str]:
        """Where the report lies, by format."""
        return {kind: str(self.path / f"report.{kind}") for kind in ("json", "html", "md")}

    def finished_report(self, mend: str) -> Path:
        """Where the report lies that is read again.

        Args:
            mend: what to do where there is none yet, in the words of who reads it.

        Raises:
            ToolError: the run has not come to its end.
        """
        path = self.path / "report.json"
        if not path.is_file():
            raise ToolError(f"Run {self.name} has no report yet.", mend=mend)
        return path

    def keep(self, measurement: Measurement) -> None:
        """Store a finished measurement."""
        write_whole(self._file(measurement.id), measurement.model_dump_json(indent=1))

    def kept(self, measurement_id: str) -> Measurement | None:
        """A stored measurement; none where it has not finished.

        Raises:
            UnreadableFile: its file was changed after it was written.
        """
        if measurement_id in self._read:
            return self._read[measurement_id]
        path = self._file(measurement_id)
        if not path.is_file():
            return None
        try:
            found = Measurement.model_validate_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _changed(path) from error
        if found.id != measurement_id or found.digest != digest(found.result):
            raise _changed(path)
        self._read[measurement_id] = found
        return found

    def measurement(self, measurement_id: str) -> Measurement:
        """A measurement that has finished.

        Raises:
            UnreadableFile: its file is gone, or was changed.
        """
        found = self.kept(measurement_id)
        if found is None:
            raise UnreadableFile(
                f"{self._file(measurement_id)} is missing, though the run's ledger has it. Restore it, or ask again."
            )
        return found

    def _file(self, measurement_id: str) -> Path:
        assert re.fullmatch(r"m-[0-9a-f]+", measurement_id), measurement_id
        return self._measurements / f"{measurement_id}.json"


def run_named(home: Path, name: str) -> RunFolder:
    """A run of this home; unlike the command line's, no folder elsewhere.

    Raises:
        UnknownRun: there is none.
    """
    if name != "last" and not (NAME.fullmatch(name) and (home / "runs" / name / "run.json").is_file()):
        newest = ", ".join(run.name for run in runs_of(home)[:5]) or "none yet"
        raise UnknownRun(f"There is no run {name!r}. Give the name of a run, or `last`. Newest runs: {newest}.")
    return RunFolder.open(home, name)


def runs_of(home: Path) -> list[RunFolder]:
    """Every run of this home, newest first."""
    begun = sorted((home / "runs").glob("*/run.json"), key=lambda file: (_begun(file), file.parent.name), reverse=True)
    return [RunFolder(file.parent) for file in begun]


def _begun(run_json: Path) -> str:
    """When a run was begun, as names say it that do."""
    if BEGUN.match(run_json.parent.name):
        return run_json.parent.name
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(run_json.stat().st_mtime))
