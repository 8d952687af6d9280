"""What a chat does about an action, once it is clear which is meant."""

import os.path
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tools import ToolError
from ..budget import budget_of, prices_of
from ..commands.asking import read_pairs
from ..planners.interface import ContrastPair
from ..planners.reading import TAKING_PAIRS, form_of, read_question
from ..report._text import visible
from ..runs import RunFolder
from .commands import help_lines
from .following import MOST_OFFERED, places_of, questions_for
from .history import History, stopped
from .remembered import remembered
from .reporting import Told
from .reuse import shared_confirmations
from .spending import spending
from .talked_about import Runs
from .terminal import verify_command
from .turns import Action, Line, Option, Reply, Turn, asking_back, plain

if TYPE_CHECKING:
    from .investigating import Lab

Tell = Callable[[tuple[Line, ...]], None]
"""Shows lines at once, before what they announce."""


class Doing:
    """Carries out one action of a message.

    Args:
        tell: shows what is said before an investigation begins.
        order: names what brought the message, where something did.
        anywhere: whether a run may be named by a folder that lies elsewhere.
    """

    def __init__(
        self, lab: "Lab", history: History, said: str, tell: Tell, order: str = "", anywhere: bool = True
    ) -> None:
        self.lab, self.history, self.said, self.tell, self.order = lab, history, said, tell, order
        self.runs = Runs(lab.settings.home, history.turns, lab.subject.key, anywhere)

    def do(self, action: Action) -> Reply:
        """The reply to an action; errors that a person can mend are raised."""
        found: Callable[[Action], Reply] | None = getattr(self, f"_do_{action.do}", None)
        return found(action) if found else self._from_a_report(action)

    def _do_investigate(self, action: Action) -> Reply:
        # A path that names no home stays as it is, and is then a file that is not there.
        file = os.path.expanduser(action.pairs_from)
        pairs = action.pairs or (read_pairs(Path(file)) if file else ())
        if form_of(action.question) in TAKING_PAIRS and not pairs:
            text = f"Which pairs show {action.question!r}? {self.lab.front.how_pairs_come}"
            return Reply(kind="asked_back", lines=plain(visible(text)), wants_pairs=action.question)
        read_question(action.question, pairs)
        known = self.runs.answered(action.question, [pair.model_dump(mode="json") for pair in pairs])
        if known and not action.anew:
            head = f"Run {known} of this chat answered that, on these weights; /again measures it anew."
            return self._answered(known, (*plain(head, style="dim"), *Told(self.runs.report(known)).answer()))
        folder = self.lab.begin(action.question, pairs, action.put)
        self._open(action.question, folder)
        self.tell(_heading(action, folder))
        return self._run(folder)

    def _do_again(self, action: Action) -> Reply:
        info = self.runs.folder(self._one(action)).info
        # What it took to understand the question was spent in the run before.
        put = info.put.model_copy(update={"turns": ()}) if info.put else None
        again = Action(do="investigate", question=info.question, pairs=_pairs_of(info.pairs), put=put, anew=True)
        return self._do_investigate(again)

    def _do_resume(self, action: Action) -> Reply:
        waiting = [t.reply.run for t in self.history.turns if t.reply.kind == "stopped"]
        open_runs = [name for name in dict.fromkeys(waiting) if not self.runs.ended(name)]
        if not action.run and not open_runs:
            raise ToolError("No run of this chat was stopped.", mend="Ask a question, or name a run: /resume RUN.")
        folder = self.runs.folder(self._one(action) if action.run else open_runs[-1])
        self._open(folder.info.question, folder)
        return self.go_on(folder.name)

    def go_on(self, run: str) -> Reply:
        """The reply of an investigation that was cut off: of one that had reached its report, that report."""
        folder = self.runs.folder(run)
        self.tell(_heading(Action(do="investigate", question=folder.info.question), folder))
        return self._run(folder)

    def _open(self, question: str, folder: RunFolder) -> None:
        self.history.open(Turn(said=self.said, reply=stopped(question, folder.name), order=self.order))

    def _run(self, folder: RunFolder) -> Reply:
        question = folder.info.question
        try:
            report = self.lab.run(folder, self.runs.folders())
        except KeyboardInterrupt:
            said = f"Stopped. Nothing measured is lost: /resume goes on with run {folder.name}."
            return Reply(kind="stopped", lines=plain(said, style="yellow"), understood=question, run=folder.name)
        others = [self.runs.report(name) for name in self.runs.names if self.runs.ended(name)]
        notes = tuple(
            Line(
                text=f"Confirmed by the same requests as run {run}: {', '.join(ids)}. The same numbers, measured "
                "again; the two runs are one piece of evidence.",
                style="yellow",
            )
            for run, ids in shared_confirmations(report, others).items()
        )
        return Reply(kind="investigated", lines=notes, understood=question, run=folder.name)

    def _do_swap(self, action: Action) -> Reply:
        """The last question with another word in it; asks back where that could be several."""
        name = self._one(action, due=False)
        info = self.runs.folder(name).info if name else None
        task = read_question(info.question, _pairs_of(info.pairs)) if info else None
        tasks = self.lab.subject.tasks
        places = places_of(tasks, task.prompt, task.answer) if task and task.kind == "why" else []
        found = [one for place in places[:1] or [None] for one in questions_for(tasks, action.what, place)]
        if not found:
            raise self._no_such_word(action.what, bool(places))
        options = tuple(
            Option(
                label=visible(f"{one.question} ({one.because})"),
                action=Action(do="investigate", question=one.question, because=one.because),
            )
            for one in found[:MOST_OFFERED]
        )
        if len(found) == 1 and places and found[0].question and _in_family(found[0].because, places[0].family.name):
            return self.do(options[0].action)
        more = (
            f" These are {len(options)} of {len(found)}; put the question whole for another."
            if found[MOST_OFFERED:]
            else ""
        )
        asked = (
            f"{action.what!r} can stand in {len(found)} questions." if len(found) > 1 else "Another kind of question."
        )
        return asking_back(visible(asked) + more, options)

    def _no_such_word(self, word: str, asked: bool) -> ToolError:
        why = "with the last question" if asked else "of this model"
        return ToolError(f"No task data {why} have the word {word!r}.", mend="Put the question whole, or say /help.")

    def _do_feature(self, action: Action) -> Reply:
        name = self._one(action, due=False)
        lines = Told(self.runs.report(name)).feature(action.what) if name else ()
        question = f"What does feature {action.what} stand for?"
        if lines:
            hint = Line(text=f"To test what it stands for, ask: {question}", style="dim")
            return self._answered(name, (*lines, hint))
        head = f"Run {name} did not look at feature {action.what}." if name else "No run has looked at it."
        option = Option(label=question, action=Action(do="investigate", question=question))
        return asking_back(head, (option,), run=name)

    def _do_recall(self, action: Action) -> Reply:
        words = action.what or (self.runs.question(self.runs.focus) if self.runs.focus else "")
        if not words:
            raise ToolError("It is not clear what to look for.", mend="Say: What do you remember about WORDS?")
        return Reply(kind="answered", lines=tuple(remembered(words, self.lab.card, self.lab.where.opener())))

    def _do_report(self, action: Action) -> Reply:
        name = self._one(action)
        told, folder = Told(self.runs.report(name)), self.runs.folder(name)
        paths = plain(*(str(folder.path / f"report.{kind}") for kind in ("html", "md", "json")), indent=2)
        verify = Line(text=f"Measure every number again: {verify_command(self.lab.settings, name)}", style="dim")
        return self._answered(name, (*told.answer(), *paths, verify))

    def _do_verify(self, action: Action) -> Reply:
        name = self._one(action)
        lines = self.lab.verify(self.runs.report(name), self.runs.folder(name))
        return Reply(kind="answered", lines=tuple(lines), run=name)

    def _do_runs(self, action: Action) -> Reply:
        lines = [
            Line(
                text=f"{i}  {name}{'' if self.runs.ended(name) else ' (stopped)'}: {visible(self.runs.question(name))}"
            )
            for i, name in enumerate(self.runs.names, start=1)
        ]
        return self._aside(lines or plain("No question was investigated in this chat yet."))

    def _do_plan(self, action: Action) -> Reply:
        question, pairs = action.what, ()
        if not question:
            info = self.runs.folder(self._one(action)).info
            question, pairs = info.question, _pairs_of(info.pairs)
        return self._aside(self.lab.plan(question, pairs, self.runs.folders()))

    def _do_budget(self, action: Action) -> Reply:
        if action.what:
            self.lab.set_budget(action.what)
        settings = self.lab.settings
        prices = prices_of(settings)
        calls = sum(turn.reply.calls for turn in self.history.turns)
        return self._aside(spending(budget_of(settings.budget, prices), self.runs.folders(), calls))

    def _do_undo(self, action: Action) -> Reply:
        last = self.history.undo(self.order)
        if last is None:
            raise ToolError("There is nothing to forget.", mend="Ask a question.")
        run = f" Run {last.reply.run} stays where it is." if last.reply.kind == "investigated" else ""
        return self._aside(plain(visible(f"Forgotten: {last.said!r}.{run}")))

    def _do_help(self, action: Action) -> Reply:
        return self._aside(help_lines())

    def _do_quit(self, action: Action) -> Reply:
        return Reply(kind="quit", kept=False)

    def _do_nothing(self, action: Action) -> Reply:
        return Reply(kind="answered", lines=plain("Nothing is done."))

    def _from_a_report(self, action: Action) -> Reply:
        name = self._one(action)
        report = self.runs.report(name)
        told = Told(report)
        lines: dict[str, Callable[[], Iterable[Line]]] = {
            "why": lambda: told.why(action.what),
            "held": lambda: told.held(action.what),
            "layer": lambda: told.layer(int(action.what)),
            "site": lambda: told.site(action.what),
            "sure": told.sure,
            "show": lambda: told.shown(action.what),
            "measured": told.measured,
            "missing": told.missing,
            "prompting": told.prompting,
        }
        return self._answered(name, tuple(lines[action.do]()))

    def _answered(self, name: str, lines: tuple[Line, ...]) -> Reply:
        """An answer from a run, under a line that says which, and whether it is about other weights."""
        report = self.runs.report(name)
        stale = self.runs.stale(report)
        head = plain(stale, style="yellow") if stale else ()
        source = plain(f"From run {name}: {visible(report.question)}", style="dim")
        return Reply(kind="answered", lines=(*source, *head, *lines), run=name)

    def _aside(self, lines: Iterable[Line]) -> Reply:
        return Reply(kind="answered", lines=tuple(lines), kept=False)

    def _one(self, action: Action, due: bool = True) -> str:
        """The run that an action is about; empty where there is none and none is due.

        Raises:
            Ambiguous: several are meant.
            ToolError: none is.
        """
        names = self.runs.meant(action.run)
        if len(names) > 1:
            raise Ambiguous(action, [(name, self.runs.question(name)) for name in names])
        if not names and due:
            raise ToolError("No run has been talked about yet.", mend="Ask a question first, or say /help.")
        return names[0] if names else ""


class Ambiguous(Exception):
    """Several runs are meant; the reply asks which."""

    def __init__(self, action: Action, runs: list[tuple[str, str]]) -> None:
        super().__init__(action.run)
        self.reply = asking_back(
            f"Several runs may be meant by {visible(action.run)!r}.",
            tuple(
                Option(label=f"{name}: {visible(question)}", action=action.model_copy(update={"run": name}))
                for name, question in runs
            ),
        )


def _pairs_of(pairs: tuple[dict[str, Any], ...]) -> tuple[ContrastPair, ...]:
    return tuple(ContrastPair.model_validate(pair) for pair in pairs)


def _in_family(because: str, family: str) -> bool:
    return because.endswith(f"`{family}`")


def _heading(action: Action, folder: RunFolder) -> tuple[Line, ...]:
    """What was understood, before it is investigated."""
    because = f"understood: {action.because}; " if action.because else ""
    return (
        Line(text=visible(action.question), style="bold"),
        Line(text=visible(f"{because}run {folder.name}"), style="dim"),
    )
