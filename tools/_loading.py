"""Weights and tokenizer from a folder or the hub, complete or refused: in our words, with the mend.

A subject is untrusted: weights come from safetensors alone, and no code of a model's repository runs.
"""

from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, logging as transformers_logging

from ._base import ToolError
from ._hub_names import cached_folder, hub_parts

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

PARTS = {"config.json": "config.json", "tokenizer*": "a tokenizer", "*.safetensors": "weights as safetensors"}


def usable_device(device: str) -> str:
    """The device, `auto` resolved.

    Raises:
        ToolError: there is no such device here.
    """
    there = [name for name, backend in (("cuda", torch.cuda), ("mps", torch.backends.mps)) if backend.is_available()]
    if device == "auto":
        return "cuda" if "cuda" in there else "cpu"
    if device.split(":")[0] not in ("cpu", *there):
        raise ToolError(
            f"PyTorch finds no device {device!r} here.", mend=f"Devices: {', '.join(['auto', 'cpu', *there])}."
        )
    return device


def load_weights(name: str, source: str, dtype: torch.dtype, download: bool, mend: str) -> tuple[Any, Any]:
    """Model and tokenizer.

    Args:
        name: what the user called it.
        source: folder or hub id, which may end in `@REVISION`.
        mend: what may be given instead.

    Raises:
        ToolError: nothing there, or something that is no whole model with safetensors and a fast tokenizer.
    """
    place, revision = (source, None) if Path(source).is_dir() else hub_parts(source)
    options = {"trust_remote_code": False, "local_files_only": not download, "revision": revision or "main"}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        loaded = AutoModelForCausalLM.from_pretrained(
            place, use_safetensors=True, attn_implementation="eager", dtype=dtype, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ToolError(f"The model {name!r} cannot be loaded: {_problem(source, download, error)}", mend) from error
    model, report = cast(Any, loaded)
    absent = sorted(report["missing_keys"])
    if absent:  # Hugging Face draws them at random
        raise ToolError(f"The weights of {name!r} lack {len(absent)} tensors, the first {absent[0]!r}.", mend)
    if not tokenizer.is_fast:  # only these say which characters a token stands for
        raise ToolError(f"The tokenizer of {name!r} has no `tokenizer.json`.", mend)
    return model, tokenizer


def _problem(source: str, download: bool, error: Exception) -> str:
    """What is wrong, where it can be seen; the loader's own words speak of its cache and classes."""
    folder = Path(source)
    if folder.is_dir():
        lacking = [what for pattern, what in PARTS.items() if not any(folder.glob(pattern))]
        if lacking:
            return f"the folder lacks {' and '.join(lacking)}."
    elif cached_folder(source) is None:
        fetched = "could not be fetched" if download else "was not fetched before"
        return f"it is no reference model, no folder here, and {fetched} from a hub."
    return (str(error).splitlines() or [type(error).__name__])[0]
