"""Transcoder sets in circuit-tracer's format: a folder with `config.yaml`, or a repository's on a hub.

| key | meaning |
| --- | --- |
| `model_kind` | `transcoder_set` or `cross_layer_transcoder` |
| `model_name` | model that it was trained on |
| `feature_input_hook`, `feature_output_hook` | places by TransformerLens' name, without `blocks.L.` |
| `transcoders` | one file per layer, in order; `hf://ORG/REPO/FILE?revision=…`, or a path in the folder |
| `activation`, `k` | `relu`, or `topk` with k; JumpReLU where there are thresholds |

Without `transcoders`, a set is `layer_L.safetensors` (W_enc and W_dec [features, d_model], b_enc, b_dec, and where it
has them `activation_function.threshold`, W_skip with x @ W_skip.T, and k) and a cross-layer one `W_enc_L.safetensors`
(W_enc_L, b_enc_L, b_dec_L, threshold_L) beside `W_dec_L.safetensors` (W_dec_L [features, layers from L on, d_model]).
Files of Gemma Scope may stand among `transcoders`.

`activation` is absent from sets published before there was TopK; without thresholds those are ReLU. A set with a k
somewhere and no `activation: topk` contradicts itself and is refused, because it would be read as ReLU. TopK keeps no
negative activation here; there it does, at tokens where fewer than k features have a positive one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml

from ._base import ToolError
from ._dictionary import Activation, Transcoder
from ._dictionary_gemmascope import gemma_layer
from ._dictionary_hooks import Hook, parse_hook
from ._dictionary_source import Source, SourceLayer, bends_of, gathered
from ._dictionary_tensors import TensorFile, inside, open_tensors

NAME = "circuit-tracer"
CONFIG = "config.yaml"
THRESHOLD = "activation_function.threshold"
Fetch = Callable[[str], Path]
"""The local file of a reference hf://ORG/REPO/FILE."""


@dataclass(frozen=True)
class _Set:
    """What the configuration says."""

    path: Path
    values: dict[str, Any]
    reads: Hook
    writes: Hook
    activation: str | None
    k: int | None

    def refuse(self, what: str, mend: str) -> ToolError:
        return ToolError(f"{self.path}: {what}.", mend=mend)

    def rule(self, has_threshold: bool, k_in_file: int | None, n_features: int) -> tuple[Activation, int | None]:
        """The activation of one file's features, and its k."""
        if self.activation == "topk":
            k = self.k if self.k is not None else k_in_file
            if k is None or k_in_file not in (None, k) or not 1 <= k <= n_features:
                told = f"a TopK set with k={self.k} in the configuration and {k_in_file} in the file"
                raise self.refuse(told, f"Write the k it was trained with, 1..{n_features}, as `k`.")
            if has_threshold:
                raise self.refuse("a TopK set with thresholds", "Correct `activation`.")
            return "topk", k
        if self.k is not None or k_in_file is not None:
            raise self.refuse("it has a k, and no `activation: topk`", "Write `activation: topk`, or take k away.")
        if self.activation == "relu" and has_threshold:
            raise self.refuse("`activation: relu` with thresholds", "Take `activation` away for JumpReLU.")
        if self.activation == "jumprelu" and not has_threshold:
            raise self.refuse("JumpReLU without thresholds", "Fetch the files again.")
        return ("jumprelu" if has_threshold else "relu"), None


def read_circuit_tracer(folder: Path, fetch: Fetch) -> Source:
    """A set of transcoders, or a cross-layer one.

    Raises:
        ToolError: a part is missing, contradicts another, or computes what cannot be computed here.
    """
    config = _config(folder / CONFIG)
    kind = config.values.get("model_kind")
    if kind == "transcoder_set":
        layers = [_layer(config, path, layer) for layer, path in enumerate(_files(config, fetch))]
    elif kind == "cross_layer_transcoder":
        layers = _cross_layers(config, fetch)
    else:
        raise config.refuse(f"`model_kind` {kind!r} is unknown", "Known: transcoder_set, cross_layer_transcoder.")
    return gathered(NAME, folder.name, layers, str(config.values.get("model_name") or ""))


def _config(path: Path) -> _Set:
    mend = "Write a mapping with model_kind, feature_input_hook and feature_output_hook."
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ToolError(f"{path} cannot be read: {str(error).splitlines()[0]}.", mend=mend) from error
    hooks = [found.get(f"feature_{way}_hook") if isinstance(found, dict) else None for way in ("input", "output")]
    names = [hook for hook in hooks if isinstance(hook, str)]
    if len(names) != 2:
        raise ToolError(f"{path} does not say what its features read and write.", mend=mend)
    activation = found.get("activation")
    activation = "jumprelu" if activation == "jump_relu" else activation
    if activation not in (None, "relu", "topk", "jumprelu"):
        raise ToolError(f"{path}: activation {activation!r} is unknown.", mend="Known: relu, topk, jumprelu.")
    k = found.get("k")
    if k is not None and (not isinstance(k, int) or isinstance(k, bool)):
        raise ToolError(f"{path}: k={k!r} is no whole number.", mend="Write the k it was trained with.")
    return _Set(path, found, parse_hook(names[0]), parse_hook(names[1]), activation, k)


def _files(config: _Set, fetch: Fetch) -> list[Path]:
    """One file per layer, in order."""
    named = config.values.get("transcoders")
    if named is None:
        return [config.path.parent / f"layer_{layer}.safetensors" for layer in _numbered(config, "layer")]
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise config.refuse("`transcoders` is no list of files", "Write one file per layer.")
    return [fetch(one) if one.startswith("hf://") else inside(config.path.parent, one) for one in named]


def _numbered(config: _Set, stem: str) -> range:
    """Layers for which the folder has a file of that stem."""
    pattern = re.compile(rf"{stem}_(\d+)\.safetensors")
    found = sorted(int(match[1]) for path in config.path.parent.iterdir() if (match := pattern.fullmatch(path.name)))
    if not found or found != list(range(len(found))):
        raise config.refuse(
            f"the folder has files {stem}_L.safetensors for the layers {found}", "Every layer from 0 on needs one."
        )
    return range(len(found))


def _layer(config: _Set, path: Path, layer: int) -> SourceLayer:
    file = open_tensors(path)
    if path.suffix == ".npz" or "w_enc" in file.shapes:
        config.rule(True, None, 1)
        return gemma_layer(file, layer, config.reads, config.writes)
    n_features, d_model = file.size("W_enc")
    due: dict[str, tuple[int, ...]] = {
        "W_enc": (n_features, d_model),
        "W_dec": (n_features, d_model),
        "b_enc": (n_features,),
        "b_dec": (d_model,),
        "W_skip": (d_model, d_model),
        THRESHOLD: (n_features,),
    }
    absent = {name for name in ("W_skip", THRESHOLD) if name not in file.shapes}
    file.expect({name: shape for name, shape in due.items() if name not in absent}, allowed=["k"])
    k_in_file = int(file.read_whole("k").max()) if "k" in file.shapes else None
    activation, k = config.rule(THRESHOLD in file.shapes, k_in_file, n_features)

    def read() -> Transcoder:
        return Transcoder(
            layer,
            W_enc=file.read("W_enc"),
            b_enc=file.read("b_enc"),
            W_dec=file.read("W_dec"),
            b_dec=file.read("b_dec"),
            activation=activation,
            k=k,
            threshold=file.read(THRESHOLD) if activation == "jumprelu" else None,
            W_skip=file.read("W_skip").T.contiguous() if "W_skip" in file.shapes else None,
            reads_at=config.reads.site,
            writes_at=config.writes.site,
        )

    return _described(config, layer, d_model, n_features, (activation, k), [file], read, skips="W_skip" in file.shapes)


def _described(
    config: _Set,
    layer: int,
    d_model: int,
    n_features: int,
    rule: tuple[Activation, int | None],
    files: list[TensorFile],
    read: Callable[[], Transcoder],
    n_later: int = 0,
    skips: bool = False,
) -> SourceLayer:
    return SourceLayer(
        layer=layer,
        reads_at=config.reads.site,
        writes_at=config.writes.site,
        d_model=d_model,
        n_features=n_features,
        activation=rule[0],
        k=rule[1],
        n_numbers=sum(prod(shape) for file in files for shape in file.shapes.values()),
        read=read,
        n_later=n_later,
        skips=skips,
        bends=bends_of(config.reads, config.writes),
    )


def _cross_layers(config: _Set, fetch: Fetch) -> list[SourceLayer]:
    if "transcoders" in config.values:  # files of Gemma Scope 2
        config.rule(True, None, 1)
        files = [open_tensors(path) for path in _files(config, fetch)]
        n_layers = len(files)
        return [gemma_layer(file, layer, config.reads, config.writes, n_layers) for layer, file in enumerate(files)]
    n_layers = len(_numbered(config, "W_enc"))
    return [_cross_layer(config, layer, n_layers) for layer in range(n_layers)]


def _cross_layer(config: _Set, layer: int, n_layers: int) -> SourceLayer:
    folder = config.path.parent
    encoder, decoder = (open_tensors(folder / f"W_{part}_{layer}.safetensors") for part in ("enc", "dec"))
    n_features, d_model = encoder.size(f"W_enc_{layer}")
    has_threshold = f"threshold_{layer}" in encoder.shapes
    due = {f"W_enc_{layer}": (n_features, d_model), f"b_enc_{layer}": (n_features,), f"b_dec_{layer}": (d_model,)}
    encoder.expect(due | ({f"threshold_{layer}": (n_features,)} if has_threshold else {}))
    decoder.expect({f"W_dec_{layer}": (n_features, n_layers - layer, d_model)})
    activation, k = config.rule(has_threshold, None, n_features)

    def read() -> Transcoder:
        own, *later = decoder.read(f"W_dec_{layer}").unbind(1)
        return Transcoder(
            layer,
            W_enc=encoder.read(f"W_enc_{layer}"),
            b_enc=encoder.read(f"b_enc_{layer}"),
            W_dec=own.contiguous(),
            b_dec=encoder.read(f"b_dec_{layer}"),
            activation=activation,
            k=k,
            threshold=encoder.read(f"threshold_{layer}") if has_threshold else None,
            W_dec_later=tuple(one.contiguous() for one in later),
            reads_at=config.reads.site,
            writes_at=config.writes.site,
        )

    files = [encoder, decoder]
    return _described(config, layer, d_model, n_features, (activation, k), files, read, n_layers - layer - 1)
