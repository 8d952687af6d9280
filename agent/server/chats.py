"""The chats of a home as pages show them: what was said lies in their histories, how they are asked in files beside."""

from datetime import datetime
from pathlib import Path
from threading import Lock

from pydantic import Field

from ...tools import Frozen, ToolError
from ..chat.history import FOLDER, names, new_name, read_history, refuse_name
from ..report._text import cut
from ..runs import UnreadableFile
from .chat_settings import keep_settings, kept_settings, settings_file
from .hearing import ReplyShown, hidden, reply_shown
from .orders import ChatSettings, Hear
from .pool import Pool
from .problems import NotHere

MOST_CHATS = 100  # in the list, the newest


class TurnShown(Frozen):
    """A message with its reply."""

    said: str = Field(description="The message.")
    reply: ReplyShown = Field(description="What it was answered with.")


class ChatInShort(Frozen):
    """A chat in the list."""

    name: str = Field(description="Names it.")
    first: str = Field(description="What was said first, cut short; empty where nothing was.")
    model: str = Field(description="The model that is asked about; empty where nothing was said yet.")
    turns: int = Field(description="Messages with a reply (count).")


class ChatShown(Frozen):
    """A chat with all that was said."""

    name: str = Field(description="Names it.")
    settings: ChatSettings = Field(description="How its questions are investigated.")
    turns: tuple[TurnShown, ...] = Field(description="Messages that have a reply, oldest first.")
    jobs: tuple[str, ...] = Field(description="Messages on their way, or not heard because of an error: handles.")


class Chats:
    """The chats of a home.

    Args:
        home: folder of runs, chats and memory.
        pool: where messages are on their way.
        default: how a chat is investigated that says nothing else, as one begun in a terminal.
    """

    def __init__(self, home: Path, pool: Pool, default: ChatSettings) -> None:
        self._home, self._pool, self._default = home, pool, default
        self._naming = Lock()
        self._counted: dict[str, tuple[int, ChatInShort]] = {}

    def begin(self, settings: ChatSettings) -> str:
        """A new chat's name; its settings are on disk when this returns."""
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        (self._home / FOLDER).mkdir(parents=True, exist_ok=True)
        with self._naming:
            name = new_name(self._home, stamp, lambda name: settings_file(self._home, name).exists())
            self.set(name, settings)
        return name

    def set(self, name: str, settings: ChatSettings) -> None:
        """Change how the next questions of a chat are investigated."""
        keep_settings(self._home, name, settings)

    def settings(self, name: str) -> ChatSettings:
        """How the questions of a chat are investigated.

        Raises:
            NotHere: there is no such chat.
            UnreadableFile: its settings were changed.
        """
        self._refuse_strange(name)
        if (kept := kept_settings(self._home, name)) is not None:
            return kept
        about = read_history(self._home, name).about
        return self._default.model_copy(update={"model": about.model, "seed": about.seed} if about else {})

    def list(self) -> tuple[ChatInShort, ...]:
        """The chats, the one used last first; one whose first message is on its way is listed by it."""
        begun, on_the_way = names(self._home), self._first_words()
        heard = (self._in_short(name) for name in reversed(begun[-MOST_CHATS:]))
        new = (name for name in reversed(on_the_way) if name not in begun)
        found = [ChatInShort(name=name, first="", model="", turns=0) for name in new] + [one for one in heard if one]
        return tuple(
            one if one.turns or one.name not in on_the_way else one.model_copy(update=on_the_way[one.name])
            for one in found[:MOST_CHATS]
        )

    def _first_words(self) -> dict[str, dict[str, str]]:
        """What was said first of all that the server knows of, and about which model, by chat."""
        first: dict[str, dict[str, str]] = {}
        for job in self._pool.all():
            if isinstance(work := job.order.work, Hear):
                first.setdefault(work.chat, {"first": cut(work.said), "model": work.settings.model})
        return first

    def shown(self, name: str) -> ChatShown:
        """A chat with all that was said.

        Raises:
            NotHere: there is no such chat.
            UnreadableFile: its file holds no chat.
        """
        settings = self.settings(name)
        of_chat = [job for job in self._pool.all() if _is_of(job.order.work, name)]
        orders = {job.handle for job in of_chat if not job.ended}
        is_begun = (self._home / FOLDER / f"{name}.sqlite").is_file()
        turns = read_history(self._home, name).turns if is_begun else []
        # One that failed before a word of it was written down is known to nobody else.
        orders |= {job.handle for job in of_chat if job.error} - {turn.order for turn in turns}
        return ChatShown(
            name=name,
            settings=settings,
            turns=tuple(
                TurnShown(said=turn.said, reply=self.without_paths(reply_shown(turn.reply)))
                for turn in turns
                if turn.order not in orders
            ),
            jobs=tuple(job.handle for job in of_chat if job.handle in orders),
        )

    def without_paths(self, reply: ReplyShown) -> ReplyShown:
        """A reply that does not tell where on this machine things lie."""
        lines = (line.model_copy(update={"text": hidden(line.text, self._home)}) for line in reply.lines)
        return reply.model_copy(update={"lines": tuple(lines)})

    def _refuse_strange(self, name: str) -> None:
        try:
            refuse_name(name)
        except ToolError as error:
            raise NotHere(error.message, mend=error.mend) from error
        begun = self._home / FOLDER / f"{name}.sqlite"
        if not any(path.is_file() for path in (begun, settings_file(self._home, name))):
            raise NotHere(f"There is no chat {name!r}.", mend="Begin one at /ask.")

    def _in_short(self, name: str) -> ChatInShort | None:
        """A chat in the list, read again only where it has changed; none where it cannot be read."""
        path = self._home / FOLDER / f"{name}.sqlite"
        changed = max(one.stat().st_mtime_ns for one in (path, path.with_name(path.name + "-wal")) if one.exists())
        if name in self._counted and self._counted[name][0] == changed:
            return self._counted[name][1]
        try:
            history = read_history(self._home, name)
        except (UnreadableFile, ToolError):
            return None
        short = ChatInShort(
            name=name,
            first=cut(history.turns[0].said) if history.turns else "",
            model=history.about.model if history.about else "",
            turns=len(history.turns),
        )
        self._counted[name] = changed, short
        return short


def _is_of(work: object, name: str) -> bool:
    return isinstance(work, Hear) and work.chat == name
