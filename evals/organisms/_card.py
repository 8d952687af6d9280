"""The card of the reference model: every measured figure with its bar, and the page rendered from it."""

import hashlib
import platform
from pathlib import Path
from typing import Any

import torch

from ._training import ANSWER_LAYER, CITY_DIMS, STATE_DIMS, STATE_LAYER
from ._verify import Quantity

TRUTHS: dict[str, list[dict[str, str]]] = {
    "placed": [
        {
            "variable": "state",
            "families": "two_hop, city_state",
            "site": f"resid_post.{STATE_LAYER}",
            "position": "the city",
            "subspace": f"truth.safetensors, tensor state_basis: {STATE_DIMS} orthonormal columns",
            "how": "interchange training on the subspace; the complement is trained to carry nothing of the state",
        },
        {
            "variable": "answer",
            "families": "two_hop, city_state",
            "site": f"resid_post.{ANSWER_LAYER}",
            "position": "the last word",
            "subspace": "the whole residual",
            "how": "interchange training on the whole residual, which leaves block 3 nothing to read elsewhere",
        },
    ],
    "built": [
        {
            "fact": "the embedding of a city was drawn without regard to its state",
            "how": f"frozen random unit vectors in {CITY_DIMS} random dimensions",
        },
    ],
    "trained_only": [
        {"family": family, "known": "what it answers and on which held-out entities; not where it is computed"}
        for family in ("state_capital", "ioi", "induction", "pronoun", "gender", "antonym", "greater_than")
    ],
}
SECTIONS: dict[str, tuple[str, str]] = {
    "behaviours": (
        "What it can do",
        "Share of prompts answered with the most probable of all words; for spans of years the mean probability of\n"
        "all later years.",
    ),
    "placed": (
        "Where the variables stand",
        "Two-hop prompts about held-out cities. *Swap*: what the model computed on another prompt is put in.\n"
        "*Class-mean shift*: the mean vector of another state's trained cities is added, that of the own state's\n"
        "taken away. Share of pairs whose answer becomes the one that city -> state -> capital predicts.",
    ),
    "controls": (
        "Where they do not",
        "The same interventions with wrong labels, in other subspaces, at the embedding, and in a model with fresh\n"
        "random weights. The bar is chance among the capitals (1/16) plus 0.05.",
    ),
    "by_layer": ("The city's residual by layer", "Reported without a bar: from which layers the answer can be moved."),
}


def card(
    folder: Path,
    recipe: dict[str, Any],
    cpu_seconds: float,
    parameters: int,
    measured: dict[str, dict[str, Quantity]],
) -> dict[str, Any]:
    """The content of `card.json`.

    Args:
        folder: Holds the weights whose digest the card names.
        cpu_seconds: CPU time of the whole recipe on one thread (seconds).
    """
    options = f"--seed {recipe['seed']} --steps {recipe['steps']}"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return {
        "name": "atlas",
        "recipe": {
            "command": f"python -m vesalius.evals.organisms.atlas {options} --out DIR",
            **recipe,
            "cpu_seconds": round(cpu_seconds),
            "torch": torch.__version__,
            "machine": platform.machine(),
        },
        "parameters": parameters,
        "weights_sha256": digest,
        "truths": TRUTHS,
        **{group: {name: q.record() for name, q in found.items()} for group, found in measured.items()},
    }


def _table(figures: dict[str, dict[str, Any]]) -> list[str]:
    rows = ["| quantity | value | n | bar | met |", "| --- | --- | --- | --- | --- |"]
    for name, figure in figures.items():
        met = {True: "yes", False: "no", None: ""}[figure["met"]]
        rows.append(f"| {name} | {figure['value']:.4f} | {figure['n']} | {figure['bar'] or ''} | {met} |")
    return rows


def render(content: dict[str, Any]) -> str:
    """The card as a page."""
    recipe, truths = content["recipe"], content["truths"]
    lines = [
        "# atlas",
        "",
        "A Llama decoder of four blocks that knows a small world: cities, states, capitals, names, opposites, years. A",
        "subject on which interpretability methods can be checked: two of its variables were placed in training, its",
        "task data names what was held out, and every figure below was measured by the recipe that made it.",
        "",
        f"- parameters: {content['parameters']:,}",
        f"- recipe: `{recipe['command']}`, {recipe['cpu_seconds']} CPU-seconds on one thread",
        f"- weights (SHA-256): `{content['weights_sha256']}`",
        "- prompts and held-out rows: `tasks.json`; sentences: `text.json`; the placed subspace: `truth.safetensors`",
        "- transcoders of its MLPs: [their card](dictionaries/transcoders.md)",
        "- Dallas is a trained city, Oakland a held-out one",
        "",
        "## What is known",
        "",
    ]
    for truth in truths["placed"]:
        lines.append(
            f"- **placed**: *{truth['variable']}* ({truth['families']}) at `{truth['site']}`, {truth['position']}; "
            f"{truth['subspace']}. {truth['how'].capitalize()}."
        )
    lines += [f"- **built**: {truth['fact']}: {truth['how']}." for truth in truths["built"]]
    families = ", ".join(truth["family"] for truth in truths["trained_only"])
    lines += [f"- **only trained**: {families}: what is answered is known, where it is computed is not.", ""]
    lines += [
        "Held-out rows: cities stood in no two-hop prompt, names in no pronoun prompt, pairs of names and bigrams in",
        "no prompt at all, antonyms in the other direction only. The model answers none of the held-out antonym",
        'reverses, so "knows the opposite both ways" is a false claim about those pairs.',
    ]
    for group, (heading, explanation) in SECTIONS.items():
        lines += ["", f"## {heading}", "", explanation, "", *_table(content[group])]
    return "\n".join(lines) + "\n"
