"""The transcoders of the reference model `atlas`.

    python -m vesalius.evals.organisms.atlas_dictionary --seed 0

trains one TopK transcoder per layer on atlas's sentences and on the trained rows of its tasks, prints how well each
stands in for its MLP on text held out, and on the held-out rows of the tasks, and writes the dictionary beside the
model only when every layer recovers the loss that is due. The same seed gives the same file on the same machine.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...tools import (
    REFERENCE_FOLDER,
    TRANSCODERS,
    Dictionary,
    Subject,
    ToolError,
    TranscoderRecipe,
    load_subject,
    save_dictionary,
    train_transcoders,
)
from ._dictionary_card import filled, quality_of, render, sentences

RECIPE = TranscoderRecipe(n_features=512, k=12, steps=1500)
LEAST_RECOVERED = 0.95
OUT = REFERENCE_FOLDER / "atlas" / "dictionaries" / f"{TRANSCODERS}.safetensors"


def make(subject: Subject, recipe: TranscoderRecipe, out: Path, say: Callable[[str], None]) -> Dictionary:
    """Train, measure, print and write, with the card beside the weights.

    Raises:
        ValueError: a layer recovers too little; nothing is written.
    """

    def progress(done: int, total: int, what: str) -> None:
        if done % 500 == 0:
            say(f"{done}/{total}  {what}")

    texts = [*subject.texts, *sentences(filled(subject, "train"))]
    dictionary = train_transcoders(subject, texts, recipe, progress)
    quality = quality_of(subject, dictionary)
    page = render(dictionary, quality, command(recipe))
    say(page)
    low = [s for s in (*dictionary.stats, *quality.layers) if not s.loss_recovered >= LEAST_RECOVERED]
    if low:
        layers = ", ".join(f"layer {s.layer} recovers {s.loss_recovered:.4f}" for s in low)
        raise ValueError(f"{layers}; {LEAST_RECOVERED} is due. Train for more steps, or with more features or k.")
    save_dictionary(dictionary, out)
    out.with_suffix(".md").write_text(page, encoding="utf-8")
    return dictionary


def command(recipe: TranscoderRecipe) -> str:
    """What makes this dictionary again."""
    return f"python -m vesalius.evals.organisms.atlas_dictionary --seed {recipe.seed} --steps {recipe.steps}"


def main(argv: list[str] | None = None) -> int:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m vesalius.evals.organisms.atlas_dictionary", description=__doc__)
    parser.add_argument("--seed", type=int, default=RECIPE.seed, help="decides the split and the weights")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="training steps per layer")
    parser.add_argument("--out", type=Path, default=OUT, help="file to write")
    given = parser.parse_args(argv)
    try:
        recipe = replace(RECIPE, seed=given.seed, steps=given.steps)
        made = make(load_subject("atlas", device="cpu"), recipe, given.out, lambda line: print(line, file=sys.stderr))
    except (ToolError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.out}  digest {made.digest[:8]}  trained on {made.trained_on[:8]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
