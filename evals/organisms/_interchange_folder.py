"""A model's folder with its card: written in one move, and read only where the weights are those of the card."""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ...tools import Subject, ToolError, load_subject
from ._new_folder import new_folder

CARD, WEIGHTS = "card.json", "model.safetensors"


def refuse_existing(folder: Path) -> None:
    """Raise a `ToolError` where the folder is there already."""
    if folder.exists():
        raise ToolError(f"{folder} exists.", mend="Pass a folder that does not, or remove it.")


def write_folder(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, content: dict[str, Any]
) -> dict[str, Any]:
    """Write weights, tokenizer and card under another name, then rename.

    Returns:
        The card: the content, with the digest of the weights and what they were made on.
    """
    refuse_existing(folder)
    with new_folder(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        made = {"weights_sha256": sha256(part / WEIGHTS), "torch": torch.__version__, "machine": platform.machine()}
        (part / CARD).write_text(json.dumps(content | made, indent=1) + "\n", encoding="utf-8")
    return content | made


def read_card(folder: Path, recipe_digest: str) -> dict[str, Any]:
    """The card of a folder whose weights are those of the card, made by this recipe.

    Raises:
        ToolError: no whole folder, other weights, or another recipe.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        weights, named, made_by = sha256(folder / WEIGHTS), card["weights_sha256"], card["recipe_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise not_whole(folder, error) from error
    if weights != named:
        raise ToolError(f"The weights in {folder} are not those that were verified.", mend=_mend(folder))
    if made_by != recipe_digest:
        raise ToolError(f"{folder} was made by another recipe.", mend=_mend(folder))
    return card


def not_whole(folder: Path, error: Exception) -> ToolError:
    """What to raise where a folder lacks something."""
    return ToolError(f"{folder} holds no whole organism: {type(error).__name__} {error}.", mend=_mend(folder))


def read_subject(folder: Path, name: str) -> Subject:
    """The model of a folder, under a name that says nothing of where it lies."""
    loaded = load_subject(str(folder), device="cpu")
    return Subject(loaded.model, loaded.tokenizer, name, None, None)


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mend(folder: Path) -> str:
    return f"Remove {folder}; it is then made again."
