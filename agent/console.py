"""What a person sees in the terminal while an investigation runs."""

import re
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from .report._text import visible

VERDICT_STYLE = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}
PHASE_WORD = {"explore": "explore", "confirm": "confirm", "control": "control", "black_box": "ask only"}
GUTTER = 9  # columns before what is said
WORTH_SAYING = 1.0  # seconds
LONGEST_SAID = 200  # characters of a language model's words beside its calls
TEXT = 3  # columns from the start of one line to the start of the next that hangs from it

DOES = {"planner": "plans", "refuter": "looks for prompts against a claim", "writer": "words the answer"}
SAYS = {"planner": "plan", "refuter": "against", "writer": "words"}  # in front of what a language model says
OUTCOME_STYLE = {"survived": "green", "broken": "red", "undecided": "yellow"}


def hang(console: Console, line: Text, indent: int, hanging: int) -> None:
    """Print a line, wrapped at the console's width with later parts `hanging` columns in; to a file in one piece."""
    shown = Text(" " * indent).append_text(line)
    if console.soft_wrap:
        console.print(shown)
        return
    first = shown.wrap(console, console.width)[0]
    rest = shown[len(first) :]
    rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
    later = rest.wrap(console, max(20, console.width - hanging)) if rest else ()
    for part in (first, *(Text(" " * hanging).append_text(part) for part in later)):
        part.rstrip()
        console.print(part, soft_wrap=True)


class Watcher:
    """Prints events as they come, with a bar for the experiment that is running."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar = Progress(
            TextColumn("  [dim]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=1, visible=False)
        self._spent = Text("", style="dim")
        self._live = Live(Group(self._bar, self._spent), console=console, transient=True, refresh_per_second=8)
        self._headings: set[str] = set()
        self._running: dict[str, Any] = {}

    def __enter__(self) -> "Watcher":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def see(self, event: dict[str, Any]) -> None:
        """Show one event."""
        show: Callable[[dict[str, Any]], None] | None = getattr(self, f"_on_{event['event']}", None)
        if show:
            show({key: visible(value) if isinstance(value, str) else value for key, value in event.items()})

    def _heading(self, text: str) -> None:
        if text not in self._headings:
            self._headings.add(text)
            self.console.print(f"\n[bold]{text}[/]")

    def _line(self, word: str, said: Text) -> None:
        hang(self.console, Text(f"{word:>8} ", style="cyan").append_text(said), 0, GUTTER + TEXT)

    def _on_started(self, event: dict[str, Any]) -> None:
        self._running = event
        if event["phase"] == "explore":
            self._line(PHASE_WORD["explore"], Text(event["tool"], style="bold").append(f"  {event['why']}", "default"))
        else:  # many and alike: each gets one line, once it is known what it found
            self._heading("Confirming on held-out prompts")
        self._bar.reset(self._task, total=1, visible=True, description="…")

    def _on_progress(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, completed=event["done"], total=event["total"], description=escape(event["what"]))

    def _on_finished(self, event: dict[str, Any]) -> None:
        slow = f"  {event['seconds']:.1f} s" if event["seconds"] >= WORTH_SAYING else ""
        how = "  measured before" if event["known"] else slow
        self._came_of_it(Text(event["found"], style="default").append(how, style="dim"))

    def _on_failed(self, event: dict[str, Any]) -> None:
        self._came_of_it(Text(f"could not run: {event['reason']}", style="yellow"))

    def _came_of_it(self, found: Text) -> None:
        self._bar.update(self._task, visible=False)
        if self._running["phase"] == "explore":
            self._line("", Text("→ ", style="default").append_text(found))
        else:
            about = Text(f"{self._running['why']}: ", style="bold")
            self._line(PHASE_WORD[self._running["phase"]], about.append_text(found))

    def _on_recalled(self, event: dict[str, Any]) -> None:
        said = "Hints from earlier runs on these weights: they suggest where to look, and none counts as evidence here"
        hang(self.console, Text(said, style="bold"), 0, 2)
        runs: dict[str, list[str]] = {}
        for finding in event["findings"]:
            runs.setdefault(visible(finding["text"]), []).append(visible(finding["run"]))
        for text, found in runs.items():
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            self._line("hint", Text(text, style="default").append(f"  run {found[0]}{more}", style="dim"))
        self.console.print()

    def _on_asking(self, event: dict[str, Any]) -> None:
        said = Text(event["model"], style="bold").append(f"  for probes of {event['prompt']!r}", "default")
        self._line("ask", said)

    def _on_written(self, event: dict[str, Any]) -> None:
        if event["problem"]:
            self._line("", Text(f"→ no probes: {event['problem']}", style="yellow"))
        else:
            self._line("", Text(f"→ probes written: {event['n']}, by {event['model']}", style="default"))

    def _on_consulting(self, event: dict[str, Any]) -> None:
        does = f"{escape(event['model'])} {DOES[event['role']]} …"
        self._bar.reset(self._task, total=None, visible=True, description=does)

    def _on_said(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, visible=False)
        self._bar.update(self._task, total=1)
        if event["problem"]:
            self._line(SAYS[event["role"]], Text(f"turn {event['number']}: {event['problem']}", style="yellow"))
        elif event["content"]:
            self._line(SAYS[event["role"]], Text(f"“{shortened(event['content'])}”", style="italic"))

    def _on_spent(self, event: dict[str, Any]) -> None:
        self._spent.plain = f"  {event['text']}"

    def _on_notice(self, event: dict[str, Any]) -> None:
        hang(self.console, Text("note: " + event["text"], style="yellow"), 2, 2 + TEXT)

    def _on_sealed(self, event: dict[str, Any]) -> None:
        self._heading("Predictions, sealed before they are tested")
        self._line(event["prediction"], Text(in_short(event["statement"]), style="default"))

    def _on_judged(self, event: dict[str, Any]) -> None:
        self._heading("Verdicts")
        self._line(event["claim"], Text(f"{event['verdict']} ({event['tier']})", style=VERDICT_STYLE[event["verdict"]]))

    def _on_attempted(self, event: dict[str, Any]) -> None:
        self._heading("Attempts to break claims")
        self._line(event["attempt"], Text(event["outcome"], style=OUTCOME_STYLE[event["outcome"]]))


def shortened(said: str) -> str:
    """A language model's words in one line, as far as they fit."""
    line = " ".join(said.split())
    return line if len(line) <= LONGEST_SAID else f"{line[:LONGEST_SAID]}…"


def in_short(statement: str) -> str:
    """A statement up to its first colon outside backticks; the claims at the end give it whole."""
    found = re.match(r"(?:[^`:]|`[^`]*`)+(?=: )", statement)
    return found[0] if found else statement
