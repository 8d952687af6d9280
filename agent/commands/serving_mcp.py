"""`vesalius mcp`: the instruments and `ask` for another agent."""

import importlib.util
import sys
from typing import NoReturn

from ...tools import ToolError
from ..settings import Settings


def mcp_command(settings: Settings, download: bool, use_memory: bool) -> NoReturn:
    """Serve one client on standard input and output, until it goes away; the process ends with it.

    Raises:
        ToolError: the protocol's package is not installed.
    """
    if importlib.util.find_spec("mcp") is None:
        raise ToolError("The package `mcp` is not installed.", mend="Install it: pip install 'vesalius[mcp]'.")
    from ..mcp_server.serving import serve
    from ..mcp_server.work import Workshop

    workshop = Workshop(settings, download, use_memory)
    if sys.stdin.isatty():
        sys.stderr.write("This speaks MCP on standard input and output: let a client start it. Ctrl-C ends it.\n")
    serve(workshop)
