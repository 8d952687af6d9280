"""What a worker is told to do, as plain data: it goes from process to process, and lies on disk until it is done."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import PydanticSerializationError

from ...tools import Frozen, Measurement, ToolError
from ..planners.interface import ContrastPair

MOST_PAIRS = 400
MOST_SEED = 2**53 - 1  # more is another number in a browser


def as_json(sent: Frozen) -> str:
    """What was sent, as it is written down.

    Raises:
        ToolError: its text holds half a surrogate pair, which no file and no answer can hold.
    """
    try:
        return sent.model_dump_json()
    except PydanticSerializationError as error:
        raise ToolError("The text holds half a character.", mend="Send it as UTF-8.") from error


class ChatSettings(Frozen):
    """How the questions of a chat are investigated."""

    model: str = Field(description="The model that is asked about.", max_length=500)
    planner: Literal["protocol", "llm"] = Field(default="protocol", description="Who plans.")
    approve: Literal["none", "plan", "each"] = Field(default="none", description="What a person has to approve.")
    budget: str = Field(default="", max_length=200, description="What a run may spend, as calls=60,seconds=600.")
    seed: int = Field(default=0, ge=0, le=MOST_SEED, description="Seed of everything random.")


class Hear(Frozen):
    """A message of a chat."""

    kind: Literal["hear"] = "hear"
    chat: str = Field(description="Name of the chat.")
    said: str = Field(description="The message.")
    pairs: tuple[ContrastPair, ...] = Field(default=(), description="Contrast pairs that came with it.")
    settings: ChatSettings = Field(description="How its question is investigated.")


class Measure(Frozen):
    """A measurement on demand."""

    kind: Literal["measure"] = "measure"
    tool: str = Field(description="Instrument.")
    args: dict[str, Any] = Field(description="Its arguments.")


class Again(Frozen):
    """A measurement of a report, once more."""

    kind: Literal["again"] = "again"
    run: str = Field(description="Name of the run's folder.")
    measurement: Measurement = Field(description="As reported.")


Work = Annotated[Hear | Measure | Again, Field(discriminator="kind")]


class Order(Frozen):
    """Work for the worker of a model."""

    handle: str = Field(description="Names the job.")
    model: str = Field(description="The model that it is about, as it is loaded.")
    work: Work = Field(description="What to do.")

    @property
    def outlives_the_server(self) -> bool:
        """Whether it is done after a restart: a message is; a measurement on demand can be asked for again."""
        return isinstance(self.work, Hear)
