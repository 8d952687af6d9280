"""`vesalius models` and `vesalius tools`."""

from typing import Any

from ...tools import load_tools
from .output import print_json, print_table


def models_command(as_json: bool) -> None:
    """List the reference models."""
    from ...tools import REFERENCE_FOLDER, load_subject, reference_models

    rows: list[dict[str, Any]] = []
    for name in reference_models():
        subject = load_subject(name)
        rows.append(
            {
                "name": name,
                "layers": subject.shape.n_layers,
                "d_model": subject.shape.d_model,
                "vocabulary": subject.shape.n_vocab,
                "tasks": [family.name for family in subject.tasks],
                "fingerprint": subject.key.fingerprint,
                "card": str(REFERENCE_FOLDER / name / "README.md"),
            }
        )
    if as_json:
        print_json({"models": rows})
        return
    headings = ("model", "layers", "d_model", "words", "trained on", "card")
    keys = ("name", "layers", "d_model", "vocabulary", "tasks", "card")
    print_table(headings, [[", ".join(r[k]) if k == "tasks" else r[k] for k in keys] for r in rows])


def tools_command(as_json: bool) -> None:
    """List the instruments with what each measures."""
    tools = load_tools()
    if as_json:
        print_json(
            {
                "tools": [
                    {"name": t.name, "description": t.description, "args": t.args_model.model_json_schema()}
                    for t in tools.values()
                ]
            }
        )
        return
    print_table(("tool", "measures"), [(tool.name, tool.summary) for tool in tools.values()])
