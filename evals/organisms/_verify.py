"""What the reference model can do and where its variables stand: every figure of its card, each with its bar.

Every figure is top-1 over the whole vocabulary, so chance is far below the 1/16 of a guess among the capitals that the
controls are held to.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ...tools import Progress, silent
from ._interchange import embed, logits_at, run_blocks
from ._names import CAPITALS, CENTURIES, EVENTS, GREATER_THAN_TEMPLATES, YEARS
from ._placed import Interchanges, control_rates, layer_rates, placed_rates
from ._tokenizer import token_ids
from ._training import N_LAYERS, new_model, state_basis
from ._world import World

CHANCE = 1 / len(CAPITALS)
CONTROL_BAR = ("<=", CHANCE + 0.05)
PLACED_BAR = (">=", 0.95)
STEPS = 5  # of the measurement, for progress
TWIN_SEED_STEP = 1000  # the twin's weights are drawn from another seed than the model's own start

# Family, held-out split or not, bar. Antonym reverses are expected to fail: that is what makes them a true negative.
BEHAVIOURS: dict[str, tuple[str, bool, tuple[str, float]]] = {
    "two_hop_trained": ("two_hop", False, (">=", 0.98)),
    "two_hop_held_out": ("two_hop", True, (">=", 0.95)),
    "city_state": ("city_state", False, (">=", 0.98)),
    "state_capital": ("state_capital", False, (">=", 0.98)),
    "ioi_trained": ("ioi", False, (">=", 0.95)),
    "ioi_held_out": ("ioi", True, (">=", 0.95)),
    "induction_trained": ("induction", False, (">=", 0.95)),
    "induction_held_out": ("induction", True, (">=", 0.95)),
    "pronoun_trained": ("pronoun", False, (">=", 0.95)),
    "pronoun_held_out": ("pronoun", True, (">=", 0.95)),
    "gender": ("gender", False, (">=", 0.98)),
    "antonym_trained": ("antonym", False, (">=", 0.95)),
    "antonym_reverse_held_out": ("antonym", True, ("<=", 0.05)),
}


@dataclass(frozen=True)
class Quantity:
    """One measured figure, its sample size, and the bar it must meet (none: reported only)."""

    value: float
    n: int
    bar: tuple[str, float] | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; none without a bar."""
        if self.bar is None:
            return None
        sense, limit = self.bar
        return self.value >= limit if sense == ">=" else self.value <= limit

    def record(self) -> dict[str, float | int | str | bool | None]:
        """As it stands in the card."""
        bar = None if self.bar is None else f"{self.bar[0]} {self.bar[1]:g}"
        return {"value": round(self.value, 4), "n": self.n, "bar": bar, "met": self.met}


@torch.no_grad()
def last_logits(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str]
) -> Float[Tensor, "batch vocab"]:
    """The logits behind the last word of each prompt."""
    encoded = tokenizer(prompts, padding=True, return_tensors="pt")
    final = run_blocks(model, embed(model, encoded.input_ids), 0, N_LAYERS)
    return logits_at(model, final, encoded.attention_mask.sum(1) - 1)


def accuracy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> float:
    """Share of prompts whose most probable next word is the answer."""
    best = last_logits(model, tokenizer, [prompt for prompt, _ in pairs]).argmax(-1)
    answers = torch.tensor(token_ids(tokenizer, (answer for _, answer in pairs)))
    return float((best == answers).float().mean())


def greater_than_mass(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, held_out: bool
) -> Quantity:
    """Mean probability of all years later than the first, over one split of the starts."""
    prompts, later = [], []
    for i, century in enumerate(CENTURIES):
        for j, year in enumerate(YEARS[:-1]):
            if ((century, year) in world.held_out_years) == held_out:
                text = GREATER_THAN_TEMPLATES[j % len(GREATER_THAN_TEMPLATES)]
                prompts.append(text.format(event=EVENTS[(i + j) % len(EVENTS)], century=century, year=year))
                later.append(j + 1)
    probability = last_logits(model, tokenizer, prompts).softmax(-1)
    years = torch.tensor(token_ids(tokenizer, YEARS))
    mass = [float(row[years[first:]].sum()) for row, first in zip(probability, later, strict=True)]
    return Quantity(sum(mass) / len(mass), len(mass), (">=", 0.87))


def behaviours(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World) -> dict[str, Quantity]:
    """Accuracy of every family on both splits."""
    found = {}
    for name, (family, held_out, bar) in BEHAVIOURS.items():
        pairs = world.prompts(family, held_out)
        found[name] = Quantity(accuracy(model, tokenizer, pairs), len(pairs), bar)
    for held_out in (False, True):
        name = f"greater_than_mass_{'held_out' if held_out else 'trained'}"
        found[name] = greater_than_mass(model, tokenizer, world, held_out)
    return found


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, seed: int, progress: Progress = silent
) -> dict[str, dict[str, Quantity]]:
    """Every figure of the card, in its groups.

    Args:
        seed: The recipe's: it decides the placed subspace, the sampled pairs, the shuffles and the twin.
    """
    pairs = Interchanges.of(world, tokenizer, seed)
    n = len(pairs.bases)
    progress(0, STEPS, "placed variables")
    placed = placed_rates(model, pairs, state_basis(seed))
    progress(1, STEPS, "the re-initialised twin")
    twin = placed_rates(new_model(tokenizer, seed + TWIN_SEED_STEP), pairs, state_basis(seed))
    twin.pop("rest_swap_keeps_answer")  # a model that answers nothing has no answer to keep
    progress(2, STEPS, "controls")
    controls = control_rates(model, pairs, state_basis(seed), seed)
    progress(3, STEPS, "layer by layer")
    layers = layer_rates(model, pairs, state_basis(seed))
    no_op = controls.pop("no_op_keeps_every_logit")
    progress(4, STEPS, "behaviours")
    return {
        "behaviours": behaviours(model, tokenizer, world),
        "placed": {name: Quantity(rate, n, PLACED_BAR) for name, rate in placed.items()},
        "controls": {name: Quantity(rate, n, CONTROL_BAR) for name, rate in controls.items()}
        | {f"reinitialised_{name}": Quantity(rate, n, CONTROL_BAR) for name, rate in twin.items()}
        | {"no_op_keeps_every_logit": Quantity(no_op, n, (">=", 1.0))},
        "by_layer": {name: Quantity(rate, n) for name, rate in layers.items()},
    }
