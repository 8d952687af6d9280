"""`vesalius ask`: from the question to the printed answer."""

import csv
import io
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.text import Text

from ...tools import ToolError
from ..asking import FIXED_COURSE, Where, ask, desk_for, planning_model, refuse_what_is_no_text, start_run
from ..budget import budget_of, prices_of
from ..console import TEXT, Watcher, hang
from ..endpoint import endpoint_of
from ..failing import SettingError, Stopped, WaitsForApproval
from ..planners.interface import CannotRead, ContrastPair
from ..planners.llm_consulting import Consultant
from ..planners.llm_conversing import CHARACTERS_PER_TOKEN
from ..planners.llm_endpoint import EndpointError
from ..planners.llm_writing import ProbeWriter
from ..planners.reading import FORMS, read_question
from ..report._asked import how_asked
from ..report._text import visible
from ..runs import Planned, RunFolder, UnreadableFile, newest_run
from ..settings import Settings, read_settings
from .approving import approve_with, asked_here, keep_waiting, print_waiting
from .output import print_json
from .understanding import Question, is_free, put_into_form
from .vocabulary import with_known_words

PAIRS_DUE = "rows with clean, corrupted, answer and foil (cluster is optional), as a JSON list or CSV"

if TYPE_CHECKING:
    from ...tools import Subject
    from ..desk import Desk
    from ..report.schema import Report


def ask_command(
    settings: Settings,
    question: str,
    pairs: Path | None,
    resume: str,
    use_memory: bool,
    download: bool,
    as_json: bool,
    yes: bool = False,
) -> "Report":
    """Start or go on with a run, and with the one that is to follow it, show them, and print what the last one found;
    returns its report.

    Args:
        yes: how a language model reads the question need not be agreed to.
    """
    where = Where(settings.home, settings.memory, use_memory)
    console = Console(stderr=as_json, soft_wrap=not (sys.stderr if as_json else sys.stdout).isatty())
    if resume:
        subject, folder = _resumed(settings, resume, question, download)
    else:
        confirm = sys.stdin.isatty() and sys.stdout.isatty() and not as_json and not yes
        subject, folder = _begun(settings, where, question, pairs, download, console, confirm)
    from ..answering import print_answer
    from ..beside import halves  # loads torch, which what cannot be asked need not wait for
    from ..report.schema import read_report
    from ..summary import summary_of

    for half in halves(folder):
        _investigate(settings, where, console, subject, folder := half)
    report = read_report(folder.path / "report.json")
    paths = folder.reports
    if as_json:
        print_json(summary_of(report, paths).model_dump(mode="json"))
    else:
        print_answer(console, report, paths, _command("verify", settings, folder))
    return report


def _investigate(settings: Settings, where: Where, console: Console, subject: "Subject", folder: RunFolder) -> None:
    """Take one run to its end, saying how to go on with it where that does not come about."""
    try:
        _print_head(console, subject, folder)
        advisers = writer_of(settings, folder), consultant_of(settings, folder)
        with desk_for(where, subject, folder, *advisers) as desk:
            run_to_its_end(console, desk, _command("ask --resume", settings, folder))
    except EndpointError as error:
        way = _command("ask --resume", settings, folder)
        raise ToolError(error.message, mend=f"{error.mend} Nothing measured is lost; to go on: {way}") from None
    except KeyboardInterrupt:
        way = _command("ask --resume", settings, folder)
        raise Stopped(f"Nothing measured is lost; to go on with this run: {way}") from None


def run_to_its_end(console: Console, desk: "Desk", resume: str) -> None:
    """Run the investigation; what a person has to approve is asked in the terminal.

    Raises:
        WaitsForApproval: there is no terminal to ask in; says how to approve.
    """
    while True:
        with Watcher(console) as watcher:
            waiting = ask(desk, watcher.see)
        if waiting is None:
            return
        if sys.stdin.isatty():
            with desk.purse.paused():
                asked_here(console, desk, waiting)
            continue
        keep_waiting(desk.folder, waiting)
        print_waiting(console, waiting)
        raise WaitsForApproval(
            f"Run {desk.folder.name} waits for a person's word. Say it with `{approve_with(desk.folder)}` "
            f"(`show` first, if you like), then go on: {resume}"
        )


def writer_of(settings: Settings, folder: RunFolder) -> ProbeWriter | None:
    """Who writes the run's probes; none where they are made without a language model."""
    info = folder.info
    return ProbeWriter(lambda: endpoint_of(settings), info.probes_by, info.seed) if info.probes_by else None


def consultant_of(settings: Settings, folder: RunFolder) -> Consultant | None:
    """Who plans the run, tries its claims or words its answer; none where code does all of it."""
    planned = folder.info.planned
    model = planned.by or planned.advised_by
    return Consultant(lambda: endpoint_of(settings), model) if model else None


def planned_of(settings: Settings, may_compare: bool = False) -> Planned:
    """Who is to plan a new run, and within what.

    Args:
        may_compare: whether a second run can follow.

    Raises:
        SettingError: a language model is to plan, try claims or word the answer, and none is set; or one that does not
            plan is to be blinded; or a second run is to follow, and none can.
        ToolError: a budget that cannot be read.
    """
    prices = prices_of(settings)
    if settings.blind != "off" and settings.planner != "llm":
        raise SettingError(
            f"`blind` is {settings.blind}, but no language model plans, so nobody can be blinded. Set `planner` to llm."
        )
    compare = settings.blind == "compare"
    if compare and not may_compare:
        raise SettingError(
            "`blind` is compare, which takes two runs, and `vesalius ask` alone makes two. Set `blind` to names or off."
        )
    return Planned(
        by=endpoint_of(settings).model if settings.planner == "llm" else "",
        advised_by=endpoint_of(settings).model if "llm" in (settings.refute, settings.writer) else "",
        refute=settings.refute,
        attempts=settings.refute_attempts,
        writer=settings.writer,
        blind="names" if settings.blind == "compare" else settings.blind,
        compare=compare,
        room=settings.planner_room * CHARACTERS_PER_TOKEN,
        budget=budget_of(settings.budget, prices),
        prices=prices,
        approve=settings.approve,
    )


def _resumed(settings: Settings, resume: str, question: str, download: bool) -> "tuple[Subject, RunFolder]":
    folder = RunFolder.open(settings.home, resume)
    put = folder.info.put
    if question.strip() not in ("", folder.info.question.strip(), put.words.strip() if put else ""):
        raise ToolError(
            f"Run {folder.name} asks {folder.info.question!r}, not {question!r}.",
            mend="Leave the question out to go on with the run, or leave --resume out to ask anew.",
        )
    from ...tools import load_subject

    return load_subject(folder.info.model, folder.info.device, download=download), folder


def _begun(
    settings: Settings,
    where: Where,
    question: str,
    pairs: Path | None,
    download: bool,
    console: Console,
    confirm: bool,
) -> "tuple[Subject, RunFolder]":
    """The model and a new run's folder; a question that cannot be read is refused before the model is loaded, unless a
    language model is to read it: that one is told of the model's task data."""
    if not question.strip():
        listed = "\n".join(f"  {form}" for form in FORMS)
        raise CannotRead("No question was given.", mend=f'Usage: vesalius ask "QUESTION". Forms of question:\n{listed}')
    refuse_what_is_no_text(question)
    asked = Question(text=question, pairs=read_pairs(pairs) if pairs else ())
    if not (free := is_free(settings, question)):
        read_question(question, asked.pairs)
    probes_by = endpoint_of(settings).model if settings.probes == "llm" else ""
    planned = planned_of(settings, may_compare=True)
    from ...tools import load_subject

    subject = load_subject(settings.model, settings.device, download=download)
    if free:
        asked = put_into_form(settings, question, asked.pairs, subject.tasks, console, confirm)
    task = read_question(asked.text, asked.pairs)
    how = settings.seed, settings.device, asked.pairs, probes_by, planned, asked.put
    try:
        return subject, start_run(where, subject, asked.text, *how)
    except ToolError as error:
        raise with_known_words(error, task.prompt, subject.tasks) from error


def _print_head(console: Console, subject: "Subject", folder: RunFolder) -> None:
    from ..beside import which_half

    info = folder.info
    hang(console, Text(visible(info.question), style="bold"), 0, TEXT)
    if info.put:
        hang(console, Text(visible(f"{how_asked(info.put)} {info.put.words!r}"), style="dim"), 0, TEXT)
    if info.planned.by and not planning_model(info):
        said = f"{info.planned.by} is not asked to plan: {FIXED_COURSE}"
        hang(console, Text(visible(said), style="dim"), 0, TEXT)
    if which := which_half(info):
        hang(console, Text(visible(which), style="bold"), 0, TEXT)
    about = f"model {visible(subject.key.model)}, fingerprint {subject.key.fingerprint[:12]}, "
    hang(console, Text(f"{about}{subject.shape.n_layers} layers, on {subject.device}", style="dim"), 0, TEXT)
    console.print(Text(f"run {folder.name}\n", style="dim"), soft_wrap=True)


def _command(command: str, settings: Settings, folder: RunFolder) -> str:
    """A command about this run, as it can be pasted: `last` names the newest run."""
    name = folder.name if (settings.home / "runs" / folder.name).is_dir() else str(folder.path)
    if name == folder.name and newest_run(settings.home) == name:
        name = "last"
    home = [] if settings.home == read_settings().home else ["--home", str(settings.home)]
    return shlex.join(["vesalius", *command.split(), name, *home])


def read_pairs(path: Path) -> tuple[ContrastPair, ...]:
    """Contrast pairs from JSON (a list of objects) or CSV (a header row).

    Raises:
        UnreadableFile: not there, not of that form, or a row without clean, corrupted, answer and foil.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")  # a pipe would be waited for, and can be read once alone
        text = path.read_bytes().decode("utf-8-sig")  # line breaks as they are: they may stand in a prompt
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}. It must hold {PAIRS_DUE}.") from error
    return pairs_in(text, str(path))


def pairs_in(text: str, name: str) -> tuple[ContrastPair, ...]:
    """Contrast pairs from the text of a file: CSV where its name ends so, else JSON.

    Raises:
        UnreadableFile: not of that form, or a row without clean, corrupted, answer and foil.
    """
    try:
        rows: Any = (
            list(csv.DictReader(io.StringIO(text, newline=""))) if name.lower().endswith(".csv") else json.loads(text)
        )
        pairs = TypeAdapter(tuple[ContrastPair, ...]).validate_python(rows)
    except (json.JSONDecodeError, csv.Error, RecursionError) as error:
        raise UnreadableFile(f"{name} cannot be read: {error}. It must hold {PAIRS_DUE}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        row, *field = first["loc"] or ("",)
        place = f"row {row + 1}{''.join(f', `{one}`' for one in field)}" if isinstance(row, int) else "the whole"
        problem = first["msg"].removeprefix("Value error, ")
        raise UnreadableFile(f"{name}, {place}: {problem}. It must hold {PAIRS_DUE}.") from error
    if not pairs:
        raise UnreadableFile(f"{name} holds no pair. It must hold {PAIRS_DUE}.")
    return pairs
