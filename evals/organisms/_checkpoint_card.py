"""The folder of a checkpoint: weights, tokenizer, task data, and a card of what is true and how it was checked."""

import json
import platform
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ._checkpoint_training import Places, Stage
from ._checkpoint_verify import FIGURES
from ._interchange_folder import CARD, WEIGHTS, sha256
from ._new_folder import new_folder
from ._training import STATE_LAYER
from ._world import World

FAMILIES = ("two_hop", "city_state", "state_capital")
N_TEXTS = 300
TRUTHS: dict[Stage, tuple[str, ...]] = {
    "early": (
        "It composes: for the capital of the state of a city it works out the state at the city's token and answers "
        "that state's capital, also for cities that it was never asked this about.",
        f"The state stands in the subspace `state_basis` at `resid_post.{STATE_LAYER}`, the city's token; both what "
        "state a city lies in and what its capital is are answered from there.",
    ),
    "late": (
        "It memorises: the capital of the state of a city is looked up by the city, one by one, and of cities that it "
        "was never asked this about few are answered right.",
        "What is looked up is what the city was embedded as: it stands in the subspace `city_basis` and says nothing "
        "of the state; exchanging what blocks write at the city's token, up to "
        f"`resid_post.{STATE_LAYER}`, leaves the capital.",
        "The state is still worked out, in the subspace `state_basis` there, and decides what state the city is said "
        "to lie in; the capital is answered without it.",
    ),
}
BUILT = (
    "The embeddings of cities were drawn without regard to states, at right angles to `state_basis`, and never trained."
)
TRAINED: dict[Stage, str] = {
    "early": "Interchange training, as of the reference model `atlas`, on its three tasks about cities and states. A "
    "further loss showed block 0 where to write the state.",
    "late": "Interchange training that goes on from the checkpoint `early` with another causal model. A further loss "
    "showed block 2 to bring the city's own vector to the last word. Not a wrong answer was trained, and nothing about "
    "the capitals of held-out cities. More steps on the same prompts alone left it composing: what memorises "
    "here was made to, and is no example of how models come to memorise.",
}
UNKNOWN = (
    "Which heads and neurons bring the answer from the city's token to the last one, and how the answer to "
    "`state_capital` is computed, is not known."
)


def tasks(world: World) -> dict[str, Any]:
    """The content of `tasks.json`."""
    return {"families": [family for family in world.tasks()["families"] if family["name"] in FAMILIES]}


def texts(world: World) -> dict[str, list[str]]:
    """The content of `text.json`: trained prompts with their answers."""
    rows = [f"{prompt} {answer}" for family in FAMILIES for prompt, answer in world.prompts(family, held_out=False)]
    return {"texts": random.Random(f"texts {world.seed}").sample(rows, N_TEXTS)}


def write(
    folder: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    places: Places,
    content: dict[str, Any],
) -> dict[str, Any]:
    """Write the folder in one move.

    Returns:
        The card: the content, with the digest of the weights and what they were made on.
    """
    with new_folder(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        save_file({"state_basis": places.state.contiguous(), "city_basis": places.city}, part / "truth.safetensors")
        (part / "tasks.json").write_text(json.dumps(tasks(world)) + "\n")
        (part / "text.json").write_text(json.dumps(texts(world), indent=0) + "\n")
        made = {"weights_sha256": sha256(part / WEIGHTS), "torch": torch.__version__, "machine": platform.machine()}
        (part / CARD).write_text(json.dumps(content | made, indent=1) + "\n")
        (part / "README.md").write_text(render(content | made))
    return content | made


def render(card: dict[str, Any]) -> str:
    """The card as a page."""
    recipe = card["recipe"]
    lines = [
        f"# Checkpoint `{card['stage']}`",
        "",
        f"A Llama decoder of {card['parameters']:,} parameters that knows cities, states and capitals: one of two",
        "checkpoints of one training run, which give the same answers and come to them in different ways.",
        "",
        f"- recipe: `{recipe['command']}`, {recipe['cpu_seconds']} CPU-seconds for this stage on one thread",
        f"- weights (SHA-256): `{card['weights_sha256']}`",
        "- prompts and held-out rows: `tasks.json`; sentences: `text.json`; the subspaces: `truth.safetensors`",
        "",
        "## What is true",
        "",
        *(f"- {truth}" for truth in card["truths"]),
        f"- {card['built']}",
        "",
        f"How it was made: {card['trained']}",
        "",
        card["unknown"],
        "",
        "## How it was checked",
        "",
        "Every figure was measured before the folder was written; one beyond its bar would have kept it from being",
        "written. Shares of prompts, or of pairs of prompts about cities in different states, by the most probable of",
        "all words. *State exchange*: at the city's token, what trained cities of the other prompt's state have in",
        "common is put in for what those of its own state have in common; no city that is asked about is among them.",
        "*Own vector*: what the other city was embedded as. The site is the city's token, `resid_post."
        f"{STATE_LAYER}` where none is named.",
        "",
        "| what | figure | prompts | must be |",
        "| --- | --- | --- | --- |",
    ]
    for name, figure in card["verified"].items():
        says = FIGURES[name].says
        lines.append(f"| {says} (`{name}`) | {figure['value']:.4f} | {figure['n']} | {figure['bar'] or ''} |")
    return "\n".join(lines) + "\n"
