"""The reference model: every figure of its card measured again, placed variables and their controls included."""

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from ...tools import REFERENCE_FOLDER, Progress, one_thread
from ..metric import Metric, share_metric
from ..organisms._verify import Quantity
from ..organisms._verify import measure as measure_card
from ..organisms._world import World

RECIPE_SEED = 0  # of the model that ships


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Measure the shipped model as its recipe measured it; `seed` changes the sampled pairs and the twin."""
    folder = str(REFERENCE_FOLDER / "atlas")
    model = LlamaForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with one_thread():
        groups = measure_card(model, tokenizer, World(RECIPE_SEED), seed, progress)
    return {f"{group}.{name}": _metric(found) for group, figures in groups.items() for name, found in figures.items()}


def _metric(found: Quantity) -> Metric:
    successes = found.value * found.n
    target = "" if found.bar is None else f"{found.bar[0].replace('>=', '≥').replace('<=', '≤')} {found.bar[1]:.4g}"
    # A mean of probabilities is no count; a share of cases is one, to within what float32 can hold of it.
    if abs(successes - round(successes)) > found.n * torch.finfo(torch.float32).eps:
        return Metric(value=found.value, low=None, high=None, n=found.n, target=target, met=found.met)
    counted = share_metric(round(successes), found.n)
    return counted.model_copy(update={"target": target, "met": found.met})
