"""`vesalius serve` and `vesalius review`: the page for browsing and reviewing runs."""

import importlib.util
from typing import NoReturn

from ...tools import ToolError
from ..settings import Settings

NEEDS = ("fastapi", "uvicorn")


def serve_command(settings: Settings, host: str, port: int, ask_for_token: bool) -> NoReturn:
    """Serve until it is stopped; the process ends with it.

    Raises:
        ToolError: the web packages are not installed, or the port cannot be used.
    """
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        raise ToolError(f"Not installed: {', '.join(missing)}.", mend="Install it: pip install 'vesalius[web]'.")
    from ..server.listening import serve

    serve(settings, host, port, ask_for_token)
