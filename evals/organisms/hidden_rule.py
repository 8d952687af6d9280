"""Organisms with a hidden rule: models that decide by a planted tree, and explain it truly, falsely or not at all.

    python -m vesalius.evals.organisms.hidden_rule --seed 0 --out DIR

trains models on records of ten fields (some are noisy copies of others, some labels are wrong) until they decide as a
drawn tree does, and writes each as a Hugging Face folder with its tree. There are two plantings: `scratch`, and
`adapter`, a low-rank change of one model that decides by another rule. A model below the bar is refused, and the next
attempt draws another tree; every refusal stands on the card of the model that took its place. The same seed gives the
same weights, bit for bit, on the same machine. A run that was stopped goes on after the last model that was written.

Source: "Pando" (2604.11061, 2026), which plants trees into Gemma-2-2B; sizes, noise, copies and plantings are ours.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import get_args

from ...tools import ToolError
from ._hidden_folder import Plan, base_name, make, make_base
from ._hidden_training import Kind, Planting

KINDS: tuple[Kind, ...] = get_args(Kind)
DEPTHS = (1, 2, 3, 4)
REPEATS: Mapping[Planting, int] = {"scratch": 1, "adapter": 1}  # models of each kind and depth (count)
Say = Callable[[int, int, str], None]


def plans(seed: int, repeats: Mapping[Planting, int] = REPEATS, depths: Sequence[int] = DEPTHS) -> list[Plan]:
    """All organisms of a seed.

    Raises:
        ValueError: a depth that no organism has.
    """
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
        ToolError: some did not reach the bar; all others are written.
    """
    due = [plan for plan in asked if not (cache / plan.name).exists()]
    if not due:
        return
    for seed in {plan.seed for plan in due if plan.planting == "adapter"}:
        if not (cache / base_name(seed)).exists():
            say(0, len(due), "the model that adapters change")
            make_base(seed, cache)
    refused: list[str] = []
    for done, (line, is_made) in enumerate(_tried(due, cache, workers or cores()), start=1):
        refused += [] if is_made else [line]
        say(done, len(due), line)
    if refused:
        raise ToolError(" ".join(refused), mend="Take another seed.")


def _tried(due: Sequence[Plan], cache: Path, workers: int) -> Iterator[tuple[str, bool]]:
    """Of each organism, when it is done, a line and whether it is there now."""
    if workers == 1:
        yield from (_try(plan, cache) for plan in due)
        return
    # Spawned: torch's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        # The deepest take longest, so they start first.
        jobs = [pool.submit(_try, plan, cache) for plan in sorted(due, key=lambda plan: -plan.depth)]
        try:
            yield from (job.result() for job in as_completed(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _try(plan: Plan, cache: Path) -> tuple[str, bool]:
    """A refusal goes back to the process that asked as a line: one organism must not stop the others."""
    try:
        return make(plan, cache), True
    except ToolError as error:
        return error.message, False


def cores() -> int:
    """Processors that this process may use (count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    clock = time.monotonic()

    def say(done: int, total: int, what: str) -> None:
        left = f"{(time.monotonic() - clock) / done * (total - done):.0f} s left" if done else "starting"
        print(f"{done}/{total}  {left}  {what}", file=sys.stderr, flush=True)

    try:
        asked = plans(given.seed, depths=given.depths)
    except ValueError as error:
        parser.error(str(error))
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
