"""`vesalius approve`, and the same asked in a terminal: a person's word before something is measured or sealed."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ...tools import ToolError
from ..approving import Decision, Place, Waiting, decide
from ..console import GUTTER, TEXT, hang
from ..ledger import Ledger
from ..report._text import visible
from ..runs import RunFolder, UnreadableFile, write_whole
from ..settings import Settings
from .output import print_json

if TYPE_CHECKING:
    from ..desk import Desk

FILE = "waiting.json"  # in the run's folder, as long as it waits for a word
HOW_PLAN = "Enter: seal them. drop p2,p3: leave these out (drop all: seal none). p2=SITE: move it."
HOW_EXPERIMENT = "Enter: run it. skip: leave it out. stop: explore no more."


def keep_waiting(folder: RunFolder, waiting: Waiting) -> None:
    """Write down what a run waits for, so that another process can answer."""
    write_whole(folder.path / FILE, waiting.model_dump_json(indent=1))


def forget_waiting(folder: RunFolder) -> None:
    """Take that down again: the word was said."""
    (folder.path / FILE).unlink(missing_ok=True)


def print_waiting(console: Console, waiting: Waiting) -> None:
    """Show what is to be approved."""
    if waiting.experiment is not None:
        one = waiting.experiment
        hang(console, Text(f"To be measured: {one['tool']}. {visible(one['why'])}", style="bold"), 0, TEXT)
        hang(console, Text(visible(_arguments(one["args"])), style="dim"), GUTTER, GUTTER + TEXT)
        return
    console.print(Text("\nPredictions to be approved; what is sealed cannot be changed", style="bold"))
    for one in waiting.proposals:
        said = Text(f"{one['prediction']:>8} ", style="cyan").append(visible(one["statement"]), style="default")
        hang(console, said, 0, GUTTER + TEXT)
        arms = "; ".join(f"{arm['label']} ({arm['pairs']} pairs)" for arm in one["arms"])
        hang(console, Text(f"tested on {visible(arms)}", style="dim"), GUTTER, GUTTER + TEXT)


def approve_with(folder: RunFolder) -> str:
    """The command that answers, wherever the run lies."""
    return shlex.join(["vesalius", "approve", str(folder.path)])


def asked_here(console: Console, desk: "Desk", waiting: Waiting) -> None:
    """Ask in the terminal until the word can be used, and write it down.

    Raises:
        KeyboardInterrupt: the person leaves it open; nothing is written down.
    """
    print_waiting(console, waiting)
    hang(console, Text(HOW_PLAN if waiting.experiment is None else HOW_EXPERIMENT, style="dim"), 0, TEXT)
    while True:
        console.print(Text("> ", style="bold"), end="")
        try:
            said = input()
        except EOFError:
            raise KeyboardInterrupt from None
        try:
            decide(desk.ledger, waiting, read_decision(said.split(), waiting), desk.subject.site)
        except ToolError as error:
            console.print(Text(str(error), style="yellow"))
            continue
        forget_waiting(desk.folder)  # left by a process that had no terminal to ask in
        return


def read_decision(words: list[str], waiting: Waiting) -> Decision:
    """A decision as a person writes it.

    Raises:
        ToolError: it cannot be read.
    """
    how = HOW_PLAN if waiting.experiment is None else HOW_EXPERIMENT
    if waiting.experiment is not None:
        if len(words) > 1 or not {*words} <= {"skip", "stop"}:
            raise ToolError(f"{' '.join(words)!r} is no answer here.", mend=how)
        return Decision(skip="skip" in words, stop="stop" in words)
    drop: list[str] = []
    changes: dict[str, Place] = {}
    rest = [*words]
    while rest:
        word = rest.pop(0)
        name, sign, place = word.partition("=")
        if word == "drop" and rest:
            drop += [one for one in rest.pop(0).split(",") if one]
        elif sign and place:
            changes[name] = Place(site=place)
        else:
            raise ToolError(f"{word!r} cannot be read here.", mend=how)
    return Decision(drop=tuple(drop), changes=changes)


def approve_command(settings: Settings, run: str, words: list[str], as_json: bool) -> None:
    """Say what is to be done with what a run waits for; the run goes on with `vesalius ask --resume`.

    Raises:
        ToolError: it waits for nothing, or the decision cannot be read.
    """
    folder = RunFolder.open(settings.home, run)
    path = folder.path / FILE
    if not path.is_file():
        raise ToolError(f"Run {folder.name} waits for nothing.", mend="Start one with `vesalius ask … --approve plan`.")
    waiting = _read(path)
    if words == ["show"]:
        if as_json:
            print_json(waiting.model_dump(mode="json"))
        else:
            print_waiting(Console(soft_wrap=not sys.stdout.isatty()), waiting)
        return
    with Ledger(folder.ledger) as ledger:
        decide(ledger, waiting, read_decision(words, waiting))
    path.unlink()
    if as_json:
        print_json({"run": folder.name, "approved": waiting.key})
    else:
        sys.stdout.write(f"Noted. To go on: vesalius ask --resume {folder.name}\n")


def _read(path: Path) -> Waiting:
    try:
        return Waiting.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} is not as it was written. Take the run up again; it is written anew.") from error


def _arguments(args: dict[str, Any]) -> str:
    """Arguments in a line, long lists as their length."""
    return ", ".join(
        f"{name}={f'{len(value)} entries' if isinstance(value, list) and len(value) > 3 else value}"
        for name, value in args.items()
    )
