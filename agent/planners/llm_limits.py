"""What a language model that plans may not ask for, whatever an instrument would take.

Files of its choice, prompts that are kept back to test its predictions on, and measurements that take for ever.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import Any

from ...tools import Tool, ToolError
from ..holdout import plain, prompts_in
from ._pairs import PairArgs, Pool, Split

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,60}")
DICTIONARIES = ("dictionary", "neighbours_from")  # arguments that name one
# What makes a measurement take long: at most so many times what it is by default, and no less than may be asked for.
COSTLY = {
    *("random_draws", "steps", "most_steps", "resamples", "permutations", "draws", "samples", "per_word", "per_kind"),
    *(
        "most_contexts",
        "max_feature_nodes",
        "neutral",
        "n_neutral",
        "spot_checks",
        "check",
        "runs",
        "dimension",
        "rank",
    ),
    *("per_concept", "contexts", "swaps", "max_features", "restarts", "epochs"),
}
TIMES, ALLOWED = 4, 200
MOST_LISTED = 2_000  # entries of a list, and places of a patch with its random draws
MOST_RUNS = 60_000  # of prompts: all heads of a small GPT-2 at two places, with what hides them, on thirty pairs
PLACES = ("sites", "positions", "links", "nodes", "strengths")  # each entry of one with each of the others, on all of:
RUN = ("pairs", "prompts", "discovery", "swapped", "unrelated", "first", "second", "read_on", "off_target")


def refuse_places_on_disk(given: Any) -> None:
    """A dictionary is named as it lies beside the model: a path or a hub is for the person to give.

    Raises:
        ToolError: something else is named, however deep in the arguments.
    """
    for name, value in _named_values(given):
        is_other = name in DICTIONARIES and not (isinstance(value, str) and PLAIN_NAME.fullmatch(value))
        if is_other or (name == "force_dictionary" and value is not False):
            raise ToolError(
                "A planner may name the model's own dictionaries alone, and force none.",
                mend="Leave `dictionary` out, or pass `transcoders` or `neurons`.",
            )


def refuse_kept_back(given: Any, kept: frozenset[str], instead: str) -> None:
    """What confirms is not looked at first, whoever guesses it; the question's own prompts never confirm.

    Args:
        kept: the prompts of `kept_back`.
        instead: what may be named in its place.

    Raises:
        ToolError: a prompt that predictions are tested on is among the arguments, as whatever.
    """
    if any(plain(text) in kept for text in _texts(given)):
        raise ToolError("One of these prompts is kept back to test predictions on.", mend=f"Name `{instead}`.")


def kept_back(pool: Pool) -> frozenset[str]:
    """The prompts that predictions are tested on, and no other."""
    mine, seen = (prompts_in(_pairs_of(split)) for split in (pool.confirmation, pool.discovery))
    return frozenset(mine - seen - {plain(one["prompt"]) for one in (*pool.reference, *pool.reference_one_hop)})


def _pairs_of(split: Split) -> tuple[PairArgs, ...]:
    return (*split.swap, *split.other, *split.one_hop)


def refuse_endless(given: dict[str, Any], tool: Tool[Any, Any]) -> None:
    """A measurement cannot be stopped in the middle, so that it ends has to be seen before.

    Raises:
        ToolError: it would take much longer than by default.
    """
    fields = tool.args_model.model_fields
    for name, value in _named_values(given):
        due = fields[name].default if name in fields else 0
        most = max(ALLOWED, TIMES * due) if type(due) is int else ALLOWED
        if name in COSTLY and isinstance(value, int | float) and value > most:
            raise ToolError(f"`{name}` is {_short(value)}: that would take too long.", mend=f"Pass at most {most}.")
        if isinstance(value, list) and len(value) > MOST_LISTED:
            raise ToolError(f"`{name}` has {len(value)} entries.", mend=f"Pass at most {MOST_LISTED}.")
    places = prod(len(given[name]) for name in PLACES if isinstance(given.get(name), list) and given[name])
    draws = given.get("random_draws", 0)
    times = 1 + draws if type(draws) is int else 1
    if places * times > MOST_LISTED:
        raise ToolError("So many places at once take too long.", mend="Pass fewer sites, positions or random draws.")
    prompts = sum(len(value) for name, value in _named_values(given) if name in RUN and isinstance(value, list))
    if (runs := places * times * prompts) > MOST_RUNS:
        raise ToolError(
            f"{places} places on {prompts} prompts or pairs, each {times} times, are {runs} runs: that takes too long.",
            mend=f"Pass fewer sites, positions, pairs or random draws: {MOST_RUNS} runs at most.",
        )


def _short(value: int | float) -> str:
    text = str(value) if abs(value) < 10**12 else "enormous"
    return text[:20]


def _named_values(given: Any) -> Iterator[tuple[str, Any]]:
    """Every named value of some arguments, however deep."""
    for name, value in given.items() if isinstance(given, dict) else ():
        yield name, value
        yield from _named_values(value)
    for value in given if isinstance(given, list) else ():
        yield from _named_values(value)


def _texts(given: Any) -> Iterator[str]:
    """Every text in some arguments, however deep."""
    if isinstance(given, str):
        yield given
    for value in given.values() if isinstance(given, dict) else given if isinstance(given, list) else ():
        yield from _texts(value)
