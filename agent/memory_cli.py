"""`vesalius memory …` on the command line; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import reported
from .options import AsJson, Device, Home

memory_app = typer.Typer(help="What earlier runs found.", no_args_is_help=True, rich_markup_mode=None)

OfModel = Annotated[str | None, typer.Option("--model", help="Only of this model: its name, or a fingerprint.")]


@memory_app.command("search")
def memory_search(
    text: Annotated[str, typer.Argument(help="What to look for, by meaning.")],
    kind: Annotated[str | None, typer.Option(help="feature_cards, hypotheses or claims.")] = None,
    model: OfModel = None,
    site: Annotated[str | None, typer.Option(help="Only about this site, such as resid_post.1.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="Weakest evidence that will do: observed, causal, controlled or replicated.")
    ] = None,
    verdict: Annotated[str | None, typer.Option(help="supported, refuted or inconclusive.")] = None,
    run: Annotated[str | None, typer.Option(help="Only what this run found.")] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Load this model and mark what no longer holds of it: other weights or dictionary."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Hits (count).")] = 10,
    home: Home = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Search what earlier runs found, by meaning; options narrow it down exactly."""
    with reported(as_json):
        from .commands.remembering import conditions, search_command
        from .settings import read_settings

        only = conditions(model=model, site=site, tier=tier, verdict=verdict, run=run)
        search_command(read_settings(home=home, device=device), text, kind, limit, as_json, only, check)


@memory_app.command("contradictions")
def memory_contradictions(model: OfModel = None, home: Home = None, as_json: AsJson = False) -> None:
    """Show claims of different runs about the same weights that cannot both be true."""
    with reported(as_json):
        from .commands.remembering import conditions, contradictions_command
        from .settings import read_settings

        contradictions_command(read_settings(home=home), conditions(model=model), as_json)


@memory_app.command("status")
def memory_status(home: Home = None, as_json: AsJson = False) -> None:
    """Say where the memory is, what it holds, and of which models."""
    with reported(as_json):
        from .commands.memory_files import status_command
        from .settings import read_settings

        status_command(read_settings(home=home), as_json)


@memory_app.command("export")
def memory_export(
    file: Annotated[Path, typer.Argument(help="File to write: one record a line, as JSON.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that stands there.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write all that is remembered to a file of JSON lines, whole or not at all."""
    with reported(as_json):
        from .commands.memory_files import export_command
        from .settings import read_settings

        export_command(read_settings(home=home), file, overwrite, as_json)


@memory_app.command("import")
def memory_import(
    file: Annotated[Path, typer.Argument(help="File that `vesalius memory export` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Where a record stands here otherwise, take the file's; default: keep it.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take in the records of a file; nothing is taken in if one line of it is bad."""
    with reported(as_json):
        from .commands.memory_files import import_command
        from .settings import read_settings

        import_command(read_settings(home=home), file, replace, as_json)


@memory_app.command("forget")
def memory_forget(
    run: Annotated[str, typer.Argument(help="Name of the run, as `vesalius memory search` prints it.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove what a run remembered; its folder and report stay."""
    with reported(as_json):
        from .commands.memory_files import forget_command
        from .settings import read_settings

        forget_command(read_settings(home=home), run, as_json)
