"""Other faces on the command line: `vesalius mcp` and `vesalius export …`; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import reported
from .options import AsJson, Device, Home, Model

export_app = typer.Typer(help="An investigation for other programs.", no_args_is_help=True, rich_markup_mode=None)


@export_app.callback()
def export() -> None:
    """An investigation for other programs."""


@export_app.command("inspect")
def export_inspect(
    run: Annotated[str, typer.Argument(help="Name or folder of a run, or `last`.")] = "last",
    out: Annotated[Path | None, typer.Option(help="File to write, ending in .eval; default: RUN.eval.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write an investigation as a log of Inspect: `inspect view` shows claims, verdicts and experiments."""
    with reported(as_json):
        from .commands.exporting import inspect_command
        from .settings import read_settings

        inspect_command(read_settings(home=home), run, out, as_json)


def mcp(
    model: Model = None,
    home: Home = None,
    device: Device = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Investigations neither read nor write it.")] = False,
    download: Annotated[
        bool,
        typer.Option("--download", help="Let the client name hub ids, and fetch them; otherwise only folders."),
    ] = False,
) -> None:
    """Serve the instruments and `ask` to another agent: an MCP server on standard input and output."""
    with reported(as_json=False):
        from .commands.serving_mcp import mcp_command
        from .settings import read_settings

        mcp_command(read_settings(model=model, home=home, device=device), download, not no_memory)
