"""TransformerLens at work on one sweep of heads and positions: a process that answers one line for each line.

Runs in an environment of its own, so nothing of this package is imported; `_tlens.py` starts it and says what the lines
mean. The sweep is TransformerLens' own `get_act_patch_attn_head_out_by_pos`: every head at every position, one forward
pass each, the base's run with the counterfactual's output of that head.
"""
# pyright: reportMissingImports=false

import contextlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from _process_cost import timed
from _served_lines import run_served, serve
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.patching import get_act_patch_attn_head_out_by_pos
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2LMHeadModel

LOGITS_DIFFER = 1e-3  # more than rounding: then it runs another model


def main(request: dict[str, Any], answers: TextIO) -> None:
    """Load, and serve lines until there are none."""
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    torch.set_grad_enabled(False)
    folder = Path(request["case"])
    case = json.loads((folder / "case.json").read_text())
    base, corrupted = (torch.tensor([case["token_ids"][kind]]) for kind in ("base", "corrupted"))
    model, differ = _model(folder / "model", base)
    difference = partial(_difference, case["answers"])
    clean, other = (difference(model(ids)).item() for ids in (base, corrupted))

    def sweep() -> torch.Tensor:
        """Effects [layer, head, pos]; its bar of progress is kept off the channel."""
        _, cache = model.run_with_cache(corrupted)
        with contextlib.redirect_stderr(io.StringIO()):
            patched = get_act_patch_attn_head_out_by_pos(model, base, cache, difference)
        return ((clean - patched) / (clean - other)).transpose(1, 2)

    effects = torch.zeros(0)

    def answer(word: str) -> dict[str, Any]:
        nonlocal effects
        match word:
            case "run":
                effects, cost = timed(sweep)
                return {"cpu_s": cost.cpu_s, "wall_s": cost.wall_s}
            case "effects":
                path = Path(request["out"]) / "effects.safetensors"
                save_file({"effects": effects.contiguous()}, path)
                return {"path": str(path)}
        raise ValueError(f"no such line: {word}")

    serve({"logits_differ": differ, "active": 0}, answer, answers)


def _difference(words: list[int], logits: torch.Tensor) -> torch.Tensor:
    return logits[0, -1, words[0]] - logits[0, -1, words[1]]


def _model(folder: Path, ids: torch.Tensor) -> tuple[HookedTransformer, float]:
    """TransformerLens' model, and the largest difference of its logits from those of the weights as stored."""
    stored = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    shape = stored.config
    # By hand: TransformerLens loads by name only models that it knows.
    config = HookedTransformerConfig(
        model_name="random-gpt2",
        original_architecture="GPT2LMHeadModel",
        d_model=shape.n_embd,
        n_layers=shape.n_layer,
        n_heads=shape.n_head,
        d_head=shape.n_embd // shape.n_head,
        d_mlp=4 * shape.n_embd,
        d_vocab=shape.vocab_size,
        n_ctx=shape.n_positions,
        act_fn=shape.activation_function,
        eps=shape.layer_norm_epsilon,
        normalization_type="LN",
        device="cpu",
    )
    model = HookedTransformer(config)
    # Folding off: the same sums in the same order as the model itself.
    model.load_and_process_state_dict(
        convert_gpt2_weights(stored, model.cfg),
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
    )
    differ = (model(ids) - stored(ids).logits).abs().max().item()
    if differ > LOGITS_DIFFER:
        raise ValueError(f"TransformerLens' logits differ from the stored model's by {differ:.2g}")
    return model, differ


if __name__ == "__main__":
    run_served(main)
