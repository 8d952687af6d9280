"""How the questions of a chat are investigated: a file beside its history."""

from pathlib import Path

from pydantic import ValidationError

from ..chat.history import FOLDER
from ..runs import UnreadableFile, write_whole
from .orders import ChatSettings

ENDING = ".settings.json"


def settings_file(home: Path, chat: str) -> Path:
    """Where they lie."""
    return home / FOLDER / f"{chat}{ENDING}"


def keep_settings(home: Path, chat: str, settings: ChatSettings) -> None:
    """Write them down; the next message is heard with them."""
    write_whole(settings_file(home, chat), settings.model_dump_json(indent=1))


def kept_settings(home: Path, chat: str) -> ChatSettings | None:
    """What was written down; none where nothing was, as of a chat that began in a terminal.

    Raises:
        UnreadableFile: it was changed.
    """
    path = settings_file(home, chat)
    try:
        return ChatSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} holds no settings. Remove it, and begin another chat.") from error
