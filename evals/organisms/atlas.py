"""The reference model `atlas`: a small decoder that knows a small world, with two variables placed where we know them.

    python -m vesalius.evals.organisms.atlas --seed 0 --out DIR

trains it from nothing on one core, measures every figure of its card on held-out entities, and writes the folder only
when every bar is met. The same seed gives the same weights, bit for bit, on the same machine.

Source of the placement: Geiger, Wu, Lu, Rozner, Kreiss, Icard, Goodman, Potts 2022, "Inducing Causal Structure for
Interpretable Neural Networks". Deviation: the variable lives in a random subspace of the residual stream instead of
chosen neurons, so that no basis-aligned method finds it for free.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ...tools import one_thread
from ._card import card, render
from ._descent import Watch
from ._new_folder import new_folder
from ._tokenizer import word_tokenizer
from ._training import Recipe, new_model, state_basis, train
from ._verify import measure
from ._world import World

EVERY = 25  # steps between two lines of progress


def grow(recipe: Recipe, watch: Watch) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, World]:
    """Train the model from nothing.

    Args:
        watch: Called after each step with the number of steps done and the losses.

    Returns:
        The model in evaluation mode, its tokenizer, and the world it was trained on.
    """
    world = World(recipe.seed)
    tokenizer = word_tokenizer(world.words())
    with one_thread():
        model = new_model(tokenizer, recipe.seed)
        train(model, tokenizer, world, recipe, watch)
    return model.eval(), tokenizer, world


def write(
    folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, recipe: Recipe
) -> None:
    """Write everything but the card: weights, tokenizer, task data, sentences, and the placed subspace."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file({"state_basis": state_basis(recipe.seed).contiguous()}, folder / "truth.safetensors")
    (folder / "tasks.json").write_text(json.dumps(world.tasks()) + "\n")
    (folder / "text.json").write_text(json.dumps({"texts": world.texts()}, indent=0) + "\n")


def make(recipe: Recipe, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Train, measure, and write the folder in one move.

    Returns:
        The card.

    Raises:
        FileExistsError: The folder is there already.
        ValueError: A bar was missed; nothing is written.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists. Pass a folder that does not, or remove it.")
    started, clock = time.process_time(), time.monotonic()

    def watch(step: int, losses: dict[str, float]) -> None:
        if step % EVERY == 0:
            left = (time.monotonic() - clock) / step * (recipe.steps - step)
            shown = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            say(f"step {step}/{recipe.steps}  {left:.0f} s left  {shown}")

    model, tokenizer, world = grow(recipe, watch)
    say("measuring every figure of the card")
    with one_thread():
        measured = measure(model, tokenizer, world, recipe.seed)
    seconds = time.process_time() - started
    missed = [f"{name} {q.value:.4f}" for group in measured.values() for name, q in group.items() if q.met is False]
    if missed:
        raise ValueError(f"Bars missed: {', '.join(missed)}. Try another seed or more steps.")
    with new_folder(out) as part:
        write(part, model, tokenizer, world, recipe)
        content = card(part, asdict(recipe), seconds, model.num_parameters(), measured)
        (part / "card.json").write_text(json.dumps(content, indent=2) + "\n")
        (part / "README.md").write_text(render(content))
    return content


def main(argv: list[str] | None = None) -> int:
    """Read the command line and make the model."""
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.atlas", description=__doc__)
    parser.add_argument("--seed", type=int, default=defaults.seed, help="decides the world's splits and the weights")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="training steps")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    given = parser.parse_args(argv)
    try:
        make(Recipe(seed=given.seed, steps=given.steps), given.out, lambda line: print(line, file=sys.stderr))
    except (FileExistsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
