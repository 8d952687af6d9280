"""`vesalius dictionary train`: per-layer transcoders for a model that has none."""

from pathlib import Path

from .output import print_json, print_line, print_table
from .progress import shown

COLUMNS = ("layer", "variance_unexplained", "l0", "dead", "loss_recovered", "n_tokens")


def train_command(
    model: str, texts: Path, out: Path | None, features: int, active: int, steps: int, seed: int, as_json: bool
) -> None:
    """Train, say how good each layer is, and where the file lies."""
    from ...tools import TranscoderRecipe, load_subject, train_from_file

    subject = load_subject(model)
    recipe = TranscoderRecipe(n_features=features, k=active, steps=steps, seed=seed)
    with shown("training") as progress:
        dictionary, path = train_from_file(subject, texts, out, recipe, progress)
    if as_json:
        stats = [one.model_dump(mode="json") for one in dictionary.stats]
        print_json(
            {"path": str(path), "digest": dictionary.digest, "trained_on": dictionary.trained_on, "stats": stats}
        )
        return
    print_table(COLUMNS, [[_cell(getattr(one, column)) for column in COLUMNS] for one in dictionary.stats])
    print_line(f"Written to {path}")


def _cell(value: float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
