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
Role = Literal["planner", "refuter", "writer", "reader"]


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
    too_long: bool = Field(default=False, description="The endpoint takes no conversation of this length.")
    refused: bool = Field(
        default=False, description="The endpoint did not take this request, though it took others of its mode."
    )
    left_out: tuple[str, ...] = Field(
        default=(), description="Parameters that the endpoint refuses, so that it was asked without them."
    )

    @property
    def tokens(self) -> int:
        """Tokens that it was sent and wrote (count)."""
        return self.tokens_in + self.tokens_out

    @property
    def is_try(self) -> bool:
        """Whether it counts as one: not where it was only found out how this endpoint has to be asked."""
        return not (self.mode_refused or self.too_long)


MOST_WRITTEN = 4096  # tokens that a reply may have at most
MOST_SHORTENED = 3  # times that a run finds its conversations too long; after them that is a turn in vain
SHORTER = 0.6  # of the room, each time


class Terms(Frozen):
    """How an endpoint has to be asked, as all turns of a run have taught, whatever their role."""

    mode: Mode = Field(description="How calls are asked for: the first way, or one plainer than any that was refused.")
    proven: bool = Field(description="Whether the last request of this mode was taken.")
    left_out: tuple[str, ...] = Field(description="Parameters that the endpoint refuses.")
    shortened: int = Field(description="How often a conversation was too long (count).")

    @property
    def may_shorten(self) -> bool:
        """Whether a conversation that is too long can be tried in a shorter form."""
        return self.shortened < MOST_SHORTENED

    @property
    def asked(self) -> dict[str, Any]:
        """What of it a consultation says."""
        return {"may_shorten": self.may_shorten, **self.model_dump(include={"mode", "proven", "left_out"})}

    def room(self, wanted: int) -> int:
        """How long a conversation may be (characters), of what was wanted."""
        return int(wanted * SHORTER**self.shortened)


def terms_of(turns: Sequence[Turn]) -> Terms:
    """What the turns of a run so far say about the endpoint; a function of them alone, as a resumed run has them."""
    steps = [MODES.index(turn.mode) + 1 for turn in turns if turn.mode_refused]
    mode = MODES[min(max(steps, default=0), len(MODES) - 1)]
    # One refusal among requests that were taken is of that request. Where the next one is refused too it is of the
    # mode: some servers take functions, and not the conversation that follows a call.
    asked = [turn for turn in turns if turn.mode == mode and not turn.unanswered and not turn.too_long]
    return Terms(
        mode=mode,
        proven=bool(asked) and not asked[-1].refused,
        left_out=tuple(sorted({name for turn in turns for name in turn.left_out})),
        shortened=sum(turn.too_long for turn in turns),
    )


class Consultation(Frozen):
    """What a language model is to be asked next."""

    number: int = Field(ge=1, description="Which turn of its role, from 1.")
    role: Role = Field(default="planner", description="In what part it is asked.")
    mode: Mode = Field(description="How calls are asked for.")
    proven: bool = Field(default=False, description="Whether the last request of this mode was taken in this run.")
    left_out: tuple[str, ...] = Field(default=(), description="Parameters that the endpoint is known to refuse.")
    may_shorten: bool = Field(default=False, description="Whether a shorter form of it could be asked next.")
    longest_reply: int = Field(default=MOST_WRITTEN, ge=1, description="How long the reply may be (tokens).")
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
    asked_otherwise: str = Field(
        default="", description="What of the requests was changed because the endpoint refused it; empty for nothing."
    )
    finished_by_protocol: bool = Field(description="Whether the deterministic planner had to finish.")
