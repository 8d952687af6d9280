"""What passes in a chat: what was said, what it was taken to mean, and what came of it. Values only."""

import re
from typing import Literal

from pydantic import Field

from ...tools import Frozen
from ..planners.interface import ContrastPair
from ..runs import Put

Asking = Literal["investigate", "again", "resume", "swap"]
Answering = Literal[
    "why", "held", "layer", "feature", "site", "sure", "show", "measured", "missing", "prompting", "recall", "report"
]
Aside = Literal["verify", "runs", "plan", "budget", "undo", "help", "quit", "nothing"]
Do = Asking | Answering | Aside
Kind = Literal["investigated", "stopped", "answered", "asked_back", "not_understood", "refused", "quit"]
_CITED = re.compile(r"\bm-[0-9a-f]{4,64}\b")


class Action(Frozen):
    """What a message asks for."""

    do: Do = Field(description="What to do.")
    question: str = Field(default="", description="Investigate: the question, in a form that the planner reads.")
    pairs: tuple[ContrastPair, ...] = Field(default=(), description="Investigate: contrast pairs.")
    pairs_from: str = Field(default="", description="Investigate: file of the pairs, not read yet.")
    put: Put | None = Field(default=None, description="Investigate: how the person put it, where that was read.")
    anew: bool = Field(default=False, description="Investigate: even where this chat has the answer already.")
    what: str = Field(default="", description="What it is about: a word, a layer, a claim, a measurement.")
    run: str = Field(default="", description="Which run, in the person's words; empty for the one talked about.")
    because: str = Field(default="", description="Why it was understood like this, where that needs saying.")


class Option(Frozen):
    """One of several things that a message may mean."""

    label: str = Field(description="As the person is shown it.")
    action: Action = Field(description="What is done if it is chosen.")


class Line(Frozen):
    """A line of a reply."""

    text: str
    indent: int = 0
    style: str = ""


class Reply(Frozen):
    """What a message is answered with."""

    kind: Kind
    lines: tuple[Line, ...] = ()
    understood: str = Field(default="", description="The question that was understood, where one is investigated.")
    run: str = Field(default="", description="The run that it is about or from; empty where there is none.")
    options: tuple[Option, ...] = Field(default=(), description="Asked back: what it may mean.")
    wants_pairs: str = Field(default="", description="Asked back: the question whose pairs are still to be given.")
    calls: int = Field(default=0, description="Requests to a language model to understand the message (count).")
    kept: bool = Field(default=True, description="Part of the conversation; a look at the budget, say, is none.")

    @property
    def ids(self) -> tuple[str, ...]:
        """Measurements that it cites."""
        return tuple(dict.fromkeys(found for line in self.lines for found in _CITED.findall(line.text)))


class Turn(Frozen):
    """A message with its reply, as it is kept; the answer of an investigation lies in its run's report."""

    said: str
    reply: Reply
    order: str = Field(default="", description="What brought the message, so that it is not answered twice.")


def plain(*texts: str, indent: int = 0, style: str = "") -> tuple[Line, ...]:
    """Lines of one look."""
    return tuple(Line(text=text, indent=indent, style=style) for text in texts)


def asking_back(question: str, options: tuple[Option, ...], run: str = "", calls: int = 0) -> Reply:
    """Ask which of several things was meant."""
    listed = plain(*(f"{number}  {option.label}" for number, option in enumerate(options, start=1)), indent=2)
    how = "Which one? Give its number, or `no`." if len(options) > 1 else "Is that meant? Say yes or no."
    lines = (*plain(question), *listed, *plain(how, style="dim"))
    return Reply(kind="asked_back", lines=lines, options=options, run=run, calls=calls)


def refused(error: Exception) -> Reply:
    """That something cannot be done, with its mend."""
    return Reply(kind="refused", lines=plain(str(error), style="yellow"))
