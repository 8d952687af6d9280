"""The page on the command line: `vesalius serve` and `vesalius review`; as `cli.py`, heavy imports wait."""

from typing import Annotated

import typer

from .failing import reported
from .options import Device, Home

PORT = 8765

Host = Annotated[
    str, typer.Option(help="Address to serve at; any but this machine's own asks every visitor for a token.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")]
Token = Annotated[bool, typer.Option("--token", help="Ask for a token on this machine, too: others may be using it.")]


def serve(
    host: Host = "127.0.0.1", port: Port = PORT, token: Token = False, home: Home = None, device: Device = None
) -> None:
    """Serve a page on which runs are read and reviewed; prints its address."""
    with reported(as_json=False):
        from .commands.serving_pages import serve_command
        from .settings import read_settings

        serve_command(read_settings(home=home, device=device), host, port, token)


def review(
    host: Host = "127.0.0.1", port: Port = PORT, token: Token = False, home: Home = None, device: Device = None
) -> None:
    """Review reports claim by claim: opens the same page as `vesalius serve`, at the list of runs."""
    serve(host, port, token, home, device)
