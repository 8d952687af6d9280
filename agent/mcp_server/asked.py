"""What a client may ask of each tool: its arguments, checked before anything is loaded."""

from typing import Literal

from pydantic import Field, JsonValue

from ...tools import Frozen
from ..planners.interface import ContrastPair

MEASUREMENT_ID = r"^m-[0-9a-f]{4,64}$"
LONGEST_WAIT = 50.0  # seconds; clients give up on a call after a minute


class Nothing(Frozen):
    """No arguments."""


class Named(Frozen):
    """An instrument."""

    name: str = Field(description="Name of an instrument, from list_instruments.")


class Run(Frozen):
    """What to measure."""

    name: str = Field(description="Name of an instrument, from list_instruments.")
    arguments: dict[str, JsonValue] = Field(description="Its arguments, as describe_instrument gives them.")
    model: str | None = Field(None, description="Reference name or folder of a model; by default the server's.")


class Ask(Frozen):
    """What to investigate."""

    question: str = Field(
        description="One of: Why does the model answer 'ANSWER' after 'PROMPT'? | Where is BEHAVIOUR computed? (with "
        "pairs) | What does feature LAYER/FEATURE stand for? | Does the answer depend on FACTOR? (with pairs) | Does "
        "the answer change with FACTOR? (with pairs, one way or the other) | How fragile is steering toward 'ANSWER'? "
        "(with pairs of one answer and one foil) | Does a word trigger another answer?"
    )
    pairs: tuple[ContrastPair, ...] = Field(
        (), description="Contrast pairs of a `where` or `depends` question; at least 12 clusters, better 20 or more."
    )
    model: str | None = Field(None, description="Reference name or folder of a model; by default the server's.")
    seed: int | None = Field(None, ge=0, description="Seed of everything random; by default the server's.")


class OfRun(Frozen):
    """A run."""

    run: str = Field(description="Name of a run, from list_runs, or `last`.")


class Handle(Frozen):
    """A job."""

    job: str = Field(description="Handle of a job, such as `j1`.")


class Waited(Frozen):
    """A job, and how long to wait for it."""

    job: str = Field("", description="Handle of a job, such as `j1`; empty for all jobs.")
    wait_seconds: float = Field(
        0.0, ge=0, le=LONGEST_WAIT, description="Wait so long for the job to end before answering (seconds)."
    )


class Listing(Frozen):
    """How many to list."""

    limit: int = Field(10, ge=1, le=100, description="Entries (count).")


class ReportWanted(Frozen):
    """A report, and how it is wanted."""

    run: str = Field(description="Name of a run, from list_runs, or `last`.")
    form: Literal["summary", "markdown", "json"] = Field(
        "summary", description="summary: answer and claims; markdown: all of it to read; json: any part, by `path`."
    )
    start: int = Field(0, ge=0, description="markdown: first character to give.")
    path: tuple[str, ...] = Field((), description="json: keys and places, such as ['claims', '0', 'judgement'].")


class MeasurementWanted(Frozen):
    """A measurement, and the part of it that is wanted."""

    id: str = Field(pattern=MEASUREMENT_ID, description="Id of a measurement, such as m-1a2b3c4d.")
    path: tuple[str, ...] = Field((), description="Keys and places, such as ['result', 'prompts', '0:3'].")


class Sought(Frozen):
    """What to look for in the memory."""

    text: str = Field(min_length=1, max_length=2000, description="What to look for, by meaning.")
    kind: Literal["feature_cards", "hypotheses", "claims"] | None = Field(None, description="One collection only.")
    limit: int = Field(10, ge=1, le=50, description="Hits (count).")
