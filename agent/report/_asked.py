"""How a question came to the words in which it was investigated, where a language model put it into these."""

from pydantic import Field

from ...tools import Frozen

ASKED = "asked"  # key of the ledger's note, and what it holds


class Asked(Frozen):
    """A question in a person's own words, read by a language model."""

    words: str = Field(description="As the person put it.")
    by: str = Field(description="Language model that put it into a form that is read here.")
    agreed: bool = Field(description="Whether a person said yes to that form before anything ran.")
    wrote_pairs: bool = Field(default=False, description="Whether the contrast pairs are the language model's too.")


def how_asked(asked: Asked) -> str:
    """Who read the person's words, and who agreed; to stand before these words."""
    pairs = ", and wrote its contrast pairs" if asked.wrote_pairs else ""
    agreed = (
        "A person agreed before anything ran"
        if asked.agreed
        else "Nobody was asked before it ran whether that is what was meant"
    )
    return f"The language model {asked.by} put the question into this form{pairs}. {agreed}. In the person's words:"
