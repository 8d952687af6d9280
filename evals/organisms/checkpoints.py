"""One training run with two checkpoints, of which the truth is known: `early` composes, `late` memorises.

    python -m vesalius.evals.organisms.checkpoints --seed 0 --out DIR

trains a small decoder on the city tasks of `atlas` and writes `DIR/early`, goes on from there and writes `DIR/late`.
Both answer "the capital of the state containing Dallas is" with Austin. The early one works out Texas on the way; the
late one looks the answer up by city, though it still knows the state when that is asked. Every figure of a card is
measured before its folder is written, and a missed bar refuses it. The same seed gives the same weights, bit for bit,
on the same machine. A run that was stopped goes on after the last checkpoint that was written.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import LlamaForCausalLM

from ...tools import ToolError, canonical, one_thread
from ._checkpoint_card import BUILT, TRAINED, TRUTHS, UNKNOWN, write
from ._checkpoint_training import Places, Stage, train, untrained
from ._checkpoint_verify import measure
from ._interchange_folder import read_card, refuse_existing, sha256
from ._tokenizer import word_tokenizer
from ._training import Recipe
from ._world import World

STAGES: tuple[Stage, ...] = get_args(Stage)
EVERY = 25  # steps between two lines of progress
HERE = Path(__file__).parent
MAKING = ("checkpoints.py", "_checkpoint_*.py", "_training.py", "_batches.py", "_descent.py", "_interchange.py")
MEASURING = ("_placed.py", "_verify.py", "_world.py", "_names.py", "_tokenizer.py")
# Read when the code itself is: what is edited later is not what runs.
CODE = {path.name: sha256(path) for pattern in (*MAKING, *MEASURING) for path in sorted(HERE.glob(pattern))}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What decides both checkpoints."""

    seed: int = 0
    early_steps: int = 200
    late_steps: int = 400

    def recipe(self, stage: Stage) -> Recipe:
        """How a stage is trained."""
        if stage == "early":
            return Recipe(seed=self.seed, steps=self.early_steps)
        return Recipe(seed=self.seed, steps=self.late_steps, warmup=30)

    def digest(self, stage: Stage) -> str:
        """Of everything that decides the weights of a stage and the verdict on them."""
        before = [asdict(self.recipe(one)) for one in STAGES[: STAGES.index(stage) + 1]]
        made = {"recipes": before, "code": CODE, "torch": torch.__version__}
        return hashlib.sha256(canonical(made).encode()).hexdigest()

    @property
    def command(self) -> str:
        """What makes both."""
        steps = f"--early-steps {self.early_steps} --late-steps {self.late_steps}"
        return f"python -m vesalius.evals.organisms.checkpoints --seed {self.seed} {steps} --out DIR"


def rebuild(plan: Plan, out: Path, say: Say) -> dict[Stage, dict[str, Any]]:
    """Make both checkpoints, one after the other; what was made before by the same plan stays.

    Returns:
        The cards.

    Raises:
        ToolError: a folder that is not what was made there, or a missed bar: that checkpoint is not written.
    """
    return {stage: read_or_make(stage, plan, out, say) for stage in STAGES}


def read_or_make(stage: Stage, plan: Plan, out: Path, say: Say) -> dict[str, Any]:
    """The card of a stage, made now if it is not there. The stage before it must be there."""
    if (out / stage).exists():
        card = read_card(out / stage, plan.digest(stage))
        say(f"{stage}: there already")
        return card
    return make(stage, plan, out, say)


def make(stage: Stage, plan: Plan, out: Path, say: Say) -> dict[str, Any]:
    """Train a stage, measure, and write its folder in one move.

    Returns:
        The card.
    """
    refuse_existing(out / stage)
    recipe, started, clock = plan.recipe(stage), time.process_time(), time.monotonic()

    def watch(step: int, losses: dict[str, float]) -> None:
        if step % EVERY == 0:
            left = (time.monotonic() - clock) / step * (recipe.steps - step)
            shown = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            say(f"{stage} {step}/{recipe.steps}  {left:.0f} s left  {shown}")

    world = World(plan.seed)
    tokenizer = word_tokenizer(world.words())
    with one_thread():
        model = untrained(tokenizer, plan.seed) if stage == STAGES[0] else read_model(out / STAGES[0])
        train(stage, model, tokenizer, world, recipe, watch)
        model.eval()
        say(f"{stage}: measuring every figure of the card")
        measured = measure(stage, model, tokenizer, world, plan.seed)
    if missed := [f"{name} {q.value:.4f} (bar {q.record()['bar']})" for name, q in measured.items() if q.met is False]:
        raise ToolError(
            f"The checkpoint {stage} of seed {plan.seed} is refused: {', '.join(missed)}.",
            mend="Take another seed or more steps.",
        )
    content = {
        "name": f"checkpoint {stage}",
        "stage": stage,
        "truths": list(TRUTHS[stage]),
        "built": BUILT,
        "trained": TRAINED[stage],
        "unknown": UNKNOWN,
        "verified": {name: q.record() for name, q in measured.items()},
        "recipe": asdict(recipe) | {"command": plan.command, "cpu_seconds": round(time.process_time() - started)},
        "recipe_digest": plan.digest(stage),
        "parameters": model.num_parameters(),
    }
    return write(out / stage, model, tokenizer, world, Places.of(model, tokenizer, plan.seed), content)


def read_model(folder: Path) -> LlamaForCausalLM:
    """The weights of a checkpoint, as they were when they were written."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")


def main(argv: list[str] | None = None) -> int:
    """Read the command line and make both checkpoints."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.checkpoints", description=__doc__)
    parser.add_argument("--seed", type=int, default=usual.seed, help="decides the world's splits and the weights")
    parser.add_argument("--early-steps", type=int, default=usual.early_steps, help="training steps until early")
    parser.add_argument("--late-steps", type=int, default=usual.late_steps, help="training steps from there to late")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the folders early and late into")
    given = parser.parse_args(argv)
    plan = Plan(given.seed, given.early_steps, given.late_steps)
    try:
        rebuild(plan, given.out, lambda line: print(line, file=sys.stderr))
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on after the last checkpoint that was written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
