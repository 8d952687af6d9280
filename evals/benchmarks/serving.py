"""The page under load: how long readers wait for it while others ask and experiments run.

A server is started as a person starts it. Readers open the list of runs, a report and its measurements, with all that
these pages load, and look at each for about a second; askers put question after question, which one worker
investigates. Every request of every reader counts. Readers, askers, server and worker share this machine.

`python -m vesalius.evals.benchmarks.serving [--json]` prints the figures; `--into FOLDER` also writes the table.
"""

import argparse
import datetime
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from ...agent.runs import write_whole
from ...tools import Progress, ToolError, load_subject, silent
from ..metric import Metric
from ._growth_plot import markdown_table
from ._loaded_server import Client, Seen, ask_questions, read_pages, running_server, together
from ._process_cost import machine
from ._results_folder import told

READERS, ASKERS, SECONDS = 20, 3, 120.0
TARGET = 200.0  # milliseconds, for the 95th percentile of readers' requests
COMMAND = "python -m vesalius.evals.benchmarks.serving --into OUT_FOLDER"


class Load(NamedTuple):
    """What came of it."""

    seen: tuple[Seen, ...]  # by readers
    errors: tuple[str, ...]  # of readers and askers
    answered: int  # questions
    seconds: float
    readers: int
    askers: int

    def of(self, kind: str) -> list[float]:
        """Milliseconds of the answers of one kind, in order; of all where none is named."""
        return sorted(1000 * one.seconds for one in self.seen if kind in ("", one.kind))


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """What readers wait (milliseconds, median and 95th percentile), errors, answers; `seed` draws what they read."""
    found = load(seed, progress)
    times = found.of("")
    worst = share(times, 0.95)
    return {
        "p95_ms": Metric(value=worst, low=None, high=None, n=len(times), target=f"< {TARGET:g}", met=worst < TARGET),
        "p50_ms": Metric(value=share(times, 0.5), low=None, high=None, n=len(times), target="", met=None),
        "errors": Metric(value=len(found.errors), low=None, high=None, n=len(times), target="0", met=not found.errors),
        "answered": Metric(value=found.answered, low=None, high=None, n=found.askers, target="", met=None),
    }


def load(
    seed: int, progress: Progress = silent, seconds: float = SECONDS, readers: int = READERS, askers: int = ASKERS
) -> Load:
    """Put a server under load.

    Raises:
        ToolError: it does not start, or answers no question.
    """
    progress(0, 2, "a first question, so that there is a report to read")
    questions = _questions(seed)
    with ExitStack() as held:
        port = held.enter_context(running_server(Path(held.enter_context(tempfile.TemporaryDirectory()))))
        first, *clients = (held.enter_context(closing(Client(port))) for _ in range(1 + readers + askers))
        (run,) = ask_questions(first, questions[:1], lambda: False) or [""]
        if not run:
            raise ToolError(f"The first question came to nothing: {first.seen[-1].error}.", mend="Run: vesalius serve")
        progress(1, 2, f"{readers} readers and {askers} askers for {seconds:g} s")
        began = time.monotonic()

        def is_over() -> bool:
            return time.monotonic() - began >= seconds

        reading, asking = clients[:readers], clients[readers:]
        works = [partial(read_pages, one, run, Random(seed + i), is_over) for i, one in enumerate(reading)]
        works += [partial(ask_questions, one, questions[1 + i :: askers], is_over) for i, one in enumerate(asking)]
        answers = together(works)[readers:]
    seen = tuple(one for client in reading for one in client.seen)
    errors = tuple(one.error for client in (*reading, *asking) for one in client.seen if one.error)
    return Load(seen, errors, sum(map(len, answers)), seconds, readers, askers)


def _questions(seed: int) -> list[str]:
    """Questions about the reference model, each another, in an order that the seed draws."""
    family = next(one for one in load_subject("atlas", "cpu").tasks if one.name == "two_hop")
    template = family.templates[0]
    found = [
        f"Why does the model answer '{row.slots[family.answer]}' after '{template.fill(row.slots)}'?"
        for row in family.rows
    ]
    Random(seed).shuffle(found)
    return found


def share(times: Sequence[float], part: float) -> float:
    """The value that a share of sorted values does not exceed."""
    return times[min(len(times) - 1, int(part * len(times)))]


def table(found: Load) -> str:
    """The figures in Markdown, with the machine and the day they are from."""
    kinds = {"": "all", "page": "pages", "data": "data of pages", "static": "scripts and styles"}
    rows = [
        (name, str(len(times)), *(f"{one:.0f}" for one in (statistics.median(times), share(times, 0.95), times[-1])))
        for kind, name in kinds.items()
        if (times := found.of(kind))
    ]
    return f"""# The page under load

Measured {datetime.date.today()} on {machine()}, by `{COMMAND}`: {found.readers} readers and {found.askers} askers for \
{found.seconds:g} s on loopback, all on this machine. {found.answered} questions were answered meanwhile; \
requests that failed: {len(found.errors)}. Target: no error, and 95 % of the readers' requests within {TARGET:g} ms.

{markdown_table(("requests of readers", "number", "median ms", "95 % within ms", "longest ms"), rows)}"""


def main(argv: list[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog=COMMAND.rpartition(" --")[0], description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--into", type=Path, metavar="OUT_FOLDER", help="also write the table here")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long")
    parser.add_argument("--readers", type=int, default=READERS, help="people who read")
    parser.add_argument("--askers", type=int, default=ASKERS, help="people who ask")
    parser.add_argument("--seed", type=int, default=0, help="draws what is read and asked")
    given = parser.parse_args(argv)
    try:
        found = load(given.seed, told, given.seconds, given.readers, given.askers)
    except ToolError as error:
        parser.error(str(error))
    if given.into is not None:
        write_whole(given.into / "serving.md", table(found))
    for error in found.errors[:10]:
        sys.stderr.write(f"failed: {error}\n")
    times = found.of("")
    plain = {"p50_ms": share(times, 0.5), "p95_ms": share(times, 0.95), "n": len(times), "errors": len(found.errors)}
    plain |= {"answered": found.answered, "seconds": found.seconds}
    sys.stdout.write(f"{json.dumps(plain, indent=1)}\n" if given.json else table(found))


if __name__ == "__main__":
    main()
