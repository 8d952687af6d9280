"""What the early and the late checkpoint do: the same figures of both, and beside each what it must be.

A *state exchange* adds, at the city's token, the mean vector of another state's cities and takes that of its own
state's away: what the cities of a state have in common moves, and nothing else. The cities asked about are never among
those that the means are of: a mean of few cities holds a part of each, and the bare memory of a city would answer to
that. *Own vector*: what a city was embedded as.

A rate is the share of pairs, of cities in different states, whose answer becomes the source's (*moves*) or stays the
base's (*keeps*), of all words.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ._batches import Prompt, city_prompts
from ._checkpoint_training import Places, Stage, untrained
from ._interchange import logits_at, swap_inside
from ._placed import Interchanges, Stream, class_shift
from ._training import STATE_LAYER
from ._verify import CHANCE, TWIN_SEED_STEP, Quantity, accuracy
from ._world import World

PAIRS = 400
LAYERS = (STATE_LAYER - 1, STATE_LAYER)
Bar = tuple[str, float] | None
NEARLY_ALL, MOST, HARDLY_ANY = (">=", 0.95), (">=", 0.9), ("<=", 0.1)
BY_CHANCE = ("<=", CHANCE + 0.05)


class Figure(NamedTuple):
    """What is measured, in words, and what it must be in each checkpoint (none: reported only)."""

    says: str
    early: Bar
    late: Bar


AT, BEFORE = f"resid_post.{STATE_LAYER}", f"resid_post.{STATE_LAYER - 1}"
FIGURES: Mapping[str, Figure] = {
    "two_hop_trained": Figure("capital of a city's state, trained cities", NEARLY_ALL, NEARLY_ALL),
    "two_hop_held_out": Figure("capital of a city's state, cities never asked this about", NEARLY_ALL, ("<=", 0.2)),
    "city_state": Figure("state of a city", NEARLY_ALL, NEARLY_ALL),
    "state_capital": Figure("capital of a named state", NEARLY_ALL, NEARLY_ALL),
    **{
        f"{name}.{layer}": Figure(f"{says}, `{site}`", early, late)
        for layer, site in zip(LAYERS, (BEFORE, AT), strict=True)
        for name, says, early, late in (
            ("state_exchange_moves_two_hop", "capital moved by a state exchange", MOST, HARDLY_ANY),
            ("state_exchange_keeps_two_hop", "capital left by a state exchange", HARDLY_ANY, MOST),
            ("one_hop_exchange_moves_two_hop", "capital moved by one of one-hop means", MOST, HARDLY_ANY),
            ("state_exchange_moves_held_out_two_hop", "capital moved by one, held-out cities", MOST, None),
            ("state_exchange_moves_city_state", "state moved by a state exchange", MOST, MOST),
            ("whole_city_moves_two_hop", "capital moved by exchanging all at the city", MOST, MOST),
        )
    },
    "state_subspace_moves_two_hop": Figure("capital moved by exchanging the state subspace", MOST, HARDLY_ANY),
    "state_subspace_moves_city_state": Figure("state moved by exchanging the state subspace", MOST, MOST),
    "own_vector_moves_two_hop": Figure("capital moved by exchanging the own vector", HARDLY_ANY, MOST),
    "own_vector_moves_city_state": Figure("state moved by exchanging the own vector", HARDLY_ANY, HARDLY_ANY),
    "all_but_own_vector_keeps_two_hop": Figure("capital left by exchanging all but that", HARDLY_ANY, MOST),
    "shuffled_exchange_moves_two_hop": Figure("control: capital, means of shuffled states", BY_CHANCE, BY_CHANCE),
    "shuffled_exchange_moves_city_state": Figure("control: state, means of shuffled states", BY_CHANCE, BY_CHANCE),
    "embedding_exchange_moves_two_hop": Figure("control: capital, exchange at `resid_pre.0`", BY_CHANCE, BY_CHANCE),
    "reinitialised_exchange_moves_two_hop": Figure("control: capital, fresh random weights", BY_CHANCE, BY_CHANCE),
    "no_op_keeps_every_logit": Figure("no-op: what stands at the city put in again", (">=", 1.0), (">=", 1.0)),
}


@dataclass(frozen=True)
class Asked:
    """Pairs of one question, in a model: their streams, the answers, and the prompts that class means are of."""

    model: LlamaForCausalLM
    pairs: Interchanges
    base: Stream
    source: Stream
    reference: Stream

    @classmethod
    def of(cls, model: LlamaForCausalLM, prompts: list[Prompt], reference: list[Prompt], rng: random.Random) -> "Asked":
        """A sample of pairs among these prompts, of different states."""
        bases = rng.choices(prompts, k=PAIRS)
        sources = [rng.choice([p for p in prompts if p.state != base.state]) for base in bases]
        pairs = Interchanges(bases, sources, reference, {})
        base, source, means = (pairs.stream(model, some) for some in (bases, sources, reference))
        return cls(model, pairs, base, source, means)

    def moved(self, layer: int, at_city: Float[Tensor, "batch d_model"]) -> float:
        """Share that answers as the source, when these vectors stand at the city after a block (-1: the embedding)."""
        return self.base.share(self.model, layer, at_city, _answers(self.pairs.sources))

    def kept(self, layer: int, at_city: Float[Tensor, "batch d_model"]) -> float:
        """Share that answers as before."""
        return self.base.share(self.model, layer, at_city, _answers(self.pairs.bases))

    def state_exchanged(self, layer: int, labels: dict[int, str] | None = None) -> Float[Tensor, "batch d_model"]:
        """The vectors at the city when what cities of a state have in common is exchanged."""
        return self.base.at_city(layer) + class_shift(self.pairs, self.reference, layer, labels)

    def untouched(self, layer: int) -> float:
        """Share whose every logit stays, bit for bit, when the vectors that stand at the city are put in again."""
        clean = logits_at(self.model, self.base.layers[-1], self.base.last)
        again = self.base.logits_with(self.model, layer, self.base.city, self.base.at_city(layer))
        return float((again == clean).all(-1).float().mean())

    def subspace_exchanged(self, basis: Float[Tensor, "d_model feature"]) -> Float[Tensor, "batch d_model"]:
        """The vectors at the city when their part in a subspace is exchanged."""
        return swap_inside(self.base.at_city(STATE_LAYER), self.source.at_city(STATE_LAYER), basis)

    def own_vector_exchanged(self) -> Float[Tensor, "batch d_model"]:
        """The vectors at the city with the other city's embedding, and all that blocks wrote there as it is."""
        return self.base.at_city(STATE_LAYER) - self.base.at_city(-1) + self.source.at_city(-1)

    def all_but_own_vector_exchanged(self) -> Float[Tensor, "batch d_model"]:
        """The vectors at the city with what blocks wrote at the other city, and its own embedding as it is."""
        return self.source.at_city(STATE_LAYER) - self.source.at_city(-1) + self.base.at_city(-1)


def _answers(prompts: list[Prompt]) -> Int[Tensor, " batch"]:
    return torch.tensor([prompt.answer for prompt in prompts])


@dataclass(frozen=True)
class Questions:
    """Prompts by who is asked about: half of the trained cities, the other half (for class means), held-out cities."""

    two_hop: list[Prompt]
    city_state: list[Prompt]
    held_out: list[Prompt]
    two_hop_of_others: list[Prompt]
    city_state_of_others: list[Prompt]

    @classmethod
    def of(cls, world: World, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> "Questions":
        """Half of the cities of every state, drawn at random."""
        two_hop, one_hop = (city_prompts(world, tokenizer, family) for family in ("two_hop", "city_state"))
        cities: dict[str, list[int]] = {}
        for token, state in dict.fromkeys((_city(p), p.state) for p in two_hop if not p.held_out):
            cities.setdefault(state, []).append(token)
        asked = {token for same in cities.values() for token in rng.sample(same, len(same) // 2)}
        others = {token for same in cities.values() for token in same} - asked
        return cls(
            [p for p in two_hop if _city(p) in asked],
            [p for p in one_hop if _city(p) in asked],
            [p for p in two_hop if p.held_out],
            [p for p in two_hop if _city(p) in others],
            [p for p in one_hop if _city(p) in others],
        )


def _city(prompt: Prompt) -> int:
    return prompt.ids[prompt.city_pos]


def shuffled_labels(reference: list[Prompt], seed: int) -> dict[int, str]:
    """Other states for the cities that class means are of, each as often as it is right: none is without a mean."""
    return Interchanges([], [], reference, {}).shuffled_labels(seed)


@torch.no_grad()
def rates(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, places: Places, seed: int
) -> dict[str, float]:
    """Every rate of exchanges between pairs."""
    rng = random.Random(f"checkpoints {seed}")
    q = Questions.of(world, tokenizer, rng)
    two_hop = Asked.of(model, q.two_hop, q.two_hop_of_others, rng)
    by_one_hop = Asked.of(model, q.two_hop, q.city_state_of_others, rng)
    held_out = Asked.of(model, q.held_out, q.two_hop_of_others, rng)
    one_hop = Asked.of(model, q.city_state, q.city_state_of_others, rng)
    found: dict[str, float] = {}
    for layer in LAYERS:
        found |= {
            f"state_exchange_moves_two_hop.{layer}": two_hop.moved(layer, two_hop.state_exchanged(layer)),
            f"state_exchange_keeps_two_hop.{layer}": two_hop.kept(layer, two_hop.state_exchanged(layer)),
            f"one_hop_exchange_moves_two_hop.{layer}": by_one_hop.moved(layer, by_one_hop.state_exchanged(layer)),
            f"state_exchange_moves_held_out_two_hop.{layer}": held_out.moved(layer, held_out.state_exchanged(layer)),
            f"state_exchange_moves_city_state.{layer}": one_hop.moved(layer, one_hop.state_exchanged(layer)),
            f"whole_city_moves_two_hop.{layer}": two_hop.moved(layer, two_hop.source.at_city(layer)),
        }
    at, labels = STATE_LAYER, shuffled_labels(q.two_hop_of_others, seed)
    for name, asked in (("two_hop", two_hop), ("city_state", one_hop)):
        found |= {
            f"state_subspace_moves_{name}": asked.moved(at, asked.subspace_exchanged(places.state)),
            f"own_vector_moves_{name}": asked.moved(at, asked.own_vector_exchanged()),
            f"shuffled_exchange_moves_{name}": asked.moved(at, asked.state_exchanged(at, labels)),
        }
    return found | {
        "all_but_own_vector_keeps_two_hop": two_hop.kept(at, two_hop.all_but_own_vector_exchanged()),
        "embedding_exchange_moves_two_hop": two_hop.moved(-1, two_hop.state_exchanged(-1)),
        "no_op_keeps_every_logit": two_hop.untouched(at),
    }


def measure(
    stage: Stage, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, seed: int
) -> dict[str, Quantity]:
    """Every figure of a checkpoint's card, with the bar of its stage."""
    values: dict[str, tuple[float, int]] = {}
    for name in ("two_hop_trained", "two_hop_held_out", "city_state", "state_capital"):
        asked = world.prompts(name.removesuffix("_trained").removesuffix("_held_out"), name.endswith("_held_out"))
        values[name] = (accuracy(model, tokenizer, asked), len(asked))
    places = Places.of(model, tokenizer, seed)
    found = rates(model, tokenizer, world, places, seed)
    fresh = rates(untrained(tokenizer, seed + TWIN_SEED_STEP), tokenizer, world, places, seed)
    found["reinitialised_exchange_moves_two_hop"] = fresh[f"state_exchange_moves_two_hop.{STATE_LAYER}"]
    values |= {name: (rate, PAIRS) for name, rate in found.items()}
    return {
        name: Quantity(*values[name], figure.early if stage == "early" else figure.late)
        for name, figure in FIGURES.items()
    }
