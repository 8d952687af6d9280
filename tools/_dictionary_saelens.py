"""Dictionaries in SAELens' format: a folder with `cfg.json` and `sae_weights.safetensors`, or a folder of such folders.

Tensors: W_enc [d_in, features], W_dec [features, d_out], b_enc, b_dec, by architecture `threshold` and W_skip
[d_out, d_in]. The configuration is flat before version 6; since then what concerns the model stands under `metadata`.
What a configuration asks for beyond encoder and decoder goes into the weights here:

- `apply_b_dec_to_input`: b_dec is taken from the input, so W_enc times b_dec is taken from b_enc.
- `normalize_activations: expected_average_only_in`: inputs were multiplied by one number s while training. Finished
  dictionaries have it in their weights; a checkpoint keeps it in `activation_scaler.json`, and W_enc is multiplied by
  s, W_dec and b_dec divided by it. Norms that depend on the input cannot go into weights, and are refused.
- `rescale_acts_by_decoder_norm`: activations count in lengths of their decoder rows.
- BatchTopK reads through its threshold once it is trained, as in Bussmann et al. 2024.

A JumpReLU below a negative threshold is ReLU there (`threshold` is raised to 0). Gated, matching-pursuit and temporal
architectures, which compute something else than one of our activations, are refused.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ._base import ToolError
from ._dictionary import Activation, Transcoder
from ._dictionary_hooks import Hook, parse_hook
from ._dictionary_source import Source, SourceLayer, bends_of, gathered
from ._dictionary_tensors import TensorFile, open_tensors

NAME = "SAELens"
CONFIG, WEIGHTS, SCALER = "cfg.json", "sae_weights.safetensors", "activation_scaler.json"
OLDER_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
TRANSCODERS: dict[str, tuple[Activation, bool]] = {
    "transcoder": ("relu", False),
    "skip_transcoder": ("relu", True),
    "jumprelu_transcoder": ("jumprelu", False),
    "jumprelu_skip_transcoder": ("jumprelu", True),
}
AUTOENCODERS: dict[str, Activation] = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
}
THRESHOLDS: dict[str, Callable[[Tensor], Tensor]] = {
    "threshold": lambda value: value,
    "log_threshold": torch.exp,
    "topk_threshold": lambda value: value,  # one number for all
}


@dataclass(frozen=True)
class _Config:
    """What `cfg.json` says, old or new, and where it lies."""

    path: Path
    values: dict[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def mapping(self, key: str) -> dict[str, Any]:
        found = self.values.get(key)
        return found if isinstance(found, dict) else {}

    def refuse(self, what: str, mend: str) -> ToolError:
        return ToolError(f"{self.path}: {what}.", mend=mend)


@dataclass(frozen=True)
class _Asked:
    """What the configuration asks for beyond encoder and decoder."""

    b_dec_from_input: bool
    in_decoder_lengths: bool
    scale: float


def read_saelens(folder: Path) -> Source:
    """A SAELens dictionary, or all those in a folder's folders.

    Raises:
        ToolError: a part is missing, or one computes what cannot be computed here.
    """
    folders = [folder] if (folder / CONFIG).is_file() else sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    configs = [_config(one) for one in folders]
    models = {str(config.get("model_name") or "") for config in configs}
    if len(models) > 1:
        raise ToolError(f"{folder} holds dictionaries of {', '.join(sorted(models))}.", mend="Name the folder of one.")
    layers = [_layer(one, config) for one, config in zip(folders, configs, strict=True)]
    return gathered(NAME, folder.name, layers, *models)


def _config(folder: Path) -> _Config:
    path = folder / CONFIG
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"{path} cannot be read: {error}.", mend="Fetch the folder again.") from error
    if not isinstance(raw, dict):
        raise ToolError(f"{path} holds no configuration.", mend="Fetch the folder again.")
    metadata = raw.get("metadata")
    flat: dict[str, Any] = raw | (metadata if isinstance(metadata, dict) else {})
    return _Config(path, {OLDER_NAMES.get(key, key): value for key, value in flat.items()})


def _rule(config: _Config) -> tuple[Activation, bool, bool]:
    """The activation, whether it is a transcoder, and whether a linear map passes beside its features."""
    architecture, named = str(config.get("architecture", "standard")), str(config.get("activation_fn", "relu"))
    if architecture in TRANSCODERS:
        activation, skips = TRANSCODERS[architecture]
    elif architecture in AUTOENCODERS:
        activation, skips = AUTOENCODERS[architecture], False
    else:
        known = ", ".join((*AUTOENCODERS, *TRANSCODERS))
        raise config.refuse(f"dictionaries of architecture `{architecture}` cannot be read", f"These can: {known}.")
    if named == "topk" and activation == "relu":
        activation = "topk"
    elif named != "relu" and (named, activation) != ("topk", "topk"):
        raise config.refuse(f"activation function `{named}` is unknown", "Known: relu, topk.")
    return activation, architecture in TRANSCODERS, skips


def _k(config: _Config, activation: Activation, n_features: int) -> int | None:
    if activation != "topk":
        return None
    k = config.get("k", config.mapping("activation_fn_kwargs").get("k"))
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= n_features:
        mend = f"Write the k it was trained with, 1..{n_features}, as `k`."
        raise config.refuse(f"a TopK dictionary with k={k!r}", mend)
    return k


def _hooks(config: _Config, is_transcoder: bool) -> tuple[Hook, Hook]:
    """Where it reads and where it writes."""
    name_in = config.get("hf_hook_name") or config.get("hook_name")
    name_out = config.get("hf_hook_name_out") or config.get("hook_name_out")
    if not isinstance(name_in, str) or (is_transcoder and not isinstance(name_out, str)):
        key = "hook_name_out" if isinstance(name_in, str) else "hook_name"
        raise config.refuse(f"`{key}` is missing, so where it belongs is unknown", f"Write it into {CONFIG}.")
    if config.get("hook_head_index") is not None:
        mend = "Give one that reads the stream, or attention's or the MLP's output."
        raise config.refuse("it reads a single head", mend)
    if not is_transcoder and name_out not in (None, name_in):
        mend = "Write `transcoder` as `architecture` where it is one."
        raise config.refuse(f"an autoencoder that reads `{name_in}` and writes `{name_out}`", mend)
    reads = parse_hook(name_in)
    writes = parse_hook(str(name_out)) if is_transcoder else reads
    if reads.layer is None or writes.layer != reads.layer:
        raise config.refuse(f"it reads `{name_in}` and writes `{name_out}`", "Both must name the same layer.")
    if not is_transcoder and reads.bend is not None:
        mend = "Give one trained on the stream, or on attention's or the MLP's output."
        raise config.refuse(f"an autoencoder at `{name_in}` rebuilds what is no site", mend)
    return reads, writes


def _layer(folder: Path, config: _Config) -> SourceLayer:
    file = open_tensors(folder / WEIGHTS)
    activation, is_transcoder, skips = _rule(config)
    reads, writes = _hooks(config, is_transcoder)
    assert reads.layer is not None
    d_model, n_features = file.size("W_enc")
    layer, k = reads.layer, _k(config, activation, n_features)
    _check_tensors(config, file, activation, skips)
    asked = _asked(folder, config, is_transcoder)
    kwargs, bends = config.mapping("model_from_pretrained_kwargs"), bends_of(reads, writes)
    if kwargs.get("fold_ln") and reads.site == "mlp_in" and reads.bend is None:
        bends = ("before_gain", *bends)  # the weight was folded into the MLP, so what enters it has none

    def read() -> Transcoder:
        parts = _parts(file, activation, skips, asked)
        return Transcoder(layer, **parts, activation=activation, k=k, reads_at=reads.site, writes_at=writes.site)

    return SourceLayer(
        layer=layer,
        reads_at=reads.site,
        writes_at=writes.site,
        d_model=d_model,
        n_features=n_features,
        activation=activation,
        k=k,
        n_numbers=sum(map(prod, file.shapes.values())),
        read=read,
        skips=skips,
        bends=bends,
        centred=bool(kwargs.get("center_writing_weights")),
    )


def _check_tensors(config: _Config, file: TensorFile, activation: Activation, skips: bool) -> None:
    d_model, n_features = file.size("W_enc")
    due: dict[str, tuple[int, ...]] = {
        "W_enc": (d_model, n_features),
        "b_enc": (n_features,),
        "W_dec": (n_features, d_model),
        "b_dec": (d_model,),
    }
    if activation == "jumprelu":
        given = next((name for name in THRESHOLDS if name in file.shapes), "threshold")
        due[given] = () if given == "topk_threshold" else (n_features,)
    if skips:
        due["W_skip"] = (d_model, d_model)
    allowed = ("scaling_factor",) if "scaling_factor" in file.shapes else ()
    file.expect(due, allowed)
    if allowed and not torch.allclose(file.read("scaling_factor"), torch.ones(())):
        mend = "Fold the factors into W_dec and save it again."
        raise config.refuse("it was scaled after training (`scaling_factor`)", mend)
    for key, size in (("d_in", d_model), ("d_out", d_model), ("d_sae", n_features)):
        if config.get(key, size) != size:
            raise config.refuse(f"`{key}` is {config.get(key)}, but W_enc says {size}", "Fetch the folder again.")


def _asked(folder: Path, config: _Config, is_transcoder: bool) -> _Asked:
    found = _Asked(
        b_dec_from_input=bool(config.get("apply_b_dec_to_input", not is_transcoder)),
        in_decoder_lengths=bool(config.get("rescale_acts_by_decoder_norm", False)),
        scale=_input_scale(folder, config),
    )
    if is_transcoder and found.b_dec_from_input:
        mend = "Its b_dec belongs to what it writes; set it to false."
        raise config.refuse("`apply_b_dec_to_input` of a transcoder", mend)
    if is_transcoder and found.scale != 1:
        mend = "Fold the scale into its weights and save it again."
        raise config.refuse("a transcoder whose inputs are scaled", mend)
    return found


def _input_scale(folder: Path, config: _Config) -> float:
    """The number that inputs are multiplied by."""
    normalised = config.get("normalize_activations")
    if normalised in (None, False, "none"):
        return 1.0
    if normalised not in (True, "expected_average_only_in"):
        raise config.refuse(f"it normalises its inputs (`{normalised}`)", "Give one with `normalize_activations` none.")
    try:
        scale = json.loads((folder / SCALER).read_text(encoding="utf-8"))["scaling_factor"]
    except FileNotFoundError:
        scale = None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{folder / SCALER} holds no scaling factor.", mend="Fetch the folder again.") from error
    if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise config.refuse(
            "its inputs are scaled by a number that is not given",
            f'Write it into {folder / SCALER} as {{"scaling_factor": NUMBER}}, or, where it is in the weights already, '
            'set `normalize_activations` to "none".',
        )
    return float(scale)


def _parts(file: TensorFile, activation: Activation, skips: bool, asked: _Asked) -> dict[str, Any]:
    """The tensors of our transcoder, with all that the configuration asks for folded in."""
    W_enc, W_dec = file.read("W_enc").T, file.read("W_dec")
    b_enc, b_dec = file.read("b_enc"), file.read("b_dec")
    if asked.b_dec_from_input:
        b_enc = b_enc - W_enc @ b_dec
    if asked.in_decoder_lengths:
        lengths = W_dec.norm(dim=-1).clamp(min=1e-8)
        W_enc, b_enc, W_dec = W_enc * lengths[:, None], b_enc * lengths, W_dec / lengths[:, None]
    if asked.scale != 1:
        W_enc, W_dec, b_dec = W_enc * asked.scale, W_dec / asked.scale, b_dec / asked.scale
    parts = {"W_enc": W_enc.contiguous(), "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}
    if activation == "jumprelu":
        given = next(name for name in THRESHOLDS if name in file.shapes)
        parts["threshold"] = THRESHOLDS[given](file.read(given)).clamp(min=0).expand_as(b_enc).contiguous()
    if skips:
        parts["W_skip"] = file.read("W_skip").T.contiguous()
    return parts
