"""`vesalius compare` on the command line; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import EXIT_NOT_MET, reported
from .options import AsJson, Device, Download, Home

STATUSES = f"""\b
Exit status:
  0    nothing weakened, moved or broke; a claim may be untestable or undecided
  {EXIT_NOT_MET}    a claim weakened, moved or broke, or what a question takes for granted is gone
  2    an error: the message says what was wrong and what to do
  130  stopped by the keyboard; the same command goes on"""


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="A… B",
            help="A: runs, their report.json, or a model, whose claims are those of all runs about it. B: a model, or "
            "a run, whose model is meant.",
        ),
    ],
    question: Annotated[str, typer.Option(help="Ask this of model A first, and test its claims on B.")] = "",
    pairs: Annotated[Path | None, typer.Option(help="Contrast pairs for that question: JSON or CSV.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: one under HOME/comparisons.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    home: Home = None,
    device: Device = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Test every claim of A again on B: held, weakened, moved, broke or not testable; and what changed in the weights.

    Predictions are sealed anew before B is measured, and judged by the same code.
    """
    with reported(as_json):
        from .commands.comparing import compare_command
        from .settings import read_settings

        settings = read_settings(home=home, device=device, seed=seed)
        good = compare_command(settings, sources, question, pairs, out, download, as_json)
    raise typer.Exit(0 if good else EXIT_NOT_MET)
