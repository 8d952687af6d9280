"""The command line: parse, call, print. Heavy imports wait until a command needs them, so that help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from .circuit_cli import circuit_app
from .failing import ASK_STATUSES, EXIT_NOT_MET, EXIT_PREMISE, VERIFY_STATUSES, reported
from .graph_cli import graph_app
from .options import AsJson, Device, Download, Home, Model

app = typer.Typer(
    name="vesalius",
    help="Answers questions about language models by experiment.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
memory_app = typer.Typer(help="What earlier runs found.", no_args_is_help=True, rich_markup_mode=None)
dictionary_app = typer.Typer(help="Sparse dictionaries of a model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(memory_app, name="memory")
app.add_typer(dictionary_app, name="dictionary")
app.add_typer(graph_app, name="graph")
app.add_typer(circuit_app, name="circuit")

QUESTIONS = """\b
Forms of question:
  Why does the model answer 'ANSWER' after 'PROMPT'?
  Where is BEHAVIOUR computed?                  (with --pairs FILE)
  What does feature LAYER/FEATURE stand for?
"""
PAIRS = """\b
Contrast pairs, as a JSON list of objects or a CSV file with a header row:
  clean      a prompt
  corrupted  the same prompt but for what the behaviour hangs on
  answer     the next word after clean, a single token
  foil       the next word after corrupted, another single token
  cluster    optional: pairs of equal name count as one piece of evidence; a
             pair without one stands for itself
  [{"clean": "the opposite of hot is", "corrupted": "the opposite of big is",
    "answer": "cold", "foil": "small"}, …]

A pair counts if the model gives answer after clean and foil after corrupted. A third of the clusters is explored, the
others confirm. At least 12 clusters are needed before anything can be supported in a model of four blocks, more in
larger ones: give 20 or more.
"""
DICTIONARIES = """\b
Kinds:
  topk, batchtopk, jumprelu, relu, matryoshka   at every site
  mp                                            matching pursuit; not at mlp
  skip, cross-layer                             at mlp only
Sites:
  mlp                            reads the MLP's input, writes its output
  resid_post, mlp_out, attn_out  reads and writes one site

A training that is stopped leaves a checkpoint beside the output; --resume with the same options goes on from it.
A fifth of the texts, 16,384 tokens at most, is held out; the figures printed are of those.
"""


@app.command(epilog=f"{QUESTIONS}\n\n{PAIRS}\n\n{ASK_STATUSES}")
def ask(
    question: Annotated[str, typer.Argument(help="The question; leave it out with --resume.")] = "",
    model: Model = None,
    pairs: Annotated[Path | None, typer.Option(help="Contrast pairs for a `where` question: JSON or CSV.")] = None,
    resume: Annotated[str, typer.Option(help="Go on with a stopped run: its name, folder, or `last`.")] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    probes: Annotated[
        str | None,
        typer.Option(
            help="Who writes the probes that features are named by: protocol (no language model), or llm: the one of "
            "VESALIUS_PLANNER_URL, _MODEL and _KEY. Default: VESALIUS_PROBES, else protocol."
        ),
    ] = None,
    home: Home = None,
    device: Device = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Neither read nor write the memory.")] = False,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question by experiment, with a report in which every number can be measured again."""
    with reported(as_json):
        from .commands.asking import ask_command
        from .settings import read_settings

        settings = read_settings(model=model, home=home, device=device, seed=seed, probes=probes)
        report = ask_command(settings, question, pairs, resume, not no_memory, download, as_json)
    if report.premise.holds is False:
        raise typer.Exit(EXIT_PREMISE)


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


@memory_app.command("search")
def memory_search(
    text: Annotated[str, typer.Argument(help="What to look for, by meaning.")],
    kind: Annotated[str | None, typer.Option(help="feature_cards, hypotheses or claims.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Hits (count).")] = 10,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Search what earlier runs found, by meaning."""
    with reported(as_json):
        from .commands.remembering import search_command
        from .settings import read_settings

        search_command(read_settings(home=home), text, kind, limit, as_json)


@dictionary_app.command("train", epilog=DICTIONARIES)
def dictionary_train(
    model: Annotated[str, typer.Argument(help="Folder of a model.")],
    texts: Annotated[
        Path,
        typer.Option(
            help="Text to train on: JSON list, {'texts': […]}, or one text per line; 10,000 texts at most are drawn."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; default: the model folder's dictionaries/.")] = None,
    kind: Annotated[str, typer.Option(help="Kind of dictionary; see below.")] = "topk",
    site: Annotated[str, typer.Option(help="Site that it stands in for; see below.")] = "mlp",
    layer: Annotated[list[int] | None, typer.Option(min=0, help="A layer to train; repeat it; default: all.")] = None,
    features: Annotated[int, typer.Option(min=8, help="Features per layer (count).")] = 512,
    active: Annotated[int, typer.Option(min=1, help="Features active per token; mp: steps (count).")] = 16,
    sparsity: Annotated[
        float | None,
        typer.Option(help="Weight of the penalty of relu and jumprelu; default: what keeps ACTIVE active."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps per layer (count).")] = 2000,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many looks, 200 steps apart, without gain; 0: never.")
    ] = 0,
    buffer: Annotated[int, typer.Option(min=512, help="Tokens held at once (count).")] = 65536,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and batches.")] = 0,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that stands there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a sparse dictionary of a model, minutes on two cores for small ones."""
    with reported(as_json):
        from .commands.training import recipe_of, train_command
        from .settings import read_settings

        recipe = recipe_of(kind, site, layer, features, active, sparsity, steps, patience, buffer, seed)
        train_command(model, texts, out, recipe, read_settings(device=device).device, resume, overwrite, as_json)


@dictionary_app.command("show")
def dictionary_show(
    name: Annotated[str, typer.Argument(help="Name of a model's dictionary, a path, or hub:ORG/REPO/PATH@REVISION.")],
    model: Annotated[str | None, typer.Option(help="Whether it may be used on this model is said too.")] = None,
    device: Device = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Say what a dictionary is, ours or published: format, places, sizes, origin, and how good it is."""
    with reported(as_json):
        from .commands.dictionaries import show_command
        from .settings import read_settings

        show_command(name, model, read_settings(device=device).device, download, as_json)


@app.command("eval")
def evaluate(
    name: Annotated[str, typer.Argument(help="Benchmark; leave it out to list them.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure this system itself: metric, value, interval, n, target, and whether it was met (exit 1 where not)."""
    with reported(as_json):
        from .commands.evaluating import eval_command

        met = eval_command(name, seed, as_json)
    raise typer.Exit(0 if met else EXIT_NOT_MET)


@app.command()
def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Say what is installed, which device is used, whether a planner endpoint answers, and the mend for each lack."""
    with reported(as_json):
        from .commands.doctor import doctor_command
        from .settings import read_settings

        healthy = doctor_command(read_settings(home=home), as_json)
    raise typer.Exit(0 if healthy else EXIT_NOT_MET)


def main() -> None:
    """Entry point."""
    app()
