"""Dictionaries with random numbers in the formats that others publish."""

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

D, F = 24, 40  # width of the tiny subjects, features
SET = {
    "model_name": "meta-llama/Llama-3.2-1B",
    "model_kind": "transcoder_set",
    "feature_input_hook": "mlp.hook_in",
    "feature_output_hook": "mlp.hook_out",
}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1000 * seed + sum(shape)))


def saelens_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """Stored as [d_in, features] and [features, d_out]; rows of the decoder of very different length."""
    return {
        "W_enc": numbers(D, F, seed=seed) / D**0.5,
        "b_enc": numbers(F, seed=seed) * 0.3,
        "W_dec": numbers(F, D, seed=seed + 1) * torch.linspace(0.2, 3, F)[:, None],
        "b_dec": numbers(D, seed=seed) * 0.5,
    }


def write_saelens(folder: Path, config: dict, tensors: dict[str, torch.Tensor], flat: bool = False) -> Path:
    """A folder as SAELens saves it since version 6, or as it did before."""
    folder.mkdir(parents=True, exist_ok=True)
    of_model = {"model_name": "gpt2-small", "hook_name": "blocks.1.hook_resid_post", "hook_head_index": None}
    known = of_model | {"hook_name_out": None, "model_from_pretrained_kwargs": {}, "hf_hook_name": None}
    metadata = of_model | {key: value for key, value in config.items() if key in known}
    rest = {"d_in": D, "d_sae": F, "dtype": "float32", "normalize_activations": "none"}
    rest |= {key: value for key, value in config.items() if key not in known}
    whole = rest | metadata | {"sae_lens_training_version": "3.20.3"} if flat else rest | {"metadata": metadata}
    (folder / "cfg.json").write_text(json.dumps(whole))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    return folder


def gemma_tensors(seed: int = 0, lower: bool = False) -> dict[str, torch.Tensor]:
    names = ("w_enc", "w_dec") if lower else ("W_enc", "W_dec")
    parts = saelens_tensors(seed)
    return {
        names[0]: parts["W_enc"],
        names[1]: parts["W_dec"],
        "b_enc": parts["b_enc"],
        "b_dec": parts["b_dec"],
        "threshold": numbers(F, seed=seed + 7).abs() * 0.4,
    }


def write_npz(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
    return folder


def tracer_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """Stored as [features, d_model], both."""
    parts = saelens_tensors(seed)
    return parts | {"W_enc": parts["W_enc"].T.contiguous()}


def write_tracer(folder: Path, config: dict, files: dict[str, dict[str, torch.Tensor]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name, tensors in files.items():
        save_file(tensors, folder / f"{name}.safetensors")
    return folder


def rebuilt(layers, values: torch.Tensor) -> torch.Tensor:
    """What a cross-layer set writes to every layer; `values` is what each layer reads."""
    acts = [one.encode(value) for one, value in zip(layers, values, strict=True)]
    written = [one.decode(act) + one.skip(value) for one, act, value in zip(layers, acts, values, strict=True)]
    for i, one in enumerate(layers):
        for j, later in enumerate(one.W_dec_later, start=i + 1):
            written[j] = written[j] + acts[i] @ later
    return torch.stack(written)
