"""An answer in a language model's words, as it stands in a report beside the answer by code."""

from pydantic import Field

from ...tools import Frozen
from ._sentence import Sentence

NOTE = (
    "Code filled in the figures, and checked that each sentence cites a claim or a measurement and that no word is "
    "stronger than its evidence. Whether the sentences are true was not checked: the answer is the one above."
)


class LeftOut(Frozen):
    """A sentence that is not shown as part of the answer."""

    text: str = Field(description="As the language model wrote it.")
    why: str = Field(description="Which rule it breaks.")


class Worded(Frozen):
    """What a language model made of the findings."""

    by: str = Field(description="Language model.")
    sentences: tuple[Sentence, ...] = Field(description="Those that keep to the rules, in its order.")
    left_out: tuple[LeftOut, ...] = Field(default=(), description="Those that do not.")
    problem: str = Field(default="", description="Why there are none; empty where there are.")
