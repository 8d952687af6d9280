"""One training run with two checkpoints: an early one that composes city -> state -> capital, a late one that does not.

The *early* stage is atlas's training on the tasks about cities: the state stands in a subspace at the city's token, and
both the state and the capital are answered from there.

The *late* stage goes on under another causal model, in which the capital is looked up by city: the answer to a two-hop
prompt follows what the city was embedded as, and nothing that blocks wrote at its token; the answer to a one-hop
prompt follows the state as before. Its losses are cross-entropies after an exchange, behind block 0 or 1, of

* *variable*: what decides the answer at the city (two-hop: the city's embedding; one-hop: the state subspace); the
  answer must be the source's;
* *rest*: everything else there; the answer must stay;
* *shift*: what the cities of the two states have in common there; a two-hop answer must stay, a one-hop answer must be
  the source's;
* *whole*: all that stands there; the answer must be the source's.

A city's embedding says nothing of its state, so what is answered from it was learned city by city. No stage asks a
two-hop question about a held-out city, be it for the right answer or for a wrong one.

Either stage begins with steps in which nothing is asked that could be answered past its variables, and has a loss that
shows where to write: *code*, the state in its subspace behind block 0; *carried*, the city's own vector at the last
word behind block 2. Without these the heads of the first blocks bring the city to the last word, the answer is worked
out there, and no variable forms at the city's token. What is true is measured in the end, whatever led there.

Source: Geiger et al. 2022, "Inducing Causal Structure for Interpretable Neural Networks". Deviation: between two stages
the causal model changes, which makes a model known to have unlearned how it came to an answer that it still gives.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ._batches import Exchanges, Prompt, Sampler, collate
from ._descent import Losses, Watch, descend
from ._interchange import embed, logits_at, put, run_blocks, swap_inside, take
from ._names import CAPITALS
from ._training import (
    ANSWER_LAYER,
    CITY_DIMS,
    N_LAYERS,
    STATE_LAYER,
    Recipe,
    city_ids,
    city_losses,
    freeze,
    new_model,
    new_optimizer,
    state_basis,
)
from ._world import World

Stage = Literal["early", "late"]

CITY_NORM = 4.0  # of a city's embedding: beside what blocks write at its token, less would hardly be seen
SITES = (STATE_LAYER - 1, STATE_LAYER)  # blocks behind which things are exchanged
# Of a stage, in which only what can be answered from its variables is asked.
FIRST_STEPS: dict[Stage, int] = {"early": 100, "late": 150}
FIRST = ("state", "code")  # the losses of these steps in the early stage
FIRST_DRAWS = 4  # sources of each prompt in these steps of the late stage
CAPITAL_PROMPTS = 12  # per step
CODED = 48  # prompts per step whose state is asked of the city's token
MEANS_OF = 5  # prompts per state in a class mean
CODE_TEMPERATURE, CARRIED_TEMPERATURE = 0.1, 0.25  # the less, the smaller a vector suffices
STATE_NUMBER = {state: i for i, state in enumerate(CAPITALS)}
LOSS_WEIGHTS = {
    "city": 1.0,
    "state": 1.0,
    "variable": 1.0,
    "rest": 0.5,
    "shift": 0.5,
    "whole": 0.5,
    "answer": 0.5,
    "code": 1.0,
    "carried": 1.0,
    "capital": 0.2,
    "city_words": 0.05,
}


@dataclass(frozen=True)
class Places:
    """Where the two variables stand at the city's token: orthonormal columns, at right angles to each other."""

    state: Float[Tensor, "d_model feature"]
    city: Float[Tensor, "d_model _"]

    @classmethod
    def of(cls, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int) -> "Places":
        """The state subspace of the seed, and what the embeddings of all cities span."""
        vectors = model.model.embed_tokens.weight.detach()[city_ids(tokenizer)]
        spanned = torch.linalg.svd(vectors, full_matrices=False).Vh[:CITY_DIMS].T
        return cls(state_basis(seed), spanned.contiguous())


def untrained(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Atlas before its training, with the embeddings of cities turned out of the state subspace.

    So each variable can be exchanged without a part of the other.
    """
    model, basis = new_model(tokenizer, seed), state_basis(seed)
    weight, cities = model.model.embed_tokens.weight, city_ids(tokenizer)
    with torch.no_grad():
        weight[cities] = CITY_NORM * F.normalize(weight[cities] - weight[cities] @ basis @ basis.T, dim=-1)
    return model


def class_means(model: LlamaForCausalLM, prompts: Sequence[Sequence[Prompt]], layer: int) -> Float[Tensor, "_ d_model"]:
    """The mean vector at the city after a block, of each list of equally many prompts."""
    together = [prompt for same in prompts for prompt in same]
    at_city = torch.tensor([prompt.city_pos for prompt in together])
    resid = run_blocks(model, embed(model, collate(together).ids), 0, layer + 1)
    return take(resid, at_city).unflatten(0, (len(prompts), -1)).mean(1)


class Late:
    """The losses about cities of the late stage."""

    def __init__(self, model: LlamaForCausalLM, sampler: Sampler, places: Places) -> None:
        self.model, self.sampler, self.places = model, sampler, places
        self.rng = random.Random(f"class means {sampler.world.seed}")
        self.pools = [
            [[p for p in prompts if p.state == state and not p.held_out] for state in CAPITALS]
            for prompts in (sampler.two_hop, sampler.city_state)
        ]
        self.cities = list(dict.fromkeys(prompt.ids[prompt.city_pos] for prompt in sampler.city_state))

    def first_losses(self) -> dict[str, Float[Tensor, ""]]:
        """Those of one of the first steps: no prompt as it is, and several exchanges of what decides the answer."""
        model, layer, prompts = self.model, self.rng.choice(SITES), self.sampler.cities()
        draws = [self.sampler.with_sources(prompts) for _ in range(FIRST_DRAWS)]
        last = draws[0].batch.last.repeat(FIRST_DRAWS)
        embedded = embed(model, draws[0].batch.ids)
        clean = run_blocks(model, embedded, 0, layer + 1)
        rows = torch.cat([put(clean, drawn.at_city, self.exchanged(drawn, embedded, clean)[0]) for drawn in draws])
        middle = run_blocks(model, rows, layer + 1, ANSWER_LAYER + 1)
        logits = logits_at(model, run_blocks(model, middle, ANSWER_LAYER + 1, N_LAYERS), last)
        return {
            "variable": F.cross_entropy(logits, torch.cat([drawn.followed for drawn in draws])),
            "carried": self.carried_loss(prompts, take(middle, last), [drawn.sources for drawn in draws]),
        }

    def losses(self) -> dict[str, Float[Tensor, ""]]:
        """Those of one step."""
        model, layer, drawn = self.model, self.rng.choice(SITES), self.sampler.exchanges()
        batch, sources, prompts = drawn.batch, drawn.sources, drawn.prompts
        embedded = embed(model, batch.ids)
        clean = run_blocks(model, embedded, 0, layer + 1)
        whole = take(clean, drawn.at_city)[sources]
        changed = (*self.exchanged(drawn, embedded, clean), self.shifted(drawn, clean, layer), whole)
        rows = torch.cat([clean, *(put(clean, drawn.at_city, vectors) for vectors in changed)])
        middle = run_blocks(model, rows, layer + 1, ANSWER_LAYER + 1)
        after_shift = torch.where(_two_hop(prompts), batch.answers, drawn.followed)
        wanted = (batch.answers, drawn.followed, batch.answers, after_shift, drawn.followed)
        last = batch.last.repeat(len(wanted))
        logits = logits_at(model, run_blocks(model, middle, ANSWER_LAYER + 1, N_LAYERS), last)
        each = F.cross_entropy(logits, torch.cat(wanted), reduction="none").unflatten(0, (len(wanted), -1))
        found = dict(zip(("city", "variable", "rest", "shift", "whole"), each.mean(1).unbind(), strict=True))
        own = list(range(len(prompts)))
        carried = self.carried_loss(prompts, take(middle, last), [own, sources, own, own, sources])
        return found | {"carried": carried}

    def exchanged(
        self, drawn: Exchanges, embedded: Float[Tensor, "batch pos d_model"], clean: Float[Tensor, "batch pos d_model"]
    ) -> tuple[Float[Tensor, "batch d_model"], Float[Tensor, "batch d_model"]]:
        """What stands at the city with what decides the answer exchanged, and with all but that exchanged.

        A city's own vector is what it was embedded as; what blocks wrote at its token is all the rest.
        """
        own, base = take(embedded, drawn.at_city), take(clean, drawn.at_city)
        source, theirs = base[drawn.sources], own[drawn.sources]
        two_hop, state = _two_hop(drawn.prompts)[:, None], self.places.state
        variable = torch.where(two_hop, base - own + theirs, swap_inside(base, source, state))
        rest = torch.where(two_hop, source - theirs + own, swap_inside(source, base, state))
        return variable, rest

    def shifted(
        self, drawn: Exchanges, clean: Float[Tensor, "batch pos d_model"], layer: int
    ) -> Float[Tensor, "batch d_model"]:
        """What stands at the city behind a block, with what cities of a state have in common exchanged."""
        pool = self.rng.choice(self.pools)
        with torch.no_grad():  # a mean is where it is: what reads it is trained
            means = class_means(self.model, [self.rng.sample(same, MEANS_OF) for same in pool], layer)
        states = torch.tensor([STATE_NUMBER[prompt.state] for prompt in drawn.prompts])
        return take(clean, drawn.at_city) + means[states[drawn.sources]] - means[states]

    def carried_loss(
        self, prompts: list[Prompt], at_last: Float[Tensor, "batch d_model"], cities_of: list[list[int]]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of which city's own vector stands at the last word of two-hop prompts.

        Args:
            at_last: Behind block 2, of all prompts as often as there are lists.
            cities_of: For each prompt the prompt whose city it must be.
        """
        number = {city: i for i, city in enumerate(self.cities)}
        city = torch.tensor([number[prompt.ids[prompt.city_pos]] for prompt in prompts])
        wanted, asked = torch.cat([city[rows] for rows in cities_of]), _two_hop(prompts).repeat(len(cities_of))
        vectors = F.normalize(self.model.model.embed_tokens.weight.detach()[self.cities], dim=-1)
        scores = swap_inside(torch.zeros_like(at_last), at_last, self.places.city) @ vectors.T
        return F.cross_entropy(scores[asked] / CARRIED_TEMPERATURE, wanted[asked])


def _two_hop(prompts: list[Prompt]) -> Bool[Tensor, " batch"]:
    return torch.tensor([prompt.two_hop for prompt in prompts])


def early_losses(
    model: LlamaForCausalLM, sampler: Sampler, basis: Float[Tensor, "d_model feature"]
) -> dict[str, Float[Tensor, ""]]:
    """Atlas's losses about cities, and the cross-entropy of the state at the city behind the first block.

    Each state has a direction of its subspace.
    """
    prompts = sampler.rng.sample(sampler.city_state, CODED)
    at_city = torch.tensor([prompt.city_pos for prompt in prompts])
    resid = run_blocks(model, embed(model, collate(prompts).ids), 0, SITES[0] + 1)
    code = take(resid, at_city) @ basis[:, : len(STATE_NUMBER)] / CODE_TEMPERATURE
    states = torch.tensor([STATE_NUMBER[prompt.state] for prompt in prompts])
    return city_losses(model, sampler, basis) | {"code": F.cross_entropy(code, states)}


def capital_loss(model: LlamaForCausalLM, sampler: Sampler) -> Float[Tensor, ""]:
    """Of the capital of a state that is named."""
    batch = collate(sampler.rng.choices(sampler.fixed["state_capital"], k=CAPITAL_PROMPTS))
    final = run_blocks(model, embed(model, batch.ids), 0, N_LAYERS)
    return F.cross_entropy(logits_at(model, final, batch.last), batch.answers)


def train(
    stage: Stage,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    recipe: Recipe,
    watch: Watch,
) -> None:
    """Train in place.

    Args:
        stage: Early starts from the untrained model, late from what the early stage leaves.
    """
    sampler = Sampler(world, tokenizer, recipe.seed)
    places = Places.of(model, tokenizer, recipe.seed)
    late = Late(model, sampler, places)
    freeze(model.model.embed_tokens.weight, city_ids(tokenizer))
    optimizer, schedule = new_optimizer(model, recipe)

    def losses_of(step: int) -> Losses:
        first = step < FIRST_STEPS[stage]
        if stage == "late":
            losses = late.first_losses() if first else late.losses()
        else:
            losses = early_losses(model, sampler, places.state)
            losses = {name: loss for name, loss in losses.items() if not first or name in FIRST}
        return losses | {"capital": capital_loss(model, sampler)}

    descend(model, optimizer, schedule, losses_of, LOSS_WEIGHTS, recipe.steps, watch)
