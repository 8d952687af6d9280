"""What passes between the investigation and a language model that plans: what it is asked, and what it said.

A planner never calls an endpoint. It returns a `Consultation`; the desk asks, and writes the reply into the ledger as a
`Turn`; from then on the turn is plain data, which a resumed run reads as the first one did.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import Field

from ...tools import Frozen

Mode = Literal["native", "json", "text"]
"""How calls are asked for: as the endpoint's own tool calls, as an object it is held to, or as one in its words."""
MODES: tuple[Mode, ...] = get_args(Mode)
Role = Literal["planner", "refuter", "writer"]


class Call(Frozen):
    """A function that the language model wants called, as it wrote it: nothing is checked yet."""

    id: str = Field(description="The endpoint's name for the call; empty in mode json.")
    name: str = Field(description="Function.")
    arguments: str = Field(description="Its arguments as JSON text.")


class Turn(Frozen):
    """One reply, or why there is none."""

    number: int = Field(ge=1, description="Which turn of its role, from 1.")
    role: Role = Field(default="planner", description="In what part it was asked.")
    mode: Mode = Field(description="How calls were asked for.")
    content: str = Field(default="", description="What it said beside its calls.")
    calls: tuple[Call, ...] = Field(default=(), description="In the order of the reply.")
    model: str = Field(description="Model that the endpoint says it asked.")
    tokens_in: int = Field(default=0, ge=0, description="Tokens of what it was sent (count).")
    tokens_out: int = Field(default=0, ge=0, description="Tokens that it wrote (count).")
    estimated: bool = Field(default=False, description="The endpoint told no tokens: counted as a quarter of the text.")
    problem: str = Field(default="", description="Why there is no reply; empty where there is one.")
    unanswered: bool = Field(default=False, description="The endpoint gave no answer, however often it was asked.")
    mode_refused: bool = Field(default=False, description="The endpoint does not take requests of this mode.")


def next_mode(turns: Sequence[Turn]) -> Mode:
    """How to ask next: as was last asked, or one step plainer where the endpoint does not take that."""
    if not turns:
        return MODES[0]
    last = turns[-1]
    return MODES[min(MODES.index(last.mode) + last.mode_refused, len(MODES) - 1)]


class Consultation(Frozen):
    """What a language model is to be asked next."""

    number: int = Field(ge=1, description="Which turn of its role, from 1.")
    role: Role = Field(default="planner", description="In what part it is asked.")
    mode: Mode = Field(description="How calls are asked for.")
    messages: tuple[dict[str, Any], ...] = Field(description="The conversation, as chat completions have it.")
    functions: tuple[dict[str, Any], ...] = Field(description="What it may call: name, description, parameters.")
    seed: int = Field(description="Asked for; endpoints need not heed it.")


class Planning(Frozen):
    """How the planning by a language model went, for the report."""

    model: str = Field(description="Language model that was asked to plan.")
    turns: int = Field(ge=0, description="Replies asked for (count).")
    useless: int = Field(ge=0, description="Turns that asked for nothing that could be done (count).")
    tokens: int = Field(ge=0, description="Tokens sent and written, all roles (count).")
    estimated: bool = Field(default=False, description="Some of these are counted as a quarter of the text.")
    ended: str = Field(description="How it ended, in plain words.")
    blinded: str = Field(default="", description="What was hidden until predictions were sealed; empty for nothing.")
    finished_by_protocol: bool = Field(description="Whether the deterministic planner had to finish.")
