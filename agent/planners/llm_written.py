"""What a language model wrote, as the rest of the program knows it: data with its origin."""

from pydantic import Field

from ...tools import Frozen


class WrittenProbe(Frozen):
    """A probe as the instruments accept it."""

    text: str = Field(description="Text for the subject to read.")
    concept: str = Field(description="The word in it that it is about.")
    category: str = Field(description="What kind of thing that is.")


class WrittenProbes(Frozen):
    """What a language model wrote, and enough to say who wrote it."""

    probes: tuple[WrittenProbe, ...] = Field(description="In the order of the reply, no text twice.")
    n_duplicates: int = Field(description="Entries left out because an earlier one gives the same text (count).")
    model: str = Field(description="Model that the endpoint says it asked.")
    temperature: float | None = Field(
        description="Temperature that was asked for; none where the endpoint refuses to be asked for one."
    )
    seed: int = Field(description="Seed that was asked for; endpoints need not heed it.")
    reply_digest: str = Field(description="SHA-256 of the reply; empty where none could be used.")
    problem: str = Field(default="", description="Why there are no probes; empty where there are.")
