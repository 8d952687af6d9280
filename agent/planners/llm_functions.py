"""What a language model that plans may call: instruments, by the schemas of their own arguments, and three words more.

All instruments are listed, a few are open from the start, and any other is opened by asking for it: schemas of all
would fill a small model's context. Arguments are checked by the very models that the schemas are made from, and what
does not fit comes back with the mend. In place of prompts and pairs the name of the investigation's own stands, so
that nobody has to copy them, and those that are kept back to confirm have no name.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from ...tools import Frozen, Tool, ToolError, get_tool, load_tools
from ._circuits import ASKED
from ._pairs import PairArgs, Pool
from .llm_endpoint import first_of, one_line
from .llm_limits import refuse_endless, refuse_kept_back, refuse_places_on_disk
from .llm_turns import Call

OPEN_AT_FIRST = ("patch", "next_token", "logit_lens")
MOST_OPEN = 8  # instruments whose schemas are sent; opening another closes the one opened first
LONGEST_ARGUMENTS = 60_000  # characters
DEEPEST = 12  # lists and objects within each other
DISCOVERY, OTHER, ONE_HOP = "discovery", "discovery_other", "discovery_one_hop"
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400), AfterValidator(one_line)]


class Open(Frozen):
    """Read an instrument's manual, and have its arguments listed from then on."""

    instrument: str = Field(description="Its name, from the catalogue.")


class Predict(Frozen):
    """Commit to a prediction about one place. It is sealed when you finish, then tested on prompts kept from you."""

    claim: Literal["carries", "part_of_path", "holds_variable", "lacks_variable"] = Field(
        description="carries: the stream there carries what decides the answer. part_of_path: that block or head moves "
        "the answer. holds_variable, lacks_variable: the value between entity and answer does, or does not, stand "
        "there in a form of its own."
    )
    site: str = Field(description="A site such as resid_post.1, attn_out.2, mlp_out.0 or head.1.3.")
    at: Literal["entity", "last"] = Field(description="At the token that is swapped, or at the last token.")
    without: tuple[str, ...] = Field(
        default=(),
        max_length=8,
        description="With part_of_path: heads and MLPs that are taken out (head.1.3, mlp_out.0), where that block or "
        "head shows only then because it stands in for them.",
    )
    reason: Line = Field(description="What you saw that makes you expect it.")
    alternative: Line = Field(description="What else could explain what you saw.")


class Finish(Frozen):
    """Stop exploring: your predictions are sealed and tested."""

    reason: Line = Field(description="Why no further experiment would change what you predict.")


class Aim(Frozen):
    """What goes with every measurement."""

    why: Line = Field(description="What the measurement is for.")
    would_change: Line = Field(description="Which result would make you predict something else.")


WORDS: dict[str, type[Frozen]] = {"open_instrument": Open, "predict": Predict, "finish": Finish}


class Wanted(Frozen):
    """A measurement that a call asks for, its arguments checked."""

    tool: str
    args: dict[str, Any]
    aim: Aim


def catalogue() -> dict[str, str]:
    """Every instrument, with what it measures."""
    return {name: tool.summary for name, tool in sorted(load_tools().items())}


def functions(opened: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """What may be called now, as chat completions describe functions."""
    words = [_described(name, model.__doc__ or "", model.model_json_schema()) for name, model in WORDS.items()]
    return (*words, *(_described(name, get_tool(name).summary, schema_of(get_tool(name))) for name in opened))


def schema_of(tool: Tool[Any, Any]) -> dict[str, Any]:
    """An instrument's arguments and the aim of the measurement; pairs may be named."""
    schema = tool.args_model.model_json_schema()
    properties = dict(schema["properties"])
    for field, names in NAMED.items():
        if field in properties:
            told = f"{properties[field].get('description', '')} Or the name of the investigation's own."
            properties[field] = {"description": told, "anyOf": [{"enum": list(names)}, properties[field]]}
    aim = Aim.model_json_schema()
    required = [*schema.get("required", ()), *aim["required"]]
    return {**schema, "properties": {**properties, **aim["properties"]}, "required": required}


NAMED = {
    "pairs": (DISCOVERY, OTHER),
    "families": (DISCOVERY,),
    "reference": (DISCOVERY, ONE_HOP),
    "prompts": (DISCOVERY,),
}


def word_of(call: Call) -> Frozen:
    """An `Open`, `Predict` or `Finish`, checked.

    Raises:
        ToolError: its arguments are of another form; says which and what is due.
    """
    try:
        return WORDS[call.name].model_validate(arguments_of(call))
    except ValidationError as error:
        raise _unfit(call, first_of(error), WORDS[call.name].model_json_schema()) from None


def wanted_of(call: Call, pool: Pool, kept: frozenset[str]) -> Wanted:
    """The measurement that a call asks for.

    Args:
        kept: prompts that are kept back to confirm.

    Raises:
        ToolError: no such instrument, arguments that it does not take, or what is not a planner's to ask for: a file,
            prompts that are kept back, a measurement without end; says which and what is due.
    """
    known = load_tools()
    if call.name not in known:
        raise ToolError(
            f"There is no function {call.name[:60]!r}.",
            mend=f"Call one of {', '.join(WORDS)}, or an instrument: {', '.join(sorted(known))}.",
        )
    given = arguments_of(call)
    refuse_places_on_disk(given)
    refuse_kept_back(given, kept, DISCOVERY)
    tool, aim = known[call.name], {name: given.pop(name) for name in Aim.model_fields if name in given}
    try:
        told = Aim.model_validate(aim)
    except ValidationError as error:
        raise _unfit(call, first_of(error), Aim.model_json_schema()) from None
    try:
        args = tool.parse(_with_own(given, pool)).model_dump(mode="json")
        refuse_endless(args, tool)  # as parsed: a number in quotes is one
    except ToolError as error:
        names = ", ".join(tool.args_model.model_fields)
        raise ToolError(error.message, mend=f"{error.mend} Its arguments: {names}.") from None
    return Wanted(tool=call.name, args=args, aim=told)


def _with_own(given: dict[str, Any], pool: Pool) -> dict[str, Any]:
    """The arguments with the investigation's own prompts in the place of their names."""
    swap = pool.discovery.swap
    own: dict[tuple[str, str], Any] = {
        ("pairs", DISCOVERY): swap,
        ("pairs", OTHER): pool.discovery.other,
        ("families", DISCOVERY): swap and [{"name": DISCOVERY, "pairs": [_contrast(pair) for pair in swap]}],
        ("reference", DISCOVERY): pool.reference,
        ("reference", ONE_HOP): pool.reference_one_hop,
        ("prompts", DISCOVERY): tuple(dict.fromkeys(pair["base"] for pair in swap)),
    }
    found = dict(given)
    for (field, name), value in own.items():
        if given.get(field) == name:
            if not value:
                raise ToolError(f"This investigation has no `{field}` named {name}.", mend="Give a list of your own.")
            found[field] = list(value)
    return found


def _contrast(pair: PairArgs) -> PairArgs:
    """What a family takes of a pair."""
    return {field: pair.get(field, "") for field in ASKED}


def _described(name: str, text: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "description": text, "parameters": parameters}


def arguments_of(call: Call) -> dict[str, Any]:
    """The arguments of a call.

    Raises:
        ToolError: they are no JSON object, or too long.
    """
    if len(call.arguments) > LONGEST_ARGUMENTS:
        raise ToolError(f"The arguments of {call.name[:60]!r} are too long.", mend="Name the prompts: `discovery`.")
    try:
        found = json.loads(call.arguments or "{}", parse_constant=_refused_number)
        call.arguments.encode()
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # halves of characters too: JSON can hold them and no file can
        found = None
    if not isinstance(found, dict) or _depth(found) > DEEPEST:
        raise ToolError(
            f"The arguments of {call.name[:60]!r} are no JSON object.", mend='Write them as {"name": value}.'
        )
    return found


def _refused_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _depth(value: Any) -> int:
    """How many lists and objects stand within each other."""
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
    return depth


def _unfit(call: Call, why: str, schema: dict[str, Any]) -> ToolError:
    return ToolError(f"{call.name}: {why}.", mend=f"Schema: {json.dumps(schema)}")
