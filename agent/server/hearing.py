"""A message of a chat, heard in a worker: what happens is told as it happens, and the person at the page has a say."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import Field

from ...tools import Frozen, Progress, Subject, ToolError
from ..approving import Decision, Waiting, decide
from ..asking import ask
from ..chat.conversation import Conversation
from ..chat.history import About, open_history
from ..chat.investigating import Lab
from ..chat.turns import Kind, Line as ChatLine, Reply, Turn, plain
from ..commands.approving import forget_waiting, keep_waiting
from ..raising import raise_budget
from ..runs import UnreadableFile
from ..settings import Settings
from .chat_settings import keep_settings, kept_settings
from .orders import Hear
from .problems import without_home

if TYPE_CHECKING:
    from ..desk import Desk

MOST_SHOWN = 3  # entries of a list among the arguments, before the measurement itself is there to be looked at


@runtime_checkable
class Line(Protocol):
    """The line to the server, as far as a message needs it."""

    def send(self, message: dict[str, Any]) -> None:
        """Tell the server something."""

    def is_stopped(self) -> bool:
        """Whether the person wants it no more."""
        ...

    def words(self) -> Iterator[dict[str, Any]]:
        """What was said meanwhile."""
        ...


class Parked(Exception):
    """A run waits for a person's word; its worker is free meanwhile, and the same order goes on with it.

    Args:
        waiting: what it waits for.
    """

    def __init__(self, waiting: Waiting) -> None:
        super().__init__(waiting.key)
        self.waiting = waiting


class ReplyShown(Frozen):
    """A reply as a page shows it."""

    kind: Kind = Field(description="Investigated, answered from what is known, asked back, refused, …")
    lines: tuple[ChatLine, ...] = Field(description="What is said.")
    understood: str = Field(description="The question that was understood, where one is investigated.")
    run: str = Field(description="The run that it is about or from; empty where there is none.")
    options: tuple[str, ...] = Field(description="Asked back: what it may mean, to be answered by number.")
    wants_pairs: str = Field(description="Asked back: the question whose pairs are still to be given.")
    calls: int = Field(description="Requests to a language model to understand the message (count).")
    kept: bool = Field(description="Part of the conversation; a look at the budget, say, is none.")


def reply_shown(reply: Reply) -> ReplyShown:
    """A reply as a page shows it: what would be done about an option stays here."""
    plain = {name: getattr(reply, name) for name in ReplyShown.model_fields if name != "options"}
    return ReplyShown(**plain, options=tuple(option.label for option in reply.options))


def hear(message: Hear, order: str, subject: Subject, settings: Settings, line: Line) -> dict[str, Any]:
    """The reply to a message.

    Args:
        order: names the order; the same one again goes on with what it began.

    Raises:
        Parked: its run waits for a person's word.
        ToolError: the chat is open in another process.
        UnreadableFile: its file holds no chat.
    """
    wanted = message.settings
    given = {"planner": wanted.planner, "approve": wanted.approve, "budget": wanted.budget, "seed": wanted.seed}
    front = PageFront(line, settings.home)
    lab = Lab(settings.model_copy(update=given), subject, front, use_memory=True)
    with open_history(settings.home, message.chat) as history:
        if history.about is None:
            history.begin(About(model=subject.key.model, fingerprint=subject.key.fingerprint, seed=wanted.seed))
        reply = Conversation(lab, history, front.tell, reads_files=False).hear(message.said, message.pairs, order)
    if lab.settings.budget != wanted.budget:  # `/budget` changes it for what is asked next
        now = kept_settings(settings.home, message.chat) or wanted  # the person may have changed others meanwhile
        keep_settings(settings.home, message.chat, now.model_copy(update={"budget": lab.settings.budget}))
    return hidden({"reply": reply_shown(reply).model_dump(mode="json")}, settings.home)


def write_unheard(home: Path, message: Hear, order: str, error: str) -> None:
    """Write a message into its chat that no worker could hear; not where a run of it is written down already."""
    # Where the chat cannot be written, the error is shown as long as the server knows of it.
    with suppress(ToolError, UnreadableFile, OSError, sqlite3.Error), open_history(home, message.chat) as history:
        if order not in {turn.order for turn in history.turns}:
            reply = Reply(kind="refused", lines=plain(error, style="yellow"))
            history.close(Turn(said=message.said, reply=reply, order=order))


def hidden(told: Any, home: Path) -> Any:
    """What is told without the folder that runs lie in; who reads a page need not know where that is."""
    match told:
        case str():
            return without_home(told, home)
        case dict():
            return {name: hidden(one, home) for name, one in told.items()}
        case list() | tuple():
            return [hidden(one, home) for one in told]
        case _:
            return told


class PageFront:
    """A person at a page, as an investigation has them."""

    how_pairs_come = "Add them below, as JSON or CSV."

    def __init__(self, line: Line, home: Path) -> None:
        self._line, self._home = line, home
        self._decisions: list[dict[str, Any]] = []

    def tell(self, lines: tuple[ChatLine, ...]) -> None:
        """Show lines before the investigation that they announce."""
        self._event({"event": "told", "lines": [line.text for line in lines]})

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """Shows how far something is, and stops it where it is wanted no more."""

        def told(done: int, total: int, doing: str) -> None:
            self._line.send({"step": {"done": done, "total": total, "doing": doing}})
            self._refuse_to_go_on()

        told(0, 1, what)
        yield told

    def run_to_its_end(self, desk: "Desk") -> None:
        """Run the investigation of a desk, as far as a person's words allow.

        Raises:
            KeyboardInterrupt: the person stops it.
            Parked: it waits for a word.
        """
        self._event({"event": "run", "run": desk.folder.name, "question": desk.folder.info.question})
        for event in _measured_before(desk):
            self._event(event)
        while (waiting := ask(desk, lambda event: self._see(desk, event))) is not None:
            self._approved(desk, waiting)

    def _see(self, desk: "Desk", event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self._line.send({"step": {"done": event["done"], "total": event["total"], "doing": event["what"]}})
        else:
            self._event({**event, "args": _in_short(event["args"])} if "args" in event else event)
        self._hear(desk)
        self._refuse_to_go_on()

    def _hear(self, desk: "Desk") -> None:
        """Do at once what can be; decisions are kept until the run is where they are due."""
        for word in self._line.words():
            if "decision" in word:
                self._decisions.append(word)
            elif self._tried(lambda word=word: raise_budget(desk.ledger, desk.purse, word["budget"])):
                self._event({"event": "notice", "text": f"The budget was raised: {word['budget']}."})

    def _approved(self, desk: "Desk", waiting: Waiting) -> None:
        """Write down what a person said.

        Raises:
            KeyboardInterrupt: the person stops it.
            Parked: nothing was said yet, or nothing that can be.
        """
        keep_waiting(desk.folder, waiting)
        self._hear(desk)
        self._refuse_to_go_on()
        while self._decisions:
            word = self._decisions.pop(0)
            if word["key"] != waiting.key:
                self._event({"event": "not_taken", "text": "The run does not wait for that word any more."})
            elif self._tried(lambda word=word: _decide(desk, waiting, word)):
                forget_waiting(desk.folder)
                self._event({"event": "approved", "key": waiting.key, "decision": word["decision"]})
                return
        raise Parked(waiting)

    def _tried(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except ToolError as error:
            self._event({"event": "not_taken", "text": str(error)})
            return False
        return True

    def _refuse_to_go_on(self) -> None:
        if self._line.is_stopped():
            raise KeyboardInterrupt

    def _event(self, event: dict[str, Any]) -> None:
        self._line.send({"event": hidden(event, self._home)})


def _decide(desk: "Desk", waiting: Waiting, word: dict[str, Any]) -> None:
    decide(desk.ledger, waiting, _decision(word, waiting), desk.subject.site)


def _decision(word: dict[str, Any], waiting: Waiting) -> Decision:
    """
    Raises:
        ToolError: it says of predictions what can be said of an experiment, or the other way round.
    """
    decision = Decision.model_validate(word["decision"])
    if waiting.experiment is None and (decision.skip or decision.stop):
        raise ToolError("Predictions are not skipped or stopped.", mend="Drop them: `all` for every one.")
    if waiting.experiment is not None and (decision.drop or decision.changes):
        raise ToolError("An experiment has no predictions.", mend="Run it, skip it, or stop exploring.")
    return decision


def _measured_before(desk: "Desk") -> Iterator[dict[str, Any]]:
    """What a run that is taken up again has measured already, so that who looks on misses nothing."""
    for entry in desk.ledger.entries():
        if entry.kind in ("measurement", "confirmed") and "measurement" in entry.body:
            about = {name: entry.body.get(name, "") for name in ("key", "tool", "why", "phase", "measurement")}
            yield {"event": "before", **about, "twin": entry.body.get("twin_seed") is not None}


def _in_short(args: dict[str, Any]) -> dict[str, Any]:
    """Arguments with long lists as their length."""
    return {
        name: f"{len(value)} entries" if isinstance(value, list) and len(value) > MOST_SHOWN else value
        for name, value in args.items()
    }
