"""What begins with a slash: a look at the chat or the run, or a step back. Nothing here is guessed."""

from difflib import get_close_matches

from ...tools import ToolError
from .turns import Action, Do, Line, plain

COMMANDS: dict[str, tuple[Do, str, str]] = {
    "budget": ("budget", "[NAME=NUMBER,…]", "what runs may spend, and what this chat spent"),
    "plan": ("plan", "[QUESTION]", "what would be measured; default: the last question"),
    "report": ("report", "[RUN]", "where a report lies, and what it says in short"),
    "runs": ("runs", "", "the runs of this chat"),
    "again": ("again", "", "put the last question once more, and confirm it anew"),
    "resume": ("resume", "[RUN]", "go on with a run that was stopped"),
    "undo": ("undo", "", "forget the last turn; nothing measured is deleted"),
    "help": ("help", "", "what is understood here"),
    "quit": ("quit", "", "leave; the chat is kept"),
}


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
    if do in ("report", "resume"):
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
