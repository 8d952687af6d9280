"""`vesalius audit …` on the command line; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import EXIT_NOT_MET, reported
from .options import AsJson, Device, Download, Home

STATUSES = f"""\b
Exit status:
  0    every cell is done, and none fails
  {EXIT_NOT_MET}    a cell fails by the spec's policy, or not all are done
  2    an error: the message says what was wrong and what to do
  130  stopped by the keyboard; run it again to go on"""
audit_app = typer.Typer(
    help="Many questions about many models from one spec, with one table.", no_args_is_help=True, rich_markup_mode=None
)

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="What is asked of which models.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=256, help="Models in memory at a time; by default as many as fit.")
]

On = Annotated[
    str,
    typer.Option(
        metavar="PLACE",
        help="Where the workers are: local, processes of this machine; or with vesalius[ray]: ray, a cluster of this "
        "machine alone; auto, the one that runs here; ray://HOST:10001, from outside; HOST:6379, on a node of it.",
    ),
]


@audit_app.command("validate")
def audit_validate(spec: SpecFile, home: Home = None, as_json: AsJson = False) -> None:
    """Say whether a spec can be run, and on which line it cannot."""
    with reported(as_json):
        from .commands.auditing import validate_command
        from .settings import read_settings

        validate_command(read_settings(home=home), spec, as_json)


@audit_app.command("batteries")
def audit_batteries(as_json: AsJson = False) -> None:
    """List ready batteries: what each asks of any model, and what the model must have."""
    with reported(as_json):
        from .commands.auditing import batteries_command

        batteries_command(as_json)


@audit_app.command("plan")
def audit_plan(
    spec: SpecFile, workers: Workers = None, home: Home = None, on: On = "local", as_json: AsJson = False
) -> None:
    """List what would be asked, and about what it takes, before anything is loaded."""
    with reported(as_json):
        from .commands.auditing import plan_command
        from .settings import read_settings

        plan_command(read_settings(home=home), spec, workers, as_json, on)


@audit_app.command("run", epilog=STATUSES)
def audit_run(
    spec: SpecFile,
    workers: Workers = None,
    home: Home = None,
    device: Device = None,
    download: Download = False,
    on: On = "local",
    as_json: AsJson = False,
) -> None:
    """Ask what was not asked yet, and print the table; what is done is never asked again."""
    with reported(as_json):
        from .commands.auditing import run_command
        from .settings import read_settings

        is_good = run_command(read_settings(home=home, device=device), spec, workers, download, as_json, on)
    raise typer.Exit(0 if is_good else EXIT_NOT_MET)


@audit_app.command("status")
def audit_status(spec: SpecFile, home: Home = None, as_json: AsJson = False) -> None:
    """Say how far an audit is, model by model; also while it runs."""
    with reported(as_json):
        from .commands.auditing import status_command
        from .settings import read_settings

        status_command(read_settings(home=home), spec, as_json)


@audit_app.command("report", epilog=STATUSES)
def audit_report(spec: SpecFile, home: Home = None, as_json: AsJson = False) -> None:
    """Write the table as JSON lines, Markdown, HTML and JUnit XML, and print it."""
    with reported(as_json):
        from .commands.auditing import report_command
        from .settings import read_settings

        is_good = report_command(read_settings(home=home), spec, as_json)
    raise typer.Exit(0 if is_good else EXIT_NOT_MET)


COMPARED = f"""\b
Exit status:
  0    nothing newly fails, and B answers all that A asks
  {EXIT_NOT_MET}    a cell newly fails, or has no answer
  2    an error: the message says what was wrong and what to do"""
Compared = Annotated[Path, typer.Argument(help="A spec, or the table.jsonl of an audit.")]
OneModel = typer.Option(metavar="LABEL", help="Hold this model of A against one of B, whatever their labels.")


@audit_app.command("compare", epilog=COMPARED)
def audit_compare(
    a: Compared,
    b: Compared,
    model_a: Annotated[str | None, OneModel] = None,
    model_b: Annotated[str | None, typer.Option(metavar="LABEL", help="The one of B.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what audit B finds that A did not: last night and tonight, or two models of one audit."""
    with reported(as_json):
        from .commands.auditing import compare_command
        from .settings import read_settings

        is_good = compare_command(read_settings(home=home), a, b, model_a, model_b, as_json)
    raise typer.Exit(0 if is_good else EXIT_NOT_MET)
