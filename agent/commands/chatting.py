"""`vesalius chat`: a conversation about one model, kept from one process to the next."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from ...tools import ToolError
from ..chat.conversation import Conversation
from ..chat.history import About, History, names, new_name, open_history
from ..chat.investigating import Lab
from ..chat.terminal import Terminal
from ..chat.turns import plain
from ..endpoint import endpoint_of
from ..report._text import visible
from ..settings import Settings
from .asking import planned_of

if TYPE_CHECKING:
    from ...tools import Subject


def chat_command(
    settings: Settings,
    model: str | None,
    name: str,
    resume: bool,
    kept_at: str,
    use_memory: bool,
    download: bool,
    as_json: bool,
) -> None:
    """Talk until the person leaves.

    Args:
        model: as the command line gave it; a chat that is gone on with is about the model that it began with.
        kept_at: URL of a PostgreSQL database for the history; empty for a file under home.
    """
    _refuse_what_cannot_work(settings)
    with _history(settings, name, resume, kept_at) as history:
        from ...tools import load_subject

        begun = history.about
        subject = load_subject(model or (begun.model if begun else settings.model), settings.device, download=download)
        terminal = Terminal(settings, as_json)
        _greet(terminal, history, subject)
        if begun is None:
            key = subject.key
            history.begin(About(model=key.model, fingerprint=key.fingerprint, seed=settings.seed))
        elif begun.seed != settings.seed:
            settings = settings.model_copy(update={"seed": begun.seed})
        _talk(terminal, Conversation(Lab(settings, subject, terminal, use_memory), history, terminal.tell))
        here = "" if kept_at else f" --home {settings.home}" if _is_elsewhere(settings) else ""
        terminal.tell(plain(f"Kept; to go on: vesalius chat --resume --name {history.name}{here}", style="dim"))


def _is_elsewhere(settings: Settings) -> bool:
    from ..settings import read_settings

    return settings.home != read_settings().home


def _refuse_what_cannot_work(settings: Settings) -> None:
    """What is wrong in the settings is said before a model is loaded."""
    planned_of(settings)
    if settings.probes == "llm":
        endpoint_of(settings)


def _history(settings: Settings, name: str, resume: bool, kept_at: str) -> AbstractContextManager[History]:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    if kept_at:
        from ..chat.postgres import open_postgres

        return open_postgres(kept_at, name or stamp, resume, any_name=not name)
    kept = names(settings.home)
    if not resume:
        if name in kept:
            raise ToolError(f"There is a chat {name}.", mend=f"Go on with it: --resume --name {name}; or give another.")
        return open_history(settings.home, name or new_name(settings.home, stamp))
    if not kept or (name and name not in kept):
        listed = ", ".join(kept[-5:]) or "none yet"
        raise ToolError(
            f"There is no chat {name!r} to go on with." if name else "There is no chat to go on with.",
            mend=f"Chats, the one used last at the end: {listed}. Leave --resume out to begin one.",
        )
    return open_history(settings.home, name or kept[-1])


def _greet(terminal: Terminal, history: History, subject: "Subject") -> None:
    key, begun = subject.key, history.about
    terminal.tell(
        (
            *plain(f"Chat {history.name}", style="bold"),
            *plain(
                f"model {visible(key.model)}, fingerprint {key.fingerprint[:12]}, {subject.shape.n_layers} layers, on "
                f"{subject.device}; /help says what is understood",
                style="dim",
            ),
        )
    )
    if begun is not None and begun.fingerprint != key.fingerprint:
        text = (
            f"This chat began with other weights ({begun.fingerprint[:12]}): what its runs found does not hold of "
            "these, and is said to be about others."
        )
        terminal.tell(plain(text, style="yellow"))
    terminal.remind(history.turns)


def _talk(terminal: Terminal, conversation: Conversation) -> None:
    for said in terminal.messages():
        if not said:
            continue
        try:
            reply = conversation.hear(said)
        except KeyboardInterrupt:
            terminal.tell(plain("Stopped.", style="yellow"))
            continue
        terminal.show(said, reply)
        if reply.kind == "quit":
            return
