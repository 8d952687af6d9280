"""A chat in a terminal, in a pipe, or as one JSON object a turn."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ..answering import Answer
from ..commands.asking import run_to_its_end
from ..commands.progress import shown
from ..console import TEXT, hang
from ..report._text import visible
from ..report.schema import Report, read_report
from ..runs import RunFolder
from ..settings import Settings, read_settings
from ..summary import summary_of
from .turns import Line, Reply, Turn

if TYPE_CHECKING:
    from ...tools import Progress
    from ..desk import Desk

PROMPT = "› "
SHOWN_TURNS = 3  # of a chat that is gone on with
SHOWN_LINES = 2  # of each of them


class Terminal:
    """Shows replies, and reads messages."""

    how_pairs_come = "Give the path of a file (JSON or CSV)."

    def __init__(self, settings: Settings, as_json: bool) -> None:
        self.settings, self.as_json = settings, as_json
        stream = sys.stderr if as_json else sys.stdout
        self.console = Console(stderr=as_json, soft_wrap=not stream.isatty())
        self._explained: set[str] = set()
        self._turn = 0

    def run_to_its_end(self, desk: "Desk") -> None:
        """Run the investigation of a desk in this terminal."""
        run_to_its_end(self.console, desk, "/resume")

    def progress(self, what: str) -> "AbstractContextManager[Progress]":
        """Shows how far something is for as long as it lasts."""
        return shown(what)

    def messages(self) -> Iterator[str]:
        """What the person says, until they leave."""
        assert isinstance(sys.stdin, TextIOWrapper)
        sys.stdin.reconfigure(errors="surrogateescape")  # what is no UTF-8 is a message that cannot be understood
        if sys.stdin.isatty():
            import readline  # noqa: F401  # gives `input` its editing and the lines said before
        while (said := self._next()) is not None:
            yield said.strip()

    def _next(self) -> str | None:
        """The next message; none where the person leaves."""
        try:
            if sys.stdin.isatty():
                self.console.print()
                return input(self._prompt())
            if not (said := sys.stdin.readline()):
                return None
        except (EOFError, KeyboardInterrupt):
            self.console.print()
            return None
        self.console.print(Text(f"\n{PROMPT}{visible(said.strip())}", style="bold"), soft_wrap=True)
        return said

    def _prompt(self) -> str:
        if not self.as_json:
            return PROMPT
        sys.stderr.write(PROMPT)
        sys.stderr.flush()
        return ""

    def tell(self, lines: tuple[Line, ...]) -> None:
        """Show lines."""
        for line in lines:
            hang(self.console, Text(line.text, style=line.style), line.indent, line.indent + TEXT)

    def show(self, said: str, reply: Reply) -> None:
        """Show a reply; as JSON also on standard output."""
        report, paths = None, dict[str, str]()
        if reply.kind == "investigated":
            folder = RunFolder.open(self.settings.home, reply.run)
            report = read_report(folder.path / "report.json")
            paths = folder.reports
            if not self.as_json:
                self._answer(report, paths)
        if not self.as_json or not report:
            self.tell(reply.lines)
        if self.as_json:
            self._turn += 1
            told = summary_of(report, paths).model_dump(mode="json") if report else None
            # ASCII: what a terminal would obey is escaped.
            sys.stdout.write(json.dumps({"turn": self._turn, "said": said, **as_data(reply), "answer": told}) + "\n")
            sys.stdout.flush()

    def _answer(self, report: Report, paths: dict[str, str]) -> None:
        """The end of an investigation; each word is explained once in a chat."""
        answer = Answer(self.console, report)
        answer.sentences("Answer", report.answer)
        answer.claims()
        answer.sentences("Prompting alone", report.black_box)
        answer.sentences("Not found", report.not_found)
        answer.files(paths, verify_command(self.settings, report.run))
        if not self._explained:
            answer.legend()
            self._explained.add(report.run)

    def remind(self, turns: list[Turn]) -> None:
        """The last of what was said, when a chat is gone on with."""
        for turn in turns[-SHOWN_TURNS:]:
            self.console.print(Text(f"{PROMPT}{visible(turn.said)}", style="dim"), soft_wrap=True)
            said = turn.reply.lines[:SHOWN_LINES]
            if turn.reply.kind == "investigated":
                said = (Line(text=f"answered by run {turn.reply.run}"),)
            if turn.reply.kind == "stopped":
                said = (Line(text=f"stopped: /resume goes on with run {turn.reply.run}", style="yellow"),)
            self.tell(tuple(line.model_copy(update={"style": line.style or "dim"}) for line in said))


def as_data(reply: Reply) -> dict[str, Any]:
    """A reply for machines."""
    return {
        "kind": reply.kind,
        "understood": reply.understood,
        "run": reply.run,
        "lines": [line.text for line in reply.lines],
        "options": [option.label for option in reply.options],
        "measurements": list(reply.ids),
        "calls": reply.calls,
    }


def verify_command(settings: Settings, run: str) -> str:
    """The command that measures a run again, as it can be pasted."""
    home = [] if settings.home == read_settings().home else ["--home", str(settings.home)]
    return shlex.join(["vesalius", "verify", run, *home])
