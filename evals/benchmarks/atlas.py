"""The reference model: every figure of its card measured again, placed variables and their controls included."""

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from ...tools import REFERENCE_FOLDER, Progress, dictionary_of, load_subject, one_thread
from ..metric import Metric, share_metric
from ..organisms._dictionary_card import quality_of
from ..organisms._verify import Quantity, measure as measure_card
from ..organisms._world import World
from ..organisms.atlas_dictionary import LEAST_RECOVERED

RECIPE_SEED = 0  # of the model that ships


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Measure the shipped model as its recipe measured it; `seed` changes the sampled pairs and the twin."""
    folder = str(REFERENCE_FOLDER / "atlas")
    model = LlamaForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with one_thread():
        groups = measure_card(model, tokenizer, World(RECIPE_SEED), seed, progress)
        dictionary = _dictionary()
    card = {f"{group}.{name}": _metric(found) for group, figures in groups.items() for name, found in figures.items()}
    return card | dictionary


def _dictionary() -> dict[str, Metric]:
    """The shipped transcoders on held-out rows of the tasks; none of these is a share of cases."""
    subject = load_subject("atlas", device="cpu")
    found: dict[str, Metric] = {}
    for layer in quality_of(subject, dictionary_of(subject)).layers:
        figures = {
            "loss_recovered": (layer.loss_recovered, f"≥ {LEAST_RECOVERED:g}", layer.loss_recovered >= LEAST_RECOVERED),
            "variance_unexplained": (layer.variance_unexplained, "", None),
            "active_per_token": (layer.l0, "", None),
        }
        for name, (value, target, met) in figures.items():
            found[f"dictionary.layer_{layer.layer}_{name}"] = Metric(
                value=value, low=None, high=None, n=layer.n_tokens, target=target, met=met
            )
    return found


def _metric(found: Quantity) -> Metric:
    successes = found.value * found.n
    target = "" if found.bar is None else f"{found.bar[0].replace('>=', '≥').replace('<=', '≤')} {found.bar[1]:.4g}"
    # A mean of probabilities is no count; a share of cases is one, to within what float32 can hold of it.
    if abs(successes - round(successes)) > found.n * torch.finfo(torch.float32).eps:
        return Metric(value=found.value, low=None, high=None, n=found.n, target=target, met=found.met)
    counted = share_metric(round(successes), found.n)
    return counted.model_copy(update={"target": target, "met": found.met})
