"""Where the placed variables stand: interchanges between two-hop prompts of held-out cities, and their controls.

A rate is the share of pairs whose answer becomes what the causal model city -> state -> capital predicts for the swap.
Base and source always lie in different states, so a model that ignores the swap scores zero, and no held-out city met a
two-hop relation in training, so a rate near one cannot come from memory.
"""

import random
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ._batches import Prompt, city_prompts, collate
from ._interchange import embed, logits_at, put, run_blocks, swap_inside, take
from ._names import CAPITALS
from ._tokenizer import token_ids
from ._training import ANSWER_LAYER, N_LAYERS, STATE_LAYER, random_basis
from ._world import World

PAIRS_PER_PROMPT = 5
RANDOM_SUBSPACES = 20


@dataclass(frozen=True)
class Interchanges:
    """Pairs of held-out cities of different states: two-hop bases, sources from both city families."""

    bases: list[Prompt]
    sources: list[Prompt]
    trained: list[Prompt]  # two-hop prompts of the trained cities, from which class means are taken
    capital_id: dict[str, int]

    @classmethod
    def of(cls, world: World, tokenizer: PreTrainedTokenizerFast, seed: int) -> "Interchanges":
        """A fixed sample of pairs: every held-out two-hop prompt is base several times."""
        rng = random.Random(f"interchanges {seed}")
        two_hop, one_hop = (city_prompts(world, tokenizer, family) for family in ("two_hop", "city_state"))
        held_out = [p for p in two_hop if p.held_out]
        pool = held_out + [p for p in one_hop if p.held_out]
        bases = [base for base in held_out for _ in range(PAIRS_PER_PROMPT)]
        sources = [rng.choice([p for p in pool if p.state != base.state]) for base in bases]
        capital_id = dict(zip(CAPITALS, token_ids(tokenizer, CAPITALS.values()), strict=True))
        trained = [p for p in two_hop if not p.held_out]
        return cls(bases, sources, trained, capital_id)

    def stream(self, model: LlamaForCausalLM, prompts: list[Prompt]) -> "Stream":
        """The residual stream of these prompts before the first block and after each."""
        batch = collate(prompts)
        layers = [embed(model, batch.ids)]
        for block in range(N_LAYERS):
            layers.append(run_blocks(model, layers[-1], block, block + 1))
        return Stream(layers, torch.tensor([p.city_pos for p in prompts]), batch.last)

    def capitals(self, prompts: list[Prompt], labels: dict[int, str] | None = None) -> Int[Tensor, " batch"]:
        """The capital of each prompt's state, or of the state that other labels give its city."""
        return torch.tensor([self.capital_id[_state(p, labels)] for p in prompts])

    def shuffled_labels(self, seed: int) -> dict[int, str]:
        """A state for every city's token, right in frequency and otherwise random."""
        truth = {_city(p): p.state for p in self.trained + self.bases}
        states = list(truth.values())
        random.Random(f"shuffled {seed}").shuffle(states)
        return dict(zip(truth, states, strict=True))


@dataclass(frozen=True)
class Stream:
    """Residual streams of a set of prompts. `layers[0]` stands before block 0, `layers[l + 1]` after block `l`."""

    layers: list[Float[Tensor, "batch pos d_model"]]
    city: Int[Tensor, " batch"]
    last: Int[Tensor, " batch"]

    def at_city(self, layer: int) -> Float[Tensor, "batch d_model"]:
        """The vectors at the city after block `layer`; -1 is the embedding."""
        return take(self.layers[layer + 1], self.city)

    def logits_with(
        self, model: LlamaForCausalLM, layer: int, pos: Int[Tensor, " batch"], value: Float[Tensor, "batch d_model"]
    ) -> Float[Tensor, "batch vocab"]:
        """The logits when other vectors stand at one position of each row after block `layer`."""
        changed = put(self.layers[layer + 1], pos, value)
        return logits_at(model, run_blocks(model, changed, layer + 1, N_LAYERS), self.last)

    def share(
        self,
        model: LlamaForCausalLM,
        layer: int,
        at_city: Float[Tensor, "batch d_model"],
        expected: Int[Tensor, " batch"],
    ) -> float:
        """Share of rows that give the expected answer when other vectors stand at the city after block `layer`."""
        return _share(self.logits_with(model, layer, self.city, at_city), expected)


def _share(logits: Float[Tensor, "batch vocab"], expected: Int[Tensor, " batch"]) -> float:
    return float((logits.argmax(-1) == expected).float().mean())


def _city(prompt: Prompt) -> int:
    return prompt.ids[prompt.city_pos]


def _state(prompt: Prompt, labels: dict[int, str] | None) -> str:
    return prompt.state if labels is None else labels[_city(prompt)]


def class_shift(
    pairs: Interchanges, trained: Stream, layer: int, labels: dict[int, str] | None = None
) -> Float[Tensor, "batch d_model"]:
    """For each base: the mean vector of the trained cities of the source's state, minus that of the base's state.

    Args:
        labels: States by city token to take the means by, instead of the true ones.
    """
    vectors = trained.at_city(layer)
    given = [_state(p, labels) for p in pairs.trained]
    mean = {s: vectors[[i for i, state in enumerate(given) if state == s]].mean(0) for s in CAPITALS}
    return torch.stack([mean[s.state] - mean[b.state] for b, s in zip(pairs.bases, pairs.sources, strict=True)])


@torch.no_grad()
def placed_rates(
    model: LlamaForCausalLM, pairs: Interchanges, basis: Float[Tensor, "d_model feature"]
) -> dict[str, float]:
    """The rates that say a variable stands where it was placed."""
    base, source = pairs.stream(model, pairs.bases), pairs.stream(model, pairs.sources)
    trained = pairs.stream(model, pairs.trained)
    moved, kept = pairs.capitals(pairs.sources), pairs.capitals(pairs.bases)
    at_base, at_source = base.at_city(STATE_LAYER), source.at_city(STATE_LAYER)
    shift = class_shift(pairs, trained, STATE_LAYER)
    last_source = take(source.layers[ANSWER_LAYER + 1], source.last)
    answered = base.logits_with(model, ANSWER_LAYER, base.last, last_source)
    return {
        "state_subspace_swap": base.share(model, STATE_LAYER, swap_inside(at_base, at_source, basis), moved),
        "state_residual_swap": base.share(model, STATE_LAYER, at_source, moved),
        "state_class_mean_shift": base.share(model, STATE_LAYER, at_base + shift, moved),
        "rest_swap_keeps_answer": base.share(model, STATE_LAYER, swap_inside(at_source, at_base, basis), kept),
        "answer_residual_swap": _share(answered, torch.tensor([p.answer for p in pairs.sources])),
    }


@torch.no_grad()
def control_rates(
    model: LlamaForCausalLM, pairs: Interchanges, basis: Float[Tensor, "d_model feature"], seed: int
) -> dict[str, float]:
    """The same interventions where they must not work: wrong labels, other subspaces, the embedding, a no-op."""
    base, source = pairs.stream(model, pairs.bases), pairs.stream(model, pairs.sources)
    trained = pairs.stream(model, pairs.trained)
    moved, labels = pairs.capitals(pairs.sources), pairs.shuffled_labels(seed)
    at_base, at_source = base.at_city(STATE_LAYER), source.at_city(STATE_LAYER)
    swapped = swap_inside(at_base, at_source, basis)
    shuffled = class_shift(pairs, trained, STATE_LAYER, labels)
    at_embedding = base.at_city(-1) + class_shift(pairs, trained, -1)
    elsewhere = [
        base.share(model, STATE_LAYER, swap_inside(at_base, at_source, random_basis(seed + 1 + draw)), moved)
        for draw in range(RANDOM_SUBSPACES)
    ]
    no_op = base.logits_with(model, STATE_LAYER, base.city, swap_inside(at_base, at_base, basis))
    clean = logits_at(model, base.layers[-1], base.last)
    return {
        "subspace_swap_shuffled_labels": base.share(model, STATE_LAYER, swapped, pairs.capitals(pairs.sources, labels)),
        "class_mean_shift_shuffled_labels": base.share(model, STATE_LAYER, at_base + shuffled, moved),
        "class_mean_shift_at_embedding": base.share(model, -1, at_embedding, moved),
        "random_subspace_swap_mean": sum(elsewhere) / len(elsewhere),
        "random_subspace_swap_largest": max(elsewhere),
        "no_op_keeps_every_logit": float((no_op == clean).all(-1).float().mean()),
    }


@torch.no_grad()
def layer_rates(
    model: LlamaForCausalLM, pairs: Interchanges, basis: Float[Tensor, "d_model feature"]
) -> dict[str, float]:
    """Swaps and class-mean shift at the city by layer: from where to where the state can be moved."""
    base, source = pairs.stream(model, pairs.bases), pairs.stream(model, pairs.sources)
    trained = pairs.stream(model, pairs.trained)
    moved = pairs.capitals(pairs.sources)
    rates = {}
    for layer in range(-1, N_LAYERS):
        site = f"resid_post.{layer}" if layer >= 0 else "resid_pre.0"
        at_base, at_source = base.at_city(layer), source.at_city(layer)
        shifted = at_base + class_shift(pairs, trained, layer)
        swapped = swap_inside(at_base, at_source, basis)
        rates[f"{site}_city_residual_swap"] = base.share(model, layer, at_source, moved)
        rates[f"{site}_city_subspace_swap"] = base.share(model, layer, swapped, moved)
        rates[f"{site}_city_class_mean_shift"] = base.share(model, layer, shifted, moved)
    return rates
