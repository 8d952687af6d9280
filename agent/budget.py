"""What an investigation may spend, what it has spent, and when that is enough.

Exploration ends where a budget is reached, or most of its time is: what was predicted is then sealed, tested, judged
and reported. Confirmation goes on until all of the time is gone; what is not tested by then is said to be untested.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from ..tools import Frozen, ToolError
from .planners.llm_turns import Turn

if TYPE_CHECKING:
    from .settings import Settings

EXPLORING = 0.7  # share of the time that exploration may take
MILLION = 1_000_000
NAMES = {
    "calls": "calls of the language model",
    "tokens": "tokens",
    "cost": "cost",
    "tool_seconds": "seconds of instruments",
    "seconds": "seconds",
}
TIMES = ("tool_seconds", "seconds")


class Budget(Frozen):
    """Limits; none where there is no limit."""

    calls: int | None = Field(default=60, ge=1, description="Requests to language models (count).")
    tokens: int | None = Field(default=1_000_000, ge=1, description="Tokens sent and written (count).")
    cost: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Cost, in the currency of the prices."
    )
    tool_seconds: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Time of instruments (seconds)."
    )
    seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Wall time since the run was begun or taken up again (seconds).",
    )


class Prices(Frozen):
    """What a language model costs."""

    per_million_in: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="A million tokens sent.")
    per_million_out: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="A million tokens written.")


def prices_of(settings: "Settings") -> Prices:
    """What the language model of these settings costs."""
    return Prices(per_million_in=settings.planner_price_in, per_million_out=settings.planner_price_out)


class Spent(Frozen):
    """What is gone so far; the names are those of `Budget`."""

    calls: int
    tokens: int
    cost: float
    tool_seconds: float
    seconds: float


def spent(turns: Iterable[Turn], prices: Prices, tool_seconds: float, seconds: float) -> Spent:
    """What these turns and times come to."""
    said = [*turns]
    cost = sum(turn.tokens_in * prices.per_million_in + turn.tokens_out * prices.per_million_out for turn in said)
    return Spent(
        calls=len(said),
        tokens=sum(turn.tokens for turn in said),
        cost=cost / MILLION,
        tool_seconds=tool_seconds,
        seconds=seconds,
    )


def reached(budget: Budget, gone: Spent, exploring: bool) -> str:
    """Which budget is reached, in words; empty where none is.

    Args:
        exploring: whether some of the time is to be left for confirmation.
    """
    for name, told in NAMES.items():
        limit = getattr(budget, name)
        share = EXPLORING if exploring and name in TIMES else 1.0
        if limit is not None and getattr(gone, name) >= share * limit:
            return f"the budget of {_plain(limit)} {told} is reached"
    return ""


def told(budget: Budget, gone: Spent) -> str:
    """How much of each limit is gone, in a line; empty where there are none."""
    limits = {name: getattr(budget, name) for name in NAMES}
    return ", ".join(
        f"{NAMES[name]} {getattr(gone, name):,.{2 if name == 'cost' else 0}f} of {_plain(limit)}"
        for name, limit in limits.items()
        if limit is not None
    )


def _plain(limit: float | int) -> str:
    """A limit as it was given: 1,000,000 and 0.5, and not 1e+06."""
    return f"{limit:,}".removesuffix(".0")


def budget_of(text: str, prices: Prices) -> Budget:
    """A budget as the command line has it: `calls=40,tokens=100000,seconds=600`; what is not named stays as it is.

    Raises:
        ToolError: no such limit, no such number, or a cost where no price is known.
    """
    mend = f"Write NAME=NUMBER, with commas between them; names: {', '.join(NAMES)}."
    given: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, sign, number = part.partition("=")
        if not sign or name.strip() not in NAMES or name.strip() in given:
            raise ToolError(f"The budget has {part!r}.", mend=mend)
        given[name.strip()] = number.strip()
    try:
        found = Budget.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ToolError(f"The budget's {first['loc'][0]} is {first['input']!r}: {first['msg']}.", mend=mend) from None
    if found.cost is not None and prices == Prices():
        raise ToolError(
            "A cost is limited, and no price is known.",
            mend="Set VESALIUS_PLANNER_PRICE_IN and VESALIUS_PLANNER_PRICE_OUT, per million tokens.",
        )
    return found


def raised(budget: Budget, text: str, prices: Prices) -> Budget:
    """A budget with the limits raised that a text names, as `budget_of` reads them.

    Raises:
        ToolError: it cannot be read, or would lower a limit: what was promised to be left would be gone.
    """
    given = budget_of(text, prices)
    wanted = {name: getattr(given, name) for name in given.model_fields_set}
    for name, limit in wanted.items():
        now = getattr(budget, name)
        if now is None or limit < now:
            have = "no limit" if now is None else f"a limit of {_plain(now)}"
            raise ToolError(
                f"There is {have} on {NAMES[name]}; {_plain(limit)} would lower it.",
                mend="A budget can be raised while a run goes on, and not lowered; a run can be stopped.",
            )
    return budget.model_copy(update=wanted)
