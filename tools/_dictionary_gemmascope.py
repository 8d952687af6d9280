"""Gemma Scope (Lieberum et al. 2024) and Gemma Scope 2: JumpReLU autoencoders and transcoders of Gemma 2 and 3.

Gemma Scope: a `params.npz` with W_enc [d_model, features], W_dec, b_enc, b_dec and threshold. It has no configuration:
model, site and layer stand in the folders' names (`gemma-scope-2b-pt-res/layer_20/…`), which therefore must be kept.
Its transcoders read the MLP's input before the norm's weight and write what the MLP adds to the stream.

Gemma Scope 2: `config.json` with Hugging Face module names, beside `params.safetensors` with w_enc [d_model, features],
w_dec, b_enc, b_dec, threshold and, where a linear map passes beside the features, affine_skip_connection (x @ it).
A cross-layer set is a folder of `params_layer_L.safetensors` with w_dec [features, layers, d_model], of which a layer
uses its own and later ones.

A JumpReLU below a negative threshold is ReLU there (`threshold` is raised to 0).
"""

import json
import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from ._base import ToolError
from ._dictionary import Transcoder
from ._dictionary_hooks import Hook, parse_hook
from ._dictionary_source import Source, SourceLayer, bends_of, gathered
from ._dictionary_tensors import TensorFile, open_tensors

NAME, NAME_2 = "Gemma Scope", "Gemma Scope 2"
PARAMETERS, CONFIG, PARAMETERS_2 = "params.npz", "config.json", "params.safetensors"
CROSS_LAYER = "params_layer_*.safetensors"
_FOLDERS = re.compile(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att|transcoders)(?=[/\\])")
_SITES = {
    "res": ("hook_resid_post", "hook_resid_post"),
    "mlp": ("hook_mlp_out", "hook_mlp_out"),
    "transcoders": ("ln2.hook_normalized", "hook_mlp_out"),
}
_CROSS_LAYER_HOOKS = ("mlp.hook_in", "hook_mlp_out")


def read_gemmascope(path: Path) -> Source:
    """One dictionary of Gemma Scope.

    Args:
        path: `params.npz`.

    Raises:
        ToolError: folders whose names do not tell model, site and layer, a site that is none here, or wrong tensors.
    """
    where = path.absolute().as_posix()
    release, layer = _FOLDERS.search(where), re.search(r"/layer_(\d+)/", where)
    if not release or not layer:
        raise ToolError(
            f"The folders of {path} do not tell model, site and layer.",
            mend="Keep their names as published, such as gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71.",
        )
    size, tuning, site = release.groups()
    if site not in _SITES:
        raise ToolError(
            f"{path} reads attention's heads side by side, which is no site.",
            mend="Give one of -res, -mlp or -transcoders.",
        )
    reads, writes = map(parse_hook, _SITES[site])
    one = gemma_layer(open_tensors(path), int(layer[1]), reads, writes)
    return gathered(NAME, path.parent.name, [one], f"google/gemma-2-{size}{'' if tuning == 'pt' else '-it'}")


def read_gemmascope_2(folder: Path) -> Source:
    """One dictionary of Gemma Scope 2, or a cross-layer set.

    Raises:
        ToolError: a part is missing, a site that is none here, or wrong tensors.
    """
    config = _config(folder)
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise ToolError(f"{folder}: architecture `{config['architecture']}` is unknown.", mend="Known: jump_relu.")
    if sorted(folder.glob(CROSS_LAYER)):
        return gathered(NAME_2, folder.name, _cross_layers(folder), str(config.get("model_name") or ""))
    hooks = [config.get(key) for key in ("hf_hook_point_in", "hf_hook_point_out")]
    if not isinstance(hooks[0], str):
        raise ToolError(f"{folder / CONFIG} does not say what it reads.", mend="Write `hf_hook_point_in` into it.")
    reads = parse_hook(hooks[0])
    writes = parse_hook(hooks[1]) if isinstance(hooks[1], str) else reads
    if reads.layer is None or reads.layer != writes.layer:
        raise ToolError(f"{folder / CONFIG} names different layers.", mend="Both places must be in one block.")
    file = open_tensors(folder / PARAMETERS_2)
    skips = "affine_skip_connection" in file.shapes
    if skips != bool(config.get("affine_connection", skips)):
        raise ToolError(f"{folder}: `affine_connection` and the tensors disagree.", mend="Fetch the folder again.")
    one = gemma_layer(file, reads.layer, reads, writes)
    return gathered(NAME_2, folder.name, [one], str(config.get("model_name") or ""))


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"{path} cannot be read: {error}.", mend="Fetch the folder again.") from error
    if not isinstance(found, dict):
        raise ToolError(f"{path} holds no configuration.", mend="Fetch the folder again.")
    return found


def _cross_layers(folder: Path) -> list[SourceLayer]:
    reads, writes = map(parse_hook, _CROSS_LAYER_HOOKS)
    files = {int(path.stem.rsplit("_", 1)[1]): path for path in folder.glob(CROSS_LAYER)}
    if sorted(files) != list(range(len(files))):
        raise ToolError(f"{folder} has the layers {sorted(files)}.", mend="Fetch those that are missing.")
    return [gemma_layer(open_tensors(path), layer, reads, writes, len(files)) for layer, path in files.items()]


def gemma_layer(file: TensorFile, layer: int, reads: Hook, writes: Hook, n_layers: int = 0) -> SourceLayer:
    """One layer from a file of either release.

    Args:
        n_layers: Layers of the cross-layer set that it belongs to; 0 for a dictionary of one layer.

    Raises:
        ToolError: a tensor is missing or has the wrong shape.
    """
    second = "w_enc" in file.shapes
    encoder, decoder = ("w_enc", "w_dec") if second else ("W_enc", "W_dec")
    d_model, n_features = file.size(encoder)
    skips = "affine_skip_connection" in file.shapes
    file.expect(
        {
            encoder: (d_model, n_features),
            decoder: (n_features, n_layers, d_model) if n_layers else (n_features, d_model),
            "b_enc": (n_features,),
            "b_dec": (d_model,),
            "threshold": (n_features,),
            **({"affine_skip_connection": (d_model, d_model)} if skips else {}),
        }
    )
    return SourceLayer(
        layer=layer,
        reads_at=reads.site,
        writes_at=writes.site,
        d_model=d_model,
        n_features=n_features,
        activation="jumprelu",
        k=None,
        n_numbers=sum(map(prod, file.shapes.values())),
        read=_reader(file, layer, reads, writes, encoder, decoder),
        n_later=max(0, n_layers - 1 - layer),
        skips=skips,
        bends=bends_of(reads, writes),
    )


def _reader(
    file: TensorFile, layer: int, reads: Hook, writes: Hook, encoder: str, decoder: str
) -> Callable[[], Transcoder]:
    def read() -> Transcoder:
        W_dec = file.read(decoder)
        own, *later = W_dec.unbind(1)[layer:] if W_dec.dim() == 3 else (W_dec,)
        return Transcoder(
            layer,
            W_enc=file.read(encoder).T.contiguous(),
            b_enc=file.read("b_enc"),
            W_dec=own.contiguous(),
            b_dec=file.read("b_dec"),
            activation="jumprelu",
            threshold=file.read("threshold").clamp(min=0),
            W_skip=file.read("affine_skip_connection") if "affine_skip_connection" in file.shapes else None,
            W_dec_later=tuple(one.contiguous() for one in later),
            reads_at=reads.site,
            writes_at=writes.site,
        )

    return read
