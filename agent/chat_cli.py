"""`vesalius chat` on the command line; as `cli.py`, heavy imports wait."""

from typing import Annotated

import typer

from .failing import reported
from .options import Device, Download, Home, Model

CHAT = """\b
Say a question as for `vesalius ask`, then go on from its answer:
  and for Oakland?     why?     how sure are you?     show me c2
  where is the state held?     what about layer 1?     what did you measure?
Commands: /help /plan /budget /report /verify /runs /again /resume /undo
/quit
Ctrl-C stops an investigation, which /resume goes on with; at the prompt it
leaves, as Ctrl-D does. Without a terminal, messages are read line by line.
"""


def chat(
    model: Model = None,
    name: Annotated[str, typer.Option(help="Name of the chat; default: when it began.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a chat: the one of --name, or the one used last.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    planner: Annotated[
        str | None,
        typer.Option(
            help="Who plans: protocol (no language model), or llm: the one of VESALIUS_PLANNER_URL, _MODEL and _KEY, "
            "which also reads messages of no known form. Default: VESALIUS_PLANNER, else protocol."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="What each run may spend, as calls=60,tokens=1000000,seconds=600.")
    ] = None,
    probes: Annotated[str | None, typer.Option(help="Who writes probes: protocol or llm.")] = None,
    kept_at: Annotated[
        str,
        typer.Option(
            "--chats",
            envvar="VESALIUS_CHATS",
            show_envvar=False,
            help="PostgreSQL database that keeps the history, as postgresql://USER@HOST/NAME, with vesalius[postgres]. "
            "Default: VESALIUS_CHATS, else a file under home.",
        ),
    ] = "",
    home: Home = None,
    device: Device = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Neither read nor write the memory.")] = False,
    download: Download = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a turn on standard output, all else on standard error.")
    ] = False,
) -> None:
    """Talk about a model: questions, follow-ups and what was measured, kept from one process to the next."""
    with reported(as_json):
        from .commands.chatting import chat_command
        from .settings import read_settings

        settings = read_settings(home=home, device=device, seed=seed, planner=planner, budget=budget, probes=probes)
        chat_command(settings, model, name, resume, kept_at, not no_memory, download, as_json)
