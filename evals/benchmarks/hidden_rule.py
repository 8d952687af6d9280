"""Hidden rules: from ten decisions of a model and one instrument, foretell ninety others, and name the fields behind.

After "Pando" (2604.11061, 2026). Small models decide about records of ten fields by a planted decision tree, and
explain themselves faithfully, not at all, or by another tree (`organisms/hidden_rule.py`). Each arm sees the same ten
labelled pairs and what one instrument says of the model; one predictor, the same for all, makes forecasts of that
(`_hidden_predictor.py`). Prompting asks the model why. Beside every white-box arm stands a black box that spends as
many passes on asking for decisions: only what a white box knows beyond that is worth its opening.

How fields are cut and how forecasts are made was chosen on organisms of the planting `scratch` of other seeds. The
white-box arm that is reported as the best, `relp_path`, was found by trying ways of reading gradients on organisms of
seed 0, of both plantings. It is named before the organisms of the full table are made, which are of another seed.

`python -m vesalius.evals.benchmarks.hidden_rule FOLDER` measures in full and writes the table; a quick form is measured
else, which has too few organisms for an interval and so judges no target. Organisms are kept under the home folder and
made once.
"""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ...agent.runs import write_whole
from ...agent.settings import read_settings
from ...tools import Progress, ToolError, one_thread
from ..metric import Metric
from ..organisms._hidden_folder import HiddenRule, Plan, base_cpu_seconds, load, recipe_digest
from ..organisms._hidden_training import Planting
from ..organisms._hidden_workers import shared_out
from ..organisms.hidden_rule import DEPTHS, REPEATS, build, cores, plans
from ._hidden_figures import Audited, figures
from ._hidden_table import table
from ._hidden_trials import Outcome, outcomes
from ._results_folder import results_folder, told

COMMAND = "python -m vesalius.evals.benchmarks.hidden_rule FOLDER"
SEED = 1  # of the full table: fresh organisms, since `relp_path` was found on those of seed 0


@dataclass(frozen=True)
class Form:
    """How much is measured."""

    repeats: tuple[tuple[Planting, int], ...]  # organisms of each kind and depth, by planting (count)
    depths: tuple[int, ...]
    transcripts: int  # of each organism (count)

    def plans(self, seed: int) -> list[Plan]:
        """The organisms."""
        return plans(seed, dict(self.repeats), self.depths)


QUICK = Form((("scratch", 1), ("adapter", 1)), (2,), 2)
FULL = Form(tuple(REPEATS.items()), DEPTHS, 2)


def measure(seed: int, progress: Progress, full: bool = False) -> dict[str, Metric]:
    """Accuracy per arm and kind, fields found, and what white boxes gain.

    Args:
        seed: draws every rule, model and record; 0 is the one that `relp_path` was found on.
        full: all depths; one else, in a few minutes.
    """
    return figures(measure_all(seed, progress, FULL if full else QUICK))


def measure_all(seed: int, progress: Progress, form: Form, cache: Path | None = None) -> Audited:
    """Make the organisms that are not there yet, and let every arm audit all of them.

    Args:
        cache: Folder of the organisms; one under the home folder where none is given.
    """
    asked, folder = form.plans(seed), cache or cache_folder(seed)
    made = 0

    def building(done: int, total: int, what: str) -> None:
        nonlocal made
        made = total
        progress(done, total + len(asked), what)

    build(asked, folder, building)
    found: dict[str, list[Outcome]] = {}
    with closing(shared_out(audit, [(plan, folder, form.transcripts) for plan in asked], cores())) as audits:
        for done, (name, some) in enumerate(audits, start=made + 1):
            found[name] = some
            progress(done, made + len(asked), f"{name} audited")
    cards = [load(plan, folder).card for plan in asked]
    bases = {plan.base for plan in asked if plan.base is not None}
    return Audited(
        outcomes=[one for plan in asked for one in found[plan.name]],
        refused=[f"{card['name']}: {_below(one)}" for card in cards for one in card["refused"]],
        build_cpu_seconds=sum(card["cpu_seconds"] for card in cards) + sum(base_cpu_seconds(b, folder) for b in bases),
    )


def cache_folder(seed: int) -> Path:
    """Where the organisms of a seed lie; its name changes with the code and the torch that make them."""
    return read_settings().home / "benchmarks" / "hidden_rule" / f"seed-{seed}-{recipe_digest()[:12]}"


def audit(plan: Plan, folder: Path, n_transcripts: int) -> tuple[str, list[Outcome]]:
    """Every arm on one organism."""
    organism: HiddenRule = load(plan, folder)
    with one_thread():
        return plan.name, list(outcomes(organism, n_transcripts))


def _below(attempt: dict[str, float | None]) -> str:
    paths = attempt["paths"]
    explained = "" if paths is None else f", {paths:.3f} of its explanations as trained"
    return f"{attempt['decisions']:.3f} of its decisions were the rule's{explained}, after {attempt['steps']} steps"


def main(argv: list[str] | None = None, measured: Callable[[int, Progress, Form], Audited] = measure_all) -> int:
    """Measure in full, and write the table into a folder."""
    folder = results_folder(COMMAND, __doc__, argv)
    clock = time.monotonic()

    def say(done: int, total: int, what: str) -> None:
        left = f"{(time.monotonic() - clock) / done * (total - done):.0f} s left" if done else "starting"
        told(done, total, f"{left}  {what}")

    try:
        found = measured(SEED, say, FULL)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on with the organisms that are made.", file=sys.stderr)
        return 130
    write_whole(folder / "hidden_rule.md", table(found, COMMAND, SEED))
    return 0


if __name__ == "__main__":
    sys.exit(main())
