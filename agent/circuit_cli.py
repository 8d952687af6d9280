"""`vesalius circuit …` on the command line; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import reported
from .options import AsJson, Device, Home

circuit_app = typer.Typer(help="Circuits as MIB writes them.", no_args_is_help=True, rich_markup_mode=None)


@circuit_app.callback()
def circuit() -> None:
    """Circuits as MIB writes them."""


@circuit_app.command("export")
def circuit_export(
    of: Annotated[
        str,
        typer.Argument(help="A run, `last`, the id of a measurement of circuit_search, or a JSON file of one."),
    ] = "last",
    out: Annotated[
        Path | None, typer.Option(help="File to write, or a folder that is there; default: circuit-ID.json.")
    ] = None,
    home: Home = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Write a circuit as JSON of MIB: nodes and links of the model, scores, and which are in the circuit."""
    with reported(as_json):
        from .commands.circuits import export_command
        from .settings import read_settings

        export_command(read_settings(home=home, device=device), of, out, as_json)
