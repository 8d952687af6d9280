"""The end of an investigation in the terminal: the answer, each claim once, what was not found, and what words mean."""

from rich.console import Console
from rich.text import Text

from ._attempts import tier_of
from .console import TEXT, VERDICT_STYLE, hang
from .report._attempt_words import attempt_sentence, tally
from .report._beside_words import HIDDEN, NOTE as BESIDE_NOTE, SHOWN, interval_cell, rows_of, verdict_cell
from .report._sentence import Sentence
from .report._text import visible
from .report._worded import NOTE
from .report.effects import measured
from .report.figures import Lookup, render_plain
from .report.legend import words_of
from .report.schema import Claim, Report

INDENT = 2


def print_answer(console: Console, report: Report, paths: dict[str, str], verify: str) -> None:
    """Print what a report says in short.

    Args:
        paths: where the report lies, by format.
        verify: the command that measures it again.
    """
    answer = Answer(console, report)
    answer.sentences("Answer", report.answer)
    answer.worded()
    answer.claims()
    answer.beside()
    answer.sentences("Prompting alone", report.black_box)
    answer.sentences("Not found", report.not_found)
    answer.files(paths, verify)
    answer.legend()


class Answer:
    """Prints a report, and keeps what it printed, so that only words that were used are explained."""

    def __init__(self, console: Console, report: Report) -> None:
        self.console, self.report, self.lookup, self.said = console, report, Lookup.of(report), [""]

    def sentences(self, title: str, given: tuple[Sentence, ...]) -> None:
        """A heading with sentences, where there are any."""
        if not given:
            return
        self._heading(title)
        for sentence in given:
            self._say(Text(render_plain(sentence, self.lookup)), INDENT, INDENT + TEXT)

    def worded(self) -> None:
        """The answer in a language model's words, where one was asked for them."""
        worded = self.report.worded
        if worded is None:
            return
        self._heading(f"In the words of {visible(worded.by)}")
        self._say(Text(NOTE, style="dim"), INDENT, INDENT + TEXT)
        for sentence in worded.sentences:
            self._say(Text(render_plain(sentence, self.lookup)), INDENT, INDENT + TEXT)
        if worded.problem:
            self._say(Text(visible(worded.problem), style="yellow"), INDENT, INDENT + TEXT)
        if worded.left_out:
            told = f"Sentences left out: {len(worded.left_out)}; the report says why."
            self._say(Text(told, style="yellow"), INDENT, INDENT + TEXT)

    def claims(self) -> None:
        """Each claim once: verdict, tier and effect, what it says, and why where it is not supported."""
        if self.report.claims:
            self._heading("Claims")
        for claim in self.report.claims:
            judged, style = claim.judgement, VERDICT_STYLE[claim.judgement.verdict]
            line = Text(f"{claim.id} ", style="cyan").append(f"{judged.verdict}, {tier_of(claim)}", style=style)
            line.append("; " + render_plain(measured(claim), self.lookup), style="default")
            self._say(line, INDENT, INDENT + TEXT)
            self._say(Text(render_plain(claim.sentence, self.lookup)), INDENT + TEXT, INDENT + TEXT)
            if judged.verdict != "supported":
                self._say(Text(f"Why: {visible(judged.reason)}", style=style), INDENT + TEXT, INDENT + 2 * TEXT)
            self._attempts(claim)

    def beside(self) -> None:
        """What the run with names hidden found, beside this one, where there is one."""
        beside = self.report.beside
        if beside is None:
            return
        self.sentences(f"The same question {HIDDEN}", beside.sentences)
        for row in rows_of(self.report):
            self._say(Text(f"{visible(row.place)} {row.says}"), INDENT, INDENT + TEXT)
            for brief, how in ((row.hidden, HIDDEN), (row.shown, SHOWN)):
                found = ", effect ".join(filter(None, (verdict_cell(brief), interval_cell(brief))))
                style = VERDICT_STYLE[brief.verdict] if brief else "dim"
                self._say(Text(f"{how}: {found}", style=style), INDENT + TEXT, INDENT + 2 * TEXT)
        self._say(Text(BESIDE_NOTE, style="dim"), INDENT, INDENT + TEXT)
        way = f"The run {HIDDEN} is {visible(beside.run)}; measure its figures again: vesalius verify {beside.run}"
        self.console.print(Text(" " * INDENT + visible(way)), soft_wrap=True)

    def _attempts(self, claim: Claim) -> None:
        """How often it was tried to break a claim, and what broke it; the pages tell of each attempt."""
        if not claim.attempts:
            return
        self._say(Text(tally(claim.attempts)), INDENT + TEXT, INDENT + 2 * TEXT)
        for place, attempt in enumerate(claim.attempts):
            if attempt.outcome == "broken":
                told = render_plain(attempt_sentence(claim.id, place, attempt), self.lookup)
                self._say(Text(told, style="red"), INDENT + TEXT, INDENT + 2 * TEXT)

    def files(self, paths: dict[str, str], verify: str) -> None:
        """Where the report lies and how to measure it again; never wrapped, so that each can be copied whole."""
        self._heading("Report")
        for kind in ("html", "md", "json"):
            self.console.print(Text(" " * INDENT + visible(paths[kind])), soft_wrap=True)
        self.console.print(Text(f"Measure every number again: {visible(verify)}"), soft_wrap=True)

    def legend(self) -> None:
        """The words that were used here."""
        self.console.print(Text("\nWhat the words mean", style="dim"))
        for word in words_of("\n".join(self.said)):
            hang(self.console, Text(f"{word.name}: {word.meaning}", style="dim"), INDENT, INDENT + TEXT)

    def _heading(self, title: str) -> None:
        if title == "Answer":  # the one thing that was asked for, found at a glance in a long scroll
            self.console.print()
            self.console.rule(Text("Answer", style="bold"), style="bold", align="left")
        else:
            self.console.print(Text(f"\n{title}", style="bold"))

    def _say(self, line: Text, indent: int, hanging: int) -> None:
        self.said.append(line.plain)
        hang(self.console, line, indent, hanging)
