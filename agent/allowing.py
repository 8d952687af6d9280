"""Which models a server works on: those that the person who started it allows."""

from pathlib import Path

from ..tools import ToolError, reference_models
from .report._text import cut


def allowed_model(name: str, own: str, mend: str, any_name: bool = False) -> str:
    """The name of a model that may be loaded.

    Args:
        name: as a client gives it; empty for the server's own.
        own: what the server was started with.
        mend: what to do where a name is neither shipped nor a folder.
        any_name: whether names of elsewhere are allowed, too.

    Raises:
        ToolError: one that is neither shipped, nor a folder, nor what the server was started with.
    """
    name = name or own
    if any_name or name == own or name in reference_models():
        return name
    if _is_folder_of_model(name):
        return name
    shipped = ", ".join(reference_models())
    raise ToolError(
        f"{cut(name)!r} is neither a reference model nor the folder of a model.",
        mend=f"Reference models: {shipped}. {mend}",
    )


def _is_folder_of_model(name: str) -> bool:
    try:
        return (Path(name) / "config.json").is_file()
    except (OSError, ValueError):  # longer than a path can be, or with a zero byte
        return False
