"""`vesalius models` and `vesalius tools`."""

from typing import TYPE_CHECKING, Any

from ...tools import load_tools
from .output import print_json, print_line, print_table

if TYPE_CHECKING:
    from ...tools import TaskFamily


def models_command(as_json: bool) -> None:
    """List the reference models."""
    from ...tools import REFERENCE_FOLDER, load_subject, reference_models

    rows: list[dict[str, Any]] = []
    examples: dict[str, list[str]] = {}
    for name in reference_models():
        subject = load_subject(name)
        examples[name] = [_example(family) for family in subject.tasks]
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
    for row in rows:
        print_line(f"{row['name']}: {row['layers']} layers, d_model {row['d_model']}, {row['vocabulary']} words")
        print_line(f"  card: {row['card']}")
        print_line("  trained on, with an example each:")
        for task, example in zip(row["tasks"], examples[row["name"]], strict=True):
            print_line(f"    {task:<14} {example}")


def _example(family: "TaskFamily") -> str:
    """A prompt of the family with its answer, from a row that was trained on."""
    row = next(row for row in family.rows if row.split == "train")
    return f"'{family.templates[0].fill(row.slots)}' → '{row.slots[family.answer]}'"


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
