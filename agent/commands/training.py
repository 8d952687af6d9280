"""`vesalius dictionary train`: per-layer transcoders for a model that has none."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .output import print_json, print_table

COLUMNS = ("layer", "variance_unexplained", "l0", "dead", "loss_recovered", "n_tokens")


def train_command(
    model: str, texts: Path, out: Path | None, features: int, active: int, steps: int, seed: int, as_json: bool
) -> None:
    """Train, say how good each layer is, and where the file lies."""
    from ...tools import load_subject
    from ...tools._dictionary_training import TranscoderRecipe, train_from_file

    subject = load_subject(model)
    recipe = TranscoderRecipe(n_features=features, k=active, steps=steps, seed=seed)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        dictionary, path = train_from_file(subject, texts, out, recipe, progress)
    if as_json:
        stats = [one.model_dump(mode="json") for one in dictionary.stats]
        print_json(
            {"path": str(path), "digest": dictionary.digest, "trained_on": dictionary.trained_on, "stats": stats}
        )
        return
    print_table(COLUMNS, [[_cell(getattr(one, column)) for column in COLUMNS] for one in dictionary.stats])
    print(f"Written to {path}")


def _cell(value: float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
