"""What was said in a chat, on disk: LangGraph checkpoints, one for each thing that happened.

A checkpoint holds one event, not all that was said before it, so that a long chat stays small; what holds now is what
the events come to in their order. A message is written down before anything is done about it, and what came of it
afterwards: `kill -9` leaves a turn that says what it was about to do. Events are never deleted: `/undo` adds one.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from pydantic import ValidationError

from ...tools import Frozen, ToolError
from ..held import held
from ..runs import UnreadableFile
from .turns import Reply, Turn

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FOLDER = "chats"


class About(Frozen):
    """What a chat is about, written when it begins."""

    model: str
    fingerprint: str
    seed: int


class _State(TypedDict):
    event: dict[str, Any]


class History:
    """The events of one chat.

    Args:
        checkpoints: where they are kept.
        thread: the chat's name there, where others share it.
    """

    def __init__(self, name: str, checkpoints: "BaseCheckpointSaver[Any]", thread: str = "") -> None:
        self.name, self.about = name, None
        self.turns: list[Turn] = []
        self._config: Any = {"configurable": {"thread_id": thread or name}}
        graph = StateGraph(_State)
        graph.add_node("keep", lambda state: {})
        graph.add_edge(START, "keep")
        graph.add_edge("keep", END)
        self._graph = graph.compile(checkpointer=checkpoints)
        self._open: int | None = None  # place of the turn that is under way
        self._forgotten: dict[str, Turn] = {}  # by the order that brought it
        self._undone: dict[str, Turn] = {}  # by the order that had it forgotten
        kept = [found.values["event"] for found in self._graph.get_state_history(self._config) if found.values]
        try:
            for event in reversed(kept):
                self._take(event)
        except (KeyError, IndexError, TypeError, ValidationError) as error:
            raise UnreadableFile(f"Chat {name} cannot be read ({error}). Begin another with --name.") from error
        self.settle()

    about: About | None

    @property
    def under_way(self) -> Turn | None:
        """The turn that was opened and has not ended."""
        return None if self._open is None else self.turns[self._open]

    def begin(self, about: About) -> None:
        """Write down what the chat is about."""
        self._keep({"kind": "began", "about": about.model_dump(mode="json")})

    def open(self, turn: Turn) -> None:
        """Write down a message and what is about to be done; the turn counts as stopped until it is closed."""
        self._keep({"kind": "opened", "turn": turn.model_dump(mode="json")})

    def close(self, turn: Turn) -> None:
        """Write down a turn that has ended: the one that is open, if one is."""
        place = -1 if self._open is None else self._open
        ends_open = self._open is not None
        self._keep({"kind": "closed", "turn": turn.model_dump(mode="json"), "ends_open": ends_open, "place": place})

    def settle(self) -> None:
        """Let a turn that was opened and never ended stand as stopped."""
        self._open = None

    def ended_of(self, order: str) -> Turn | None:
        """The turn that an order brought, where it has come to its end, or was forgotten meanwhile."""
        found = (turn for turn in self.turns if turn.order == order and turn.reply.kind != "stopped")
        return next(found, self._forgotten.get(order))

    def take_up(self, order: str) -> Turn | None:
        """The turn that an order brought and that was stopped; closing it then replaces it where it stands."""
        brought = (i for i, turn in enumerate(self.turns) if turn.order == order and turn.reply.kind == "stopped")
        self._open = next(brought, None)
        return self.under_way

    def undo(self, order: str = "") -> Turn | None:
        """Forget the last turn; none where there is none.

        Args:
            order: names what brought the wish; the same one again forgets nothing more.
        """
        if order in self._undone:
            return self._undone[order]
        if not self.turns:
            return None
        last = self.turns[-1]
        self._keep({"kind": "undone", "order": order})
        return last

    def _keep(self, event: dict[str, Any]) -> None:
        self._graph.update_state(self._config, {"event": event}, as_node="keep")
        self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "began":
            self.about = About.model_validate(event["about"])
        elif kind == "undone":
            self._forget(event.get("order", ""))
        else:
            turn = Turn.model_validate(event["turn"])
            if kind == "closed" and event["ends_open"]:
                self.turns[event.get("place", -1)] = turn
            else:
                self.turns.append(turn)
            self._open = len(self.turns) - 1 if kind == "opened" else None

    def _forget(self, order: str) -> None:
        last, self._open = self.turns.pop(), None
        if last.order:
            self._forgotten[last.order] = last
        if order:
            self._undone[order] = last


def stopped(understood: str, run: str) -> Reply:
    """What stands for the reply of a turn until it has ended."""
    return Reply(kind="stopped", understood=understood, run=run)


def new_name(home: Path, stamp: str, is_taken: Callable[[str], bool] = lambda name: False) -> str:
    """A name for a chat that was given none.

    Args:
        is_taken: whether a name stands for something else than a history already.
    """
    taken = {*names(home)}
    tried = (stamp + (f"-{n}" if n else "") for n in range(1000))
    return next(name for name in tried if name not in taken and not is_taken(name))


def names(home: Path) -> list[str]:
    """The chats kept under a home, the one used last at the end."""
    found = sorted((home / FOLDER).glob("*.sqlite"), key=lambda path: (path.stat().st_mtime, path.name))
    return [path.stem for path in found]


@contextmanager
def open_history(home: Path, name: str) -> Iterator[History]:
    """A chat kept in HOME/chats/NAME.sqlite; only one process has it at a time.

    Raises:
        ToolError: no such name can be, or another process has the chat.
        UnreadableFile: the file holds no chat.
    """
    refuse_name(name)
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.sqlite"
    with (
        held(folder / f"{name}.lock", lambda by: in_use(name, by)),
        closing(sqlite3.connect(path, check_same_thread=False)) as connection,
    ):
        yield _history_in(path, connection)


def read_history(home: Path, name: str) -> History:
    """What was said in a chat so far, which another process may go on with; it is to be read alone.

    Raises:
        ToolError: there is none of that name.
        UnreadableFile: the file holds no chat.
    """
    refuse_name(name)
    path = home / FOLDER / f"{name}.sqlite"
    if not path.is_file():
        raise ToolError(f"There is no chat {name!r}.", mend="Begin one.")
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        return _history_in(path, connection)


def _history_in(path: Path, connection: sqlite3.Connection) -> History:
    saver = SqliteSaver(connection, serde=serializer())
    try:
        saver.setup()
        return History(path.stem, saver)
    except sqlite3.DatabaseError as error:
        raise UnreadableFile(f"{path} holds no chat ({error}). Begin another with --name.") from error


def refuse_name(name: str) -> None:
    """Stop where a name could not be a file's."""
    if not NAME.fullmatch(name):
        raise ToolError(
            f"{name!r} cannot name a chat.",
            mend="Use up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first.",
        )


def serializer() -> JsonPlusSerializer:
    """Plain values only: a chat's file may come from anywhere."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


def in_use(name: str, by: str) -> ToolError:
    """That another process has the chat."""
    return ToolError(f"Chat {name} is open in another process ({by}).", mend="Leave it there, or use another --name.")
