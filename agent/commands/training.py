"""`vesalius dictionary train`: a sparse dictionary of a model's own activations."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from .output import print_json, print_line, print_table
from .progress import Report, shown

if TYPE_CHECKING:
    from ...tools import TranscoderRecipe

COLUMNS = ("layer", "variance_unexplained", "l0", "dead", "loss_recovered", "n_tokens")


def recipe_of(
    kind: str,
    site: str,
    layers: list[int] | None,
    features: int,
    active: int,
    sparsity: float | None,
    steps: int,
    patience: int,
    buffer: int,
    seed: int,
) -> "TranscoderRecipe":
    """What the options ask for; whether it can be trained is said by the trainer."""
    from ...tools import TranscoderRecipe

    return TranscoderRecipe(
        n_features=features,
        k=active,
        steps=steps,
        seed=seed,
        kind=kind,
        site=site,
        layers=(*sorted({*layers}),) if layers else None,
        sparsity=sparsity,
        buffer=buffer,
        patience=patience,
    )


def train_command(
    model: str,
    texts: Path,
    out: Path | None,
    recipe: "TranscoderRecipe",
    device: str,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train, say how good each layer is, and where the file lies."""
    from ...tools import check_recipe, load_subject, train_from_file

    check_recipe(recipe)  # what is wrong with any model is said before one loads
    subject = load_subject(model, device)
    with shown("training") as progress, stopped_between_steps(progress) as progress:
        made, path, together = train_from_file(subject, texts, out, recipe, progress, resume, overwrite)
    if as_json:
        print_json(
            {
                "path": str(path),
                "digest": made.digest,
                "trained_on": made.trained_on,
                "kind": recipe.kind,
                "site": recipe.site,
                "stats": [one.model_dump(mode="json") for one in made.stats],
                "together": together.model_dump(mode="json"),
            }
        )
        return
    print_table(COLUMNS, [[_cell(getattr(one, column)) for column in COLUMNS] for one in made.stats])
    if len(made.stats) > 1:
        print_line(f"Together these layers recover {together.loss_recovered:.4g} of the loss.")
    print_line(f"Written to {path}")


@contextmanager
def stopped_between_steps(progress: Report) -> Iterator[Report]:
    """Hold back the first Ctrl-C until progress is told of, when a training is whole and can be saved."""
    asked = False

    def hold_back(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(signum, frame)
        asked = True
        sys.stderr.write("\nStopping after the steps under way; Ctrl-C again stops at once.\n")

    def told(done: int, total: int, what: str) -> None:
        progress(done, total, what)
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hold_back)
    try:
        yield told
    finally:
        signal.signal(signal.SIGINT, before)


def _cell(value: float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
