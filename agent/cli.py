"""The command line: parse, call, print. Heavy imports wait until a command needs them, so that help is quick."""

from typing import Annotated

import typer

from .ask_cli import PAIRS, QUESTIONS, approve, ask
from .audit_cli import audit_app
from .chat_cli import CHAT, chat
from .circuit_cli import circuit_app
from .compare_cli import STATUSES as COMPARE_STATUSES, compare
from .dictionary_cli import dictionary_app
from .faces_cli import export_app, mcp
from .failing import ASK_STATUSES, EXIT_NOT_MET, VERIFY_STATUSES, reported
from .graph_cli import graph_app
from .memory_cli import memory_app
from .options import AsJson, Device, Download, Home
from .server_cli import review, serve

app = typer.Typer(
    name="vesalius",
    help="Answers questions about language models by experiment.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(audit_app, name="audit")
app.add_typer(memory_app, name="memory")
app.add_typer(dictionary_app, name="dictionary")
app.add_typer(graph_app, name="graph")
app.add_typer(circuit_app, name="circuit")
app.add_typer(export_app, name="export")
app.command(epilog=f"{QUESTIONS}\n\n{PAIRS}\n\n{ASK_STATUSES}")(ask)
app.command(epilog=CHAT)(chat)
app.command()(approve)
app.command(epilog=COMPARE_STATUSES)(compare)


@app.command(epilog=VERIFY_STATUSES)
def verify(
    run: Annotated[str, typer.Argument(help="Name or folder of a run, a report.json, or `last`.")] = "last",
    home: Home = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Measure every number of a report again: reproduced, drifted, or not reproducible."""
    with reported(as_json):
        from .commands.verifying import verify_command
        from .settings import read_settings

        status = verify_command(read_settings(home=home), run, download, as_json)
    raise typer.Exit(status)


@app.command("score-names")
def score_names(
    run: Annotated[str, typer.Argument(help="Name or folder of a run, or `last`.")] = "last",
    by: Annotated[
        str | None,
        typer.Option(
            help="llm: the language model of VESALIUS_PLANNER_URL, _MODEL and _KEY; simulator: no language model. "
            "Default: llm where VESALIUS_PLANNER_URL is set."
        ),
    ] = None,
    per_kind: Annotated[
        int | None,
        typer.Option(min=1, help="Contexts of either sort for each score (count); default: 20, for llm 5."),
    ] = None,
    permutations: Annotated[
        int | None, typer.Option(min=1, help="Permutations of the names, the control; default: 100, for llm 2.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Most requests to a language model (count).")] = 3000,
    home: Home = None,
    device: Device = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Do not write the cards into the memory.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score a run's names of features: do they tell where the features fire, on texts they were not made from?

    A language model's answers are kept as they come; the same command goes on after a stop.
    """
    with reported(as_json):
        from .commands.name_scoring import score_command
        from .settings import read_settings

        settings = read_settings(home=home, device=device)
        score_command(settings, run, by, per_kind, permutations, most, not no_memory, as_json)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the reference models that ship with the package, and what they were trained on."""
    with reported(as_json):
        from .commands.listing import models_command

        models_command(as_json)


@app.command()
def tools(as_json: AsJson = False) -> None:
    """List the instruments."""
    with reported(as_json):
        from .commands.listing import tools_command

        tools_command(as_json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def run(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(help="Name of an instrument; see `vesalius tools`.")],
) -> None:
    """Run one instrument: `vesalius run TOOL --help` lists its arguments."""
    with reported("--json" in context.args):
        from .commands.running import run_command
        from .settings import read_settings

        run_command(read_settings(), tool, context.args)


@app.command("eval")
def evaluate(
    name: Annotated[str, typer.Argument(help="Benchmark; leave it out to list them.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="The long form, of a benchmark that has a quick one too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure this system itself: metric, value, interval, n, target, and whether it was met (exit 1 where not)."""
    with reported(as_json):
        from .commands.evaluating import eval_command

        met = eval_command(name, seed, full, as_json)
    raise typer.Exit(0 if met else EXIT_NOT_MET)


@app.command()
def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Say what is installed, which device is used, whether a planner endpoint answers, and the mend for each lack."""
    with reported(as_json):
        from .commands.doctor import doctor_command
        from .settings import read_settings

        healthy = doctor_command(read_settings(home=home), as_json)
    raise typer.Exit(0 if healthy else EXIT_NOT_MET)


app.command()(mcp)
app.command()(serve)
app.command()(review)


def main() -> None:
    """Entry point."""
    app()
