"""What a person sees in the terminal while an investigation runs, and when it ends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from .report.schema import Report

VERDICT_STYLE = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}
PHASE_WORD = {"explore": "explore", "confirm": "confirm", "control": "control", "black_box": "ask only"}


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
        self._live = Live(Group(self._bar), console=console, transient=True, refresh_per_second=8)
        self._headings: set[str] = set()

    def __enter__(self) -> "Watcher":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def see(self, event: dict[str, Any]) -> None:
        """Show one event."""
        show: Callable[[dict[str, Any]], None] | None = getattr(self, f"_on_{event['event']}", None)
        if show:
            show(event)

    def _on_started(self, event: dict[str, Any]) -> None:
        phase = event["phase"]
        if phase == "confirm" and "confirm" not in self._headings:
            self._headings.add("confirm")
            self.console.print("\n[bold]Confirming on held-out prompts[/]")
        self.console.print(
            f"[cyan]{PHASE_WORD[phase]:>8}[/] [bold]{escape(event['tool'])}[/]  {escape(event['why'])}", highlight=False
        )
        self._bar.reset(self._task, total=1, visible=True, description="…")

    def _on_progress(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, completed=event["done"], total=event["total"], description=escape(event["what"]))

    def _on_finished(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, visible=False)
        how = "measured before" if event["known"] else f"{event['seconds']:.1f} s"
        self.console.print(Text("         → " + event["found"], style="default").append(f"  {how}", style="dim"))

    def _on_failed(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, visible=False)
        self.console.print(Text("         → could not run: " + event["reason"], style="yellow"))

    def _on_recalled(self, event: dict[str, Any]) -> None:
        for finding in event["findings"]:
            self.console.print(
                f"[cyan]  recall[/] {escape(finding['text'])} [dim](run {escape(finding['run'])}, same weights)[/]"
            )

    def _on_notice(self, event: dict[str, Any]) -> None:
        self.console.print(Text("  note: " + event["text"], style="yellow"))

    def _on_sealed(self, event: dict[str, Any]) -> None:
        if "seal" not in self._headings:
            self._headings.add("seal")
            self.console.print("\n[bold]Predictions, sealed before they are tested[/]")
        self.console.print(Text(f"{event['prediction']:>8} ", style="cyan").append(event["statement"], style="default"))

    def _on_judged(self, event: dict[str, Any]) -> None:
        if "judge" not in self._headings:
            self._headings.add("judge")
            self.console.print("\n[bold]Verdicts[/]")
        style = VERDICT_STYLE[event["verdict"]]
        line = Text(f"{event['claim']:>8} ", style="cyan").append(f"{event['verdict']} ({event['tier']}) ", style=style)
        self.console.print(line.append(event["statement"], style="default"))


def print_answer(console: Console, report: "Report", paths: dict[str, str]) -> None:
    """The answer, the claims, what was not found, and where the report lies."""
    from .report.figures import Lookup, render_plain

    lookup = Lookup.of(report)
    console.print("\n[bold]Answer[/]")
    for sentence in report.answer:
        console.print(Text("  " + render_plain(sentence, lookup)))
    if report.claims:
        console.print("\n[bold]Claims[/]")
    for claim in report.claims:
        judged = claim.judgement
        style = VERDICT_STYLE[judged.verdict]
        line = Text(f"  {claim.id} ", style="cyan").append(f"{judged.verdict}, {judged.tier}: ", style=style)
        line.append(render_plain(claim.sentence, lookup)).append(f"  [{', '.join(claim.measurements)}]", style="dim")
        console.print(line)
        console.print(Text(f"     {judged.reason}", style="dim"))
    for title, sentences in (("Prompting alone", report.black_box), ("Not found", report.not_found)):
        if sentences:
            console.print(f"\n[bold]{title}[/]")
        for sentence in sentences:
            console.print(Text("  " + render_plain(sentence, lookup)))
    console.print(f"\n[bold]Report[/]  {escape(paths['html'])}")
    console.print(f"        {escape(paths['md'])}\n        {escape(paths['json'])}")
    console.print(f"[dim]Measure every number again: vesalius verify {escape(report.run)}[/]")
