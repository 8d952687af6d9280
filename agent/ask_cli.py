"""`vesalius ask` and `approve` on the command line; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import EXIT_PREMISE, reported
from .options import AsJson, Device, Download, Home, Model

QUESTIONS = """\b
Forms of question:
  Why does the model answer 'ANSWER' after 'PROMPT'?
  Where is BEHAVIOUR computed?                  (with --pairs FILE)
  What does feature LAYER/FEATURE stand for?
  Does the answer depend on FACTOR?             (with --pairs FILE)
  Does the answer change with FACTOR?           (the same, one way or the other)
  How fragile is steering toward 'ANSWER'?      (pairs of one answer and one foil)
  Does a word trigger another answer?           (--pairs FILE without task data)
With --planner llm, a language model puts any other question into one of these,
and shows which before anything runs.
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


def ask(
    question: Annotated[str, typer.Argument(help="The question; leave it out with --resume.")] = "",
    model: Model = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Contrast pairs for a question that takes them: JSON or CSV.")
    ] = None,
    resume: Annotated[str, typer.Option(help="Go on with a stopped run: its name, folder, or `last`.")] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    planner: Annotated[
        str | None,
        typer.Option(
            help="Who plans: protocol (no language model), or llm: the one of VESALIUS_PLANNER_URL, _MODEL and _KEY, "
            "which also puts a question of another form into one of these. Code judges either way. Default: "
            "VESALIUS_PLANNER, else protocol."
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Go on with the form that the language model puts a question into; without it, a terminal asks.",
        ),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(help="What the run may spend, as calls=60,tokens=1000000,cost=1,tool_seconds=300,seconds=600."),
    ] = None,
    approve: Annotated[
        str | None,
        typer.Option(
            help="What a person has to approve: none; plan, the predictions before they are sealed; each, every "
            "exploration too. Default: VESALIUS_APPROVE, else none."
        ),
    ] = None,
    refute: Annotated[
        str | None,
        typer.Option(
            help="Who tries to break supported claims on other prompts: off; protocol, code takes the prompts; llm, "
            "the language model words them. Default: VESALIUS_REFUTE, else off."
        ),
    ] = None,
    writer: Annotated[
        str | None,
        typer.Option(help="llm: the language model words the answer too, beside code. Default: VESALIUS_WRITER."),
    ] = None,
    blind: Annotated[
        str | None,
        typer.Option(
            help="What is hidden from a language model that plans: off; arms, which effect is the place's and which a "
            "random control's; names, which layer and head is which; both. compare: two runs, names hidden and then "
            "shown, side by side in the second's report; the budget is for each. Default: VESALIUS_BLIND, else off."
        ),
    ] = None,
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

        settings = read_settings(
            model=model,
            home=home,
            device=device,
            seed=seed,
            planner=planner,
            budget=budget,
            approve=approve,
            refute=refute,
            writer=writer,
            blind=blind,
            probes=probes,
        )
        report = ask_command(settings, question, pairs, resume, not no_memory, download, as_json, yes)
    if report.premise.holds is False:
        raise typer.Exit(EXIT_PREMISE)


def approve(
    run: Annotated[str, typer.Argument(help="Name or folder of a run that waits, or `last`.")] = "last",
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="Nothing: all as it is. show: what it waits for. Of predictions: drop p2,p3 (or drop all), and "
            "p2=SITE. Of an experiment: skip, or stop."
        ),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what is to be done with what a run of `vesalius ask --approve` waits for."""
    with reported(as_json):
        from .commands.approving import approve_command
        from .settings import read_settings

        approve_command(read_settings(home=home), run, words or [], as_json)
