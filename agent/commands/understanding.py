"""A free question of `vesalius ask`: a language model puts it into a form, and the person sees which."""

import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from ...tools import Frozen, TaskFamily
from ..budget import budget_of, prices_of
from ..console import TEXT, hang
from ..endpoint import endpoint_of
from ..planners.interface import CannotRead, ContrastPair
from ..planners.reading import READS, form_of
from ..purse import Purse
from ..report._text import visible
from ..runs import Put
from ..settings import Settings
from ..translating import Said, Understood, is_worth_asking, translate

YES = re.compile(r"(?:y|yes|yeah|ok|okay|do|sure|please|go\s+ahead|that\s+one)[.!]?", re.IGNORECASE)
NO = re.compile(r"(?:n|no|none|neither|0|cancel|stop)[.!]?", re.IGNORECASE)


class Question(Frozen):
    """A question that can be read, and how it came to its form where a language model put it into one."""

    text: str
    pairs: tuple[ContrastPair, ...] = ()
    put: Put | None = None


def is_free(settings: Settings, words: str) -> bool:
    """Whether some words are for a language model to read: they have no form, and one is to be asked."""
    return settings.planner == "llm" and form_of(words) is None and is_worth_asking(words)


def put_into_form(
    settings: Settings,
    words: str,
    pairs: tuple[ContrastPair, ...],
    tasks: Sequence[TaskFamily],
    console: Console,
    confirm: bool,
) -> Question:
    """The question that a language model makes of a person's words, shown to them before anything runs.

    Args:
        pairs: the person's own; without them, it may write some.
        confirm: whether the person has to agree.

    Raises:
        CannotRead: it is put into no form, or the person meant something else.
        KeyboardInterrupt: the person does not say.
    """
    endpoint, prices = endpoint_of(settings), prices_of(settings)
    hang(console, Text(f"{visible(endpoint.model)} reads the question …", style="dim"), 0, TEXT)
    purse = Purse(budget_of(settings.budget, prices), prices)
    heard = translate(endpoint, Said(words=words, pairs=pairs), tasks, settings.seed, purse)
    found = heard.understood
    if found is None:
        raise CannotRead(f"This question has no form that is read here: {words!r}. {heard.problem}", mend=READS)
    wrote_pairs = bool(found.pairs) and not pairs
    _show(console, endpoint.model, words, found, wrote_pairs)
    if confirm:
        _agree(console)
    else:
        said = "It goes on with that; to be sure of what is asked, put the question in this form."
        hang(console, Text(said, style="dim"), 0, TEXT)
    put = Put(words=words, by=endpoint.model, agreed=confirm, wrote_pairs=wrote_pairs, turns=heard.turns)
    return Question(text=found.question, pairs=found.pairs, put=put)


def _show(console: Console, model: str, words: str, found: Understood, wrote_pairs: bool) -> None:
    """Show what was understood, all of it."""
    hang(console, Text.assemble(("asked          ", "dim"), visible(words)), 0, TEXT)
    hang(console, Text.assemble(("understood as  ", "dim"), (visible(found.question), "bold")), 0, TEXT)
    if wrote_pairs:
        console.print(Text(f"with contrast pairs by {visible(model)}:", style="dim"))
        for pair in found.pairs:
            hang(console, Text(in_a_line(pair)), TEXT, 2 * TEXT)


def _agree(console: Console) -> None:
    """Wait for a yes.

    Raises:
        CannotRead: a no.
        KeyboardInterrupt: neither.
    """
    console.print(Text("Is that meant? Say yes or no.", style="dim"))
    while True:
        console.print(Text("> ", style="bold"), end="")
        try:
            said = input().strip()
        except EOFError:
            raise KeyboardInterrupt from None
        if YES.fullmatch(said):
            return
        if NO.fullmatch(said):
            raise CannotRead("That is not what was meant, so nothing was run.", mend=READS)
        console.print(Text("Say yes or no.", style="yellow"))


def in_a_line(pair: ContrastPair) -> str:
    """A contrast pair as a person is shown it."""
    return visible(f"{pair.clean!r} → {pair.answer!r}; {pair.corrupted!r} → {pair.foil!r}")
