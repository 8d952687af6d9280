"""A dictionary as one safetensors file: tensors by layer, and one metadata entry that says how to read them.

`dictionary_of` is how every instrument gets a dictionary, of this format or a published one (`_dictionary_formats.py`).
A file of ours carries the fingerprint of the weights that it was trained on; a published one at best names a model. So
a dictionary whose weights are not known to be the subject's is used only where the caller insists, and says so then.
"""

import json
import os
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ._base import Frozen, ToolError, canonical
from ._dictionary import NEURONS, TRANSCODERS, Activation, Dictionary, LayerStats, Transcoder, neurons_of
from ._dictionary_formats import ENTRY, located, published
from ._dictionary_source import Source, SourceLayer, check_fit, put_on
from ._dictionary_tensors import TensorFile, open_tensors
from ._subject import Subject
from ._whole_file import write_file

FORMAT = 1
NAME = "Vesalius"
PARTS = ("W_enc", "b_enc", "W_dec", "b_dec")
MEND = "Give a file written by `vesalius dictionary train`."


class Header(Frozen):
    """How to read the tensors. Activation and k stand here because a TopK file read as ReLU is another dictionary.

    What has a default is left out of a file that has no other value.
    """

    format: Literal[1] = Field(description="Version of this layout.")
    name: str
    layers: tuple[int, ...]
    activation: Activation
    k: int | None
    trained_on: str
    stats: tuple[LayerStats, ...]
    reads_at: str = "mlp_in"
    writes_at: str = "mlp_out"
    skips: bool = False  # every layer has a W_skip
    crosses: bool = False  # every layer writes to all those after it: W_dec_later, one below the other


def save_dictionary(dictionary: Dictionary, path: Path) -> None:
    """Write a dictionary of transcoders; a reader sees the old file or the new one, never half of either."""
    layers = [one for one in dictionary.layers if isinstance(one, Transcoder)]
    assert len(layers) == len(dictionary.layers) > 0, f"dictionary {dictionary.name} has no tensors of its own"
    (alike, *others) = {_common(one) for one in layers}
    assert not others, f"layers of {dictionary.name} differ: {alike}, {others}"
    crosses = any(one.W_dec_later for one in layers)
    last = layers[-1].layer
    tensors = {}
    for one in layers:
        reached = last - one.layer if crosses else 0
        assert len(one.W_dec_later) == reached, f"layer {one.layer} writes to {len(one.W_dec_later)} layers after it"
        for part, tensor in _tensors(one).items():
            tensors[f"{one.layer}.{part}"] = tensor.detach().cpu().contiguous().clone()
    header = Header(
        format=FORMAT,
        name=dictionary.name,
        layers=tuple(one.layer for one in layers),
        activation=layers[0].activation,
        k=layers[0].k,
        trained_on=dictionary.trained_on,
        stats=dictionary.stats,
        reads_at=layers[0].reads_at,
        writes_at=layers[0].writes_at,
        skips=layers[0].W_skip is not None,
        crosses=crosses,
    )
    metadata = {ENTRY: canonical(header.model_dump(mode="json", exclude_defaults=True))}
    write_file(path, lambda part: save_file(tensors, part, metadata=metadata))


def _common(one: Transcoder) -> tuple[Any, ...]:
    """What a header says once for all layers."""
    return one.activation, one.k, one.reads_at, one.writes_at, one.W_skip is not None


def _tensors(one: Transcoder) -> dict[str, torch.Tensor]:
    optional = {"threshold": one.threshold, "W_skip": one.W_skip}
    later = {"W_dec_later": torch.stack(one.W_dec_later)} if one.W_dec_later else {}
    return {
        **{name: getattr(one, name) for name in PARTS},
        **{name: tensor for name, tensor in optional.items() if tensor is not None},
        **later,
    }


def load_dictionary(path: Path) -> Dictionary:
    """Read a dictionary of our own format, as it was saved.

    Raises:
        ToolError: no safetensors file, not one of ours, or one whose tensors do not fit its header.
    """
    source = our_source(path)
    layers = tuple(one.read() for one in source.layers)
    return Dictionary(source.name, source.trained_on, layers, source.stats)


def our_source(path: Path) -> Source:
    """A file of our own format as its header describes it.

    Raises:
        ToolError: no safetensors file, not one of ours, or one whose tensors do not fit its header.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            header = Header.model_validate(json.loads((opened.metadata() or {}).get(ENTRY, "null")))
        if not header.layers or list(header.layers) != sorted({*header.layers}) or header.layers[0] < 0:
            raise ValueError(f"its layers are {list(header.layers)}")
        file = open_tensors(path)
        layers = [_source_layer(file, header, layer) for layer in header.layers]
        file.expect({name: shape for due, _ in layers for name, shape in due.items()})
    except ToolError as error:
        raise ToolError(f"{path} holds no dictionary: {error.message}", mend=MEND) from error
    except (SafetensorError, ValidationError, ValueError, OSError) as error:
        raise ToolError(f"{path} holds no dictionary: {str(error).splitlines()[0]}.", mend=MEND) from error
    return Source(NAME, header.name, tuple(one for _, one in layers), header.trained_on, stats=header.stats)


def _source_layer(file: TensorFile, header: Header, layer: int) -> tuple[dict[str, tuple[int, ...]], SourceLayer]:
    """The shapes that a layer's tensors must have, and the layer."""
    n_features, d_model = file.size(f"{layer}.W_enc")
    n_later = header.layers[-1] - layer if header.crosses else 0
    due: dict[str, tuple[int, ...]] = {
        "W_enc": (n_features, d_model),
        "b_enc": (n_features,),
        "W_dec": (n_features, d_model),
        "b_dec": (d_model,),
    }
    if header.activation == "jumprelu":
        due["threshold"] = (n_features,)
    if header.skips:
        due["W_skip"] = (d_model, d_model)
    if n_later:
        due["W_dec_later"] = (n_later, n_features, d_model)
    if (header.activation in ("topk", "mp")) != (header.k is not None and 1 <= header.k <= n_features):
        raise ValueError(f"activation {header.activation} with k={header.k} of {n_features} features")

    def read() -> Transcoder:
        parts: dict[str, Any] = {name: file.read(f"{layer}.{name}") for name in due if name != "W_dec_later"}
        if n_later:
            parts["W_dec_later"] = tuple(file.read(f"{layer}.W_dec_later").unbind(0))
        parts |= {"reads_at": header.reads_at, "writes_at": header.writes_at}
        return Transcoder(layer, **parts, activation=header.activation, k=header.k)

    described = SourceLayer(
        layer=layer,
        reads_at=header.reads_at,
        writes_at=header.writes_at,
        d_model=d_model,
        n_features=n_features,
        activation=header.activation,
        k=header.k,
        n_numbers=sum(map(prod, due.values())),
        read=read,
        n_later=n_later,
        skips=header.skips,
    )
    return {f"{layer}.{name}": shape for name, shape in due.items()}, described


def source_of(name: str, subject: Subject | None = None, download: bool = False) -> Source:
    """What a dictionary's files say of it, before its tensors are read.

    Args:
        name: The name of one in the subject's folder, a path, or a hub path.
        subject: Whose folder plain names are looked for in.
        download: Whether a hub path may be fetched; otherwise only the cache is read.

    Raises:
        ToolError: none there, no format that is known, or one that cannot be read.
    """
    folder = None if subject is None else subject.folder or Path(subject.name)
    path = located(name, folder, download)
    if not os.path.exists(path):  # false, too, for a name that no file could have
        whose = "There is" if subject is None else f"{subject.name} has"
        model = "MODEL" if subject is None else subject.name
        raise ToolError(
            f"{whose} no dictionary `{name}`.",
            mend=f"Train one with `vesalius dictionary train {model} --texts FILE`, or use `{NEURONS}`, which needs no "
            "training.",
        )
    return published(path, download) or our_source(path)


def dictionary_of(
    subject: Subject, name: str = TRANSCODERS, on_twin: bool = False, force: bool = False, download: bool = False
) -> Dictionary:
    """The dictionary of that name for this subject, on its device and in its element type.

    Args:
        name: `neurons` (built in), the name of one in the subject's folder of dictionaries, the path of a file or
            folder (ours, SAELens, circuit-tracer, Gemma Scope), or a hub path, ORG/REPO/PATH@REVISION, that is in the
            hub's cache.
        on_twin: whether a re-initialised twin is read with the dictionary of its original. That is a control and no
            description of the twin, which shares a fingerprint with its original and none of the weights.
        force: whether one is used that was not, or is not known to be, trained on these weights. What it then says may
            be about another model; the dictionary is marked as `forced`.
        download: whether a hub path may be fetched.

    Raises:
        ToolError: none there, made for other weights or for other sizes or sites, damaged, too large for memory, or the
            re-initialised twin was asked.
    """
    if name == NEURONS:
        return neurons_of(subject)
    if subject.key.reinit_seed is not None and not on_twin:
        raise ToolError(
            f"Dictionary `{name}` was trained on {subject.name}, not on its re-initialised twin.",
            mend=f"Use `{NEURONS}` for the twin.",
        )
    source = source_of(name, subject, download)
    same_weights = source.fingerprint == subject.key.fingerprint
    if not same_weights and not force:
        raise _other_weights(source, subject)
    check_fit(source, subject)
    return Dictionary(source.name, source.trained_on, put_on(source, subject), source.stats, forced=not same_weights)


def _other_weights(source: Source, subject: Subject) -> ToolError:
    insist = "To use it all the same, pass `force_dictionary`: the report will say so."
    if source.fingerprint is None:
        return ToolError(
            f"Dictionary `{source.name}` ({source.format}) {source.trained_on} and carries no fingerprint, so nothing "
            f"tells whether it was trained on the weights of {subject.name}.",
            mend=insist,
        )
    return ToolError(
        f"Dictionary `{source.name}` was trained on other weights ({source.fingerprint[:8]}) than {subject.name} has "
        f"({subject.key.fingerprint[:8]}).",
        mend=f"Train it again with `vesalius dictionary train {subject.name} --texts FILE`. {insist}",
    )
