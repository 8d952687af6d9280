"""What begins with a slash: a look at the chat or the run, or a step back. Nothing here is guessed."""

import os.path
import re
from difflib import get_close_matches

from ...tools import ToolError
from .turns import Action, Do, Line, plain

COMMAND = re.compile(r"/([^\s/]*)(?:\s|$)")
PAIRS_IN = (".json", ".csv")
COMMANDS: dict[str, tuple[Do, str, str]] = {
    "budget": ("budget", "[NAME=NUMBER,…]", "what runs may spend, and what this chat spent"),
    "plan": ("plan", "[QUESTION]", "what would be measured; default: the last question"),
    "report": ("report", "[RUN]", "where a report lies, and what it says in short"),
    "verify": ("verify", "[RUN]", "measure every number of a report again, and compare"),
    "runs": ("runs", "", "the runs of this chat"),
    "again": ("again", "", "put the last question once more, and confirm it anew"),
    "resume": ("resume", "[RUN]", "go on with a run that was stopped"),
    "undo": ("undo", "", "forget the last turn; nothing measured is deleted"),
    "help": ("help", "", "what is understood here"),
    "quit": ("quit", "", "leave; the chat is kept"),
}


def is_command(text: str) -> bool:
    """Whether a message begins with a command, known or not; a path, which begins alike, has more slashes or a dot."""
    found = COMMAND.match(text)
    return found is not None and (found[1] in COMMANDS or (not is_there(text) and not text.endswith(PAIRS_IN)))


def is_there(text: str) -> bool:
    """Whether a text is the path of a file; one of a person who is not here, or too long for a name, is of none."""
    return os.path.isfile(os.path.expanduser(text))


def read_command(text: str) -> Action:
    """The action of a command.

    Raises:
        ToolError: there is no such command, or it takes nothing.
    """
    name, _, rest = text[1:].strip().partition(" ")
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        meant = f" Did you mean /{near[0]}?" if near else ""
        raise ToolError(
            f"There is no command /{name}.{meant}", mend=f"Commands: {', '.join(map('/{}'.format, COMMANDS))}."
        )
    do, takes, _ = COMMANDS[name]
    if rest.strip() and not takes:
        raise ToolError(f"/{name} takes nothing, and got {rest.strip()!r}.", mend=f"Say /{name}.")
    if do in ("report", "resume", "verify"):
        return Action(do=do, run=rest.strip())
    return Action(do=do, what=rest.strip())


def help_lines() -> tuple[Line, ...]:
    """What is understood, and the commands."""
    from .reading import UNDERSTOOD

    commands = (f"/{name} {takes}".strip().ljust(25) + f" {told}" for name, (_, takes, told) in COMMANDS.items())
    return (
        *plain("Understood", style="bold"),
        *plain(*UNDERSTOOD, indent=2),
        *plain("Commands", style="bold"),
        *plain(*commands, indent=2),
    )
