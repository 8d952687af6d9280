"""A dictionary as one safetensors file: tensors by layer, and one metadata entry that says how to read them."""

import json
import os
import tempfile
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ._base import Frozen, ToolError, canonical
from ._dictionary import (
    NEURONS,
    TRANSCODERS,
    Activation,
    Dictionary,
    LayerStats,
    Transcoder,
    dictionary_place,
    neurons_of,
    require_same_weights,
)
from ._subject import Subject

FORMAT = 1
ENTRY = "vesalius_dictionary"
PARTS = ("W_enc", "b_enc", "W_dec", "b_dec")


class Header(Frozen):
    """How to read the tensors. Activation and k stand here because a TopK file read as ReLU is another dictionary."""

    format: Literal[1] = Field(description="Version of this layout.")
    name: str
    layers: tuple[int, ...]
    activation: Activation
    k: int | None
    trained_on: str
    stats: tuple[LayerStats, ...]


def save_dictionary(dictionary: Dictionary, path: Path) -> None:
    """Write a dictionary of transcoders; a reader sees the old file or the new one, never half of either."""
    first, tensors = dictionary.layers[0], {}
    assert isinstance(first, Transcoder), f"dictionary {dictionary.name} has no tensors of its own"
    for one in dictionary.layers:
        assert isinstance(one, Transcoder), f"layer {one.layer} is no transcoder"
        assert (one.activation, one.k) == (first.activation, first.k), f"layer {one.layer} has another activation"
        threshold = {} if one.threshold is None else {"threshold": one.threshold}
        for part, tensor in ({name: getattr(one, name) for name in PARTS} | threshold).items():
            tensors[f"{one.layer}.{part}"] = tensor.detach().cpu().contiguous().clone()
    header = Header(
        format=FORMAT,
        name=dictionary.name,
        layers=tuple(one.layer for one in dictionary.layers),
        activation=first.activation,
        k=first.k,
        trained_on=dictionary.trained_on,
        stats=dictionary.stats,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        save_file(tensors, part, metadata={ENTRY: canonical(header.model_dump(mode="json"))})
        Path(part).chmod(0o644)  # a temporary file is closed to others
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


def load_dictionary(path: Path, device: torch.device | str = "cpu") -> Dictionary:
    """Read a dictionary.

    Raises:
        ToolError: no safetensors file, not one of ours, or one whose tensors do not fit its header.
    """
    mend = "Give a file written by `vesalius dictionary train`."
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            header = Header.model_validate(json.loads((file.metadata() or {}).get(ENTRY, "null")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
        layers = tuple(_layer(header, layer, tensors) for layer in header.layers)
    except (SafetensorError, ValidationError, ValueError, KeyError, OSError) as error:
        raise ToolError(f"{path} holds no dictionary: {str(error).splitlines()[0]}.", mend=mend) from error
    return Dictionary(header.name, header.trained_on, layers, header.stats)


def _layer(header: Header, layer: int, tensors: dict[str, torch.Tensor]) -> Transcoder:
    parts = {name: tensors[f"{layer}.{name}"] for name in PARTS}
    n_features, d_model = parts["W_enc"].shape
    due = {"W_enc": (n_features, d_model), "b_enc": (n_features,), "W_dec": (n_features, d_model), "b_dec": (d_model,)}
    wrong = [name for name, shape in due.items() if tuple(parts[name].shape) != shape]
    if wrong:
        raise ValueError(f"layer {layer}: the shape of {', '.join(wrong)} does not fit W_enc")
    threshold = tensors[f"{layer}.threshold"] if header.activation == "jumprelu" else None
    return Transcoder(layer, **parts, activation=header.activation, k=header.k, threshold=threshold)


def dictionary_path(subject: Subject, name: str) -> Path:
    """The file of the dictionary of that name, or at that path.

    Raises:
        ToolError: neither a plain name nor a path to a safetensors file, or no such file.
    """
    path = dictionary_place(subject, name)
    if not path.is_file():
        raise ToolError(
            f"{subject.name} has no dictionary `{name}`.",
            mend=f"Train one with `vesalius dictionary train {subject.name} --texts FILE`, or use `{NEURONS}`, which "
            "needs no training.",
        )
    return path


def dictionary_of(subject: Subject, name: str = TRANSCODERS, on_twin: bool = False) -> Dictionary:
    """The dictionary of that name for this subject, on its device and in its element type.

    Args:
        name: `neurons` (built in), the name of a file in the subject's folder of dictionaries, or a path.
        on_twin: whether a re-initialised twin is read with the dictionary of its original. That is a control and no
            description of the twin, which shares a fingerprint with its original and none of the weights.

    Raises:
        ToolError: none there, made for other weights or for other sizes, or the re-initialised twin was asked.
    """
    if name == NEURONS:
        return neurons_of(subject)
    if subject.key.reinit_seed is not None and not on_twin:
        raise ToolError(
            f"Dictionary `{name}` was trained on {subject.name}, not on its re-initialised twin.",
            mend=f"Use `{NEURONS}` for the twin.",
        )
    found = load_dictionary(dictionary_path(subject, name), subject.device)
    require_same_weights(subject, found)
    dtype = subject.model.dtype
    for one in found.layers:
        assert isinstance(one, Transcoder)
        if one.layer >= subject.shape.n_layers or one.W_enc.shape[1] != subject.shape.d_model:
            raise ToolError(
                f"Dictionary `{name}` does not fit the sizes of {subject.name}.", mend="Train it again for this model."
            )
    return found if dtype == torch.float32 else _as_type(found, dtype)


def _as_type(dictionary: Dictionary, dtype: torch.dtype) -> Dictionary:
    layers = []
    for one in dictionary.layers:
        assert isinstance(one, Transcoder)
        cast = {name: getattr(one, name).to(dtype) for name in PARTS}
        threshold = None if one.threshold is None else one.threshold.to(dtype)
        layers.append(Transcoder(one.layer, **cast, activation=one.activation, k=one.k, threshold=threshold))
    return Dictionary(dictionary.name, dictionary.trained_on, tuple(layers), dictionary.stats)
