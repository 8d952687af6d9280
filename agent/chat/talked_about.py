"""The runs of a chat: which of them a message is about, and their reports with a check of the weights."""

from collections.abc import Sequence
from pathlib import Path

from ...tools import SubjectKey, ToolError
from ..report.schema import Report, read_report
from ..runs import RunFolder, UnknownRun, run_named
from .turns import Turn


class Runs:
    """The runs that a chat's turns name.

    Args:
        home: where runs lie.
        turns: the chat so far.
        key: the weights that are loaded now.
        anywhere: whether a run may be named by a folder that lies elsewhere.
    """

    def __init__(self, home: Path, turns: Sequence[Turn], key: SubjectKey, anywhere: bool = True) -> None:
        self._home, self._turns, self._key, self._anywhere = home, turns, key, anywhere

    @property
    def names(self) -> list[str]:
        """Every run that was begun in this chat, in order."""
        own = [t.reply.run for t in self._turns if t.reply.kind in ("investigated", "stopped") and t.reply.run]
        return list(dict.fromkeys(own))

    @property
    def focus(self) -> str:
        """The run that was talked about last; empty where there is none."""
        return next((turn.reply.run for turn in reversed(self._turns) if turn.reply.run), "")

    def folders(self) -> list[RunFolder]:
        """The folders of those that are still there, newest first."""
        found = [self._home / "runs" / name for name in reversed(self.names)]
        return [RunFolder(path) for path in found if (path / "run.json").is_file()]

    def meant(self, words: str) -> list[str]:
        """Names of the runs that some words may mean; several where they do not say which.

        Raises:
            UnknownRun: none.
        """
        names = self.names
        if not words:
            return [self.focus] if self.focus else []
        if words in ("last", "latest", "newest"):
            # The last that was asked and the last that was talked about are both "the last one".
            return list(dict.fromkeys(name for name in (names[-1] if names else "", self.focus) if name))
        if words == "first":
            return names[:1]
        if words in ("previous", "earlier"):
            place = names.index(self.focus) if self.focus in names else len(names)
            return names[max(0, place - 1) : place]
        if words.isdecimal() and 1 <= int(words) <= len(names):
            return [names[int(words) - 1]]
        if found := [name for name in names if words in name or words in self.question(name).casefold()]:
            return [words] if words in found else found
        return [self.folder(words).name]

    def question(self, name: str) -> str:
        """What a run asks; its name where the run is gone."""
        try:
            return self.folder(name).info.question
        except UnknownRun:
            return name

    def folder(self, name: str) -> RunFolder:
        """The folder of a run.

        Raises:
            UnknownRun: it is gone, or lies where it may not be looked for.
        """
        return RunFolder.open(self._home, name) if self._anywhere else run_named(self._home, name)

    def report(self, name: str) -> Report:
        """The report of a run.

        Raises:
            UnknownRun: it is gone.
            ToolError: it has not ended.
            UnreadableReport: its report was changed.
        """
        path = self.folder(name).path / "report.json"
        if not path.is_file():
            raise ToolError(f"Run {name} has not ended, so it has no report.", mend="/resume goes on with it.")
        return read_report(path)

    def ended(self, name: str) -> bool:
        """Whether a run is there with its report."""
        return (self._home / "runs" / name / "report.json").is_file()

    def stale(self, report: Report) -> str:
        """Why a report says nothing of the weights that are loaded now; empty where it does."""
        then = report.subject.key.fingerprint
        if then == self._key.fingerprint:
            return ""
        now = self._key.fingerprint
        return (
            f"Run {report.run} is about other weights ({then[:12]}) than those loaded now ({now[:12]}): "
            "what follows was found in those, and says nothing of these."
        )

    def answered(self, question: str, pairs: Sequence[dict[str, object]]) -> str:
        """The newest run of this chat that answers a question on these weights; empty where none does."""
        for name in reversed(self.names):
            if not self.ended(name):
                continue
            info = self.folder(name).info
            if info.question == question and list(info.pairs) == list(pairs) and not self.stale(self.report(name)):
                return name
        return ""
