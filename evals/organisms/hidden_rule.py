"""Organisms with a hidden rule: models that decide by a planted tree, and explain it truly, falsely or not at all.

    python -m vesalius.evals.organisms.hidden_rule --seed 0 --out DIR

trains models on records of ten fields (some are noisy copies of others, some labels are wrong) until they decide as a
drawn tree does, and writes each as a Hugging Face folder with its tree. There are two plantings: `scratch`, and
`adapter`, a low-rank change of a model that decides by another rule; one such model for each depth and number, which
adapters of all kinds share. A model below the bar is refused, and the next attempt draws another tree; every refusal
stands on the card of the model that took its place. The same seed gives the same weights, bit for bit, on the same
machine. A run that was stopped goes on after the last model that was written.

Source: "Pando" (2604.11061, 2026), which plants trees into Gemma-2-2B; sizes, noise, copies and plantings are ours.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import get_args

from ...tools import ToolError
from ._hidden_folder import Base, Plan, is_made, make, make_base
from ._hidden_training import Kind, Planting
from ._hidden_workers import shared_out

KINDS: tuple[Kind, ...] = get_args(Kind)
DEPTHS = (1, 2, 3, 4)
# Models of each kind and depth (count); of a single one nobody could say how far another would be from it.
REPEATS: Mapping[Planting, int] = {"scratch": 2, "adapter": 2}
Say = Callable[[int, int, str], None]


def plans(seed: int, repeats: Mapping[Planting, int] = REPEATS, depths: Sequence[int] = DEPTHS) -> list[Plan]:
    """All organisms of a seed.

    Raises:
        ValueError: a depth that no organism has, or a seed below 0.
    """
    if seed < 0:
        raise ValueError(f"the seed is {seed}; pass 0 or more")
    if odd := sorted(set(depths) - set(DEPTHS)):
        raise ValueError(f"depth {odd[0]} is not among {', '.join(map(str, DEPTHS))}; leave it out")
    return [
        Plan(planting, kind, depth, number, seed)
        for planting, n in repeats.items()
        for number in range(n)
        for depth in depths
        for kind in KINDS
    ]


def build(asked: Sequence[Plan], cache: Path, say: Say, workers: int | None = None) -> None:
    """Make what is not there yet.

    Raises:
        ToolError: what is there was made by another recipe, and nothing is made; or some did not reach the bar, and
            all others are written.
    """
    due = [plan for plan in asked if not is_made(plan, cache)]
    starts = {plan.base for plan in due if plan.base is not None}
    bases = sorted((base for base in starts if not (cache / base.name).exists()), key=lambda one: one.name)
    # The deepest take longest, so they start first; what adapters change is there before them.
    jobs: list[list[Base | Plan]] = [[*bases], sorted(due, key=lambda plan: -plan.depth)]
    refused, done, total = list[str](), 0, len(bases) + len(due)
    for some in jobs:
        with closing(shared_out(_try, [(one, cache) for one in some], workers or cores())) as tried:
            for line, is_there in tried:
                done += 1
                refused += [] if is_there else [line]
                say(done, total, line)
    if refused:
        raise ToolError(" ".join(refused), mend="Take another seed.")


def _try(what: Base | Plan, cache: Path) -> tuple[str, bool]:
    """A refusal goes back to the process that asked as a line: one organism must not stop the others."""
    try:
        return make_base(what, cache) if isinstance(what, Base) else make(what, cache), True
    except ToolError as error:
        return error.message, False


def cores() -> int:
    """Processors that this process may use (count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _trouble_writing(folder: Path) -> str:
    """Why nothing can be written there; known now, and not when the first organism is trained."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def main(argv: list[str] | None = None) -> int:
    """Read the command line and make the organisms."""
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.hidden_rule", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="decides rules, records and weights")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the organisms' folders into")
    parser.add_argument("--workers", type=int, default=cores(), help="processes that train (count)")
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS), help="depths of the rules")
    given = parser.parse_args(argv)
    if given.workers < 1:
        parser.error(f"--workers is {given.workers}; pass 1 or more")
    try:
        asked = plans(given.seed, depths=given.depths)
    except ValueError as error:
        parser.error(str(error))
    if trouble := _trouble_writing(given.out):
        parser.error(f"--out {given.out} cannot be written into: {trouble}. Name another folder.")
    clock = time.monotonic()

    def say(done: int, total: int, what: str) -> None:
        left = f"{(time.monotonic() - clock) / done * (total - done):.0f} s left" if done else "starting"
        print(f"{done}/{total}  {left}  {what}", file=sys.stderr, flush=True)

    try:
        build(asked, given.out, say, given.workers)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last organism that was written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
