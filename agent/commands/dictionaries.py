"""`vesalius dictionary show`: what a dictionary's files say of it, ours or published, without reading its tensors."""

import re
from typing import TYPE_CHECKING, Any

from ...tools import ToolError
from .output import print_json, print_line, print_table

if TYPE_CHECKING:
    from ...tools import Source, Subject

COLUMNS = ("layer", "reads", "writes", "features", "width", "activation", "also writes to", "skip")
STATISTICS = ("variance_unexplained", "l0", "dead", "loss_recovered", "n_tokens")


def show_command(name: str, model: str | None, device: str, download: bool, as_json: bool) -> None:
    """Show format, places, sizes and origin of a dictionary, and whether it may be used on a model."""
    from ...tools import load_subject, source_of

    if model is None and re.fullmatch(r"[\w-]+", name):
        raise ToolError(
            f"`{name}` is the name of a model's dictionary.", mend="Say whose with --model, or give a path (./NAME)."
        )
    if name == "neurons":
        raise ToolError("`neurons` are the MLP's own neurons, which lie in no file.", mend="Name another dictionary.")
    subject = None if model is None else load_subject(model, device=device, download=download)
    source = source_of(name, subject, download)
    used = None if subject is None else _use(source, subject)
    if as_json:
        print_json(_plain(source) | ({} if subject is None else {"model": subject.name, "use": used}))
        return
    print_line(f"{source.name}: {source.format}")
    print_line(f"Trained on: {_origin(source)}")
    if subject is not None:
        print_line(f"On {subject.name}: {used}")
    print_table(COLUMNS, [_row(one) for one in _plain(source)["layers"]])
    if source.stats:
        rows = [[one.layer, *(_figure(getattr(one, name)) for name in STATISTICS)] for one in source.stats]
        print_line("Measured on text that it was not trained on:")
        print_table(("layer", *STATISTICS), rows)
    else:
        print_line("How well it stands in for what it writes is not recorded.")


def _origin(source: "Source") -> str:
    if source.fingerprint is not None:
        return f"weights with fingerprint {source.fingerprint}"
    return f"{source.model or 'a model that is not named'}, by its own word; it carries no fingerprint of the weights"


def _use(source: "Source", subject: "Subject") -> str:
    """Whether it can be used on a subject, and on what terms."""
    from ...tools import check_fit

    try:
        check_fit(source, subject)
    except ToolError as error:
        return f"cannot be used. {error}"
    if source.fingerprint == subject.key.fingerprint:
        return "trained on these weights."
    known = "it was trained on other weights" if source.fingerprint else "nothing tells whether it was trained on these"
    return f"fits, but {known}: pass `force_dictionary` to use it, and reports will say so."


def _plain(source: "Source") -> dict[str, Any]:
    return {
        "name": source.name,
        "format": source.format,
        "fingerprint": source.fingerprint,
        "claimed_model": source.model or None,
        "layers": [
            {
                "layer": one.layer,
                "reads": f"{one.reads_at}.{one.layer}",
                "writes": f"{one.writes_at}.{one.layer}",
                "before_gain": "before_gain" in one.bends,
                "features": one.n_features,
                "d_model": one.d_model,
                "activation": one.activation,
                "k": one.k,
                "layers_after": one.n_later,
                "skip": one.skips,
            }
            for one in source.layers
        ],
        "stats": [one.model_dump(mode="json") for one in source.stats],
    }


def _row(layer: dict[str, Any]) -> list[Any]:
    reads = layer["reads"] + (" before the norm's weight" if layer["before_gain"] else "")
    activation = layer["activation"] + (f", k={layer['k']}" if layer["k"] is not None else "")
    after = f"{layer['layers_after']} layers after" if layer["layers_after"] else ""
    skip = "yes" if layer["skip"] else ""
    return [layer["layer"], reads, layer["writes"], layer["features"], layer["d_model"], activation, after, skip]


def _figure(value: float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
