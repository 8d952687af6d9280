"""Prompts as tokens, and the draws that make a training step: who is base, who is source, what never meets.

A held-out city never meets a two-hop relation: not as base, and not as source of a two-hop base.
"""

import random
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ._names import CAPITALS, ROLES, TEMPLATES
from ._tokenizer import BOS, EOS, PAD, token_ids
from ._world import World

# Prompts per step. Cities are many because every one of them is base and source of the interchanges too.
BATCH = {
    "two_hop": 48,
    "city_state": 48,
    "state_capital": 8,
    "ioi": 36,
    "induction": 20,
    "repeat": 28,
    "pronoun": 10,
    "gender": 8,
    "antonym": 20,
    "greater_than": 16,
}


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt with its answer, and where the city stands in it."""

    ids: tuple[int, ...]
    answer: int
    city_pos: int = 0
    state: str = ""
    two_hop: bool = False
    held_out: bool = False


@dataclass(frozen=True)
class Batch:
    """Prompts with their answers appended, padded on the right."""

    ids: Int[Tensor, "batch pos"]
    last: Int[Tensor, " batch"]
    answers: Int[Tensor, " batch"]


@dataclass(frozen=True)
class Exchanges:
    """Prompts about cities, each with another of them as source, and what the exchange of their states would answer."""

    prompts: list[Prompt]
    batch: Batch
    sources: list[int]
    at_city: Int[Tensor, " batch"]
    followed: Int[Tensor, " batch"]  # the base's question, answered for the source's state


def city_prompts(world: World, tokenizer: PreTrainedTokenizerFast, family: str) -> list[Prompt]:
    """Every prompt of a city family, over both splits."""
    prompts = []
    for fact in world.facts[family]:
        city, answer = token_ids(tokenizer, (fact.slots["city"], fact.slots[ROLES[family][2]]))
        for text in TEMPLATES[family].values():
            ids = tuple(tokenizer(text.format(**fact.slots)).input_ids)
            held_out = fact.slots["city"] in world.held_out_cities
            prompts.append(Prompt(ids, answer, ids.index(city), fact.slots["state"], family == "two_hop", held_out))
    return prompts


class Sampler:
    """Draws the batches of a run: city prompts, and prompts of all other families."""

    def __init__(self, world: World, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.world, self.rng = world, random.Random(f"batches {seed}")
        self.id = tokenizer.get_vocab()
        self.two_hop = [p for p in city_prompts(world, tokenizer, "two_hop") if not p.held_out]
        self.city_state = city_prompts(world, tokenizer, "city_state")
        self.fixed = {
            name: [self._encode(prompt, answer) for prompt, answer in world.prompts(name, held_out=False)]
            for name in ("state_capital", "pronoun", "gender", "antonym")
        }

    def _encode(self, prompt: str, answer: str) -> Prompt:
        return Prompt((BOS, *(self.id[word] for word in prompt.split())), self.id[answer])

    def cities(self) -> list[Prompt]:
        """Prompts about trained cities with a two-hop or one-hop relation, and about all cities with a one-hop one."""
        two_hop = self.rng.sample(self.two_hop, BATCH["two_hop"])
        return two_hop + self.rng.sample(self.city_state, BATCH["city_state"])

    def sources(self, bases: list[Prompt]) -> list[int]:
        """For each base the index of another prompt of the batch; a two-hop base never gets a held-out city."""
        trained = [index for index, prompt in enumerate(bases) if not prompt.held_out]
        everyone = range(len(bases))
        return [self.rng.choice(trained if base.two_hop else everyone) for base in bases]

    def exchanges(self) -> Exchanges:
        """The prompts about cities of one step, each with a source."""
        return self.with_sources(self.cities())

    def with_sources(self, prompts: list[Prompt]) -> Exchanges:
        """These prompts, each with a source among them."""
        batch, sources = collate(prompts), self.sources(prompts)
        asked = [(base.two_hop, prompts[j].state) for base, j in zip(prompts, sources, strict=True)]
        followed = torch.tensor([self.id[CAPITALS[state] if two_hop else state] for two_hop, state in asked])
        return Exchanges(prompts, batch, sources, torch.tensor([prompt.city_pos for prompt in prompts]), followed)

    def others(self) -> list[Prompt]:
        """Prompts of the families without a placed variable."""
        rng = self.rng
        prompts = [p for name, pool in self.fixed.items() for p in rng.choices(pool, k=BATCH[name])]
        for family, draw in (("ioi", self.world.ioi_slots), ("induction", self.world.induction_slots)):
            for _ in range(BATCH[family]):
                slots = draw(rng, False)
                text = rng.choice(list(TEMPLATES[family].values()))
                prompts.append(self._encode(text.format(**slots), slots["io" if family == "ioi" else "b"]))
        return prompts + [self._encode(*self.world.span(rng)) for _ in range(BATCH["greater_than"])]

    def repeats(self) -> Int[Tensor, "batch pos"]:
        """Chains of nouns said twice: every word of the second time can be told from the first."""
        chains = [self.world.noun_chain(self.rng, 7) for _ in range(BATCH["repeat"])]
        return torch.tensor([[BOS, *(self.id[noun] for noun in chain * 2)] for chain in chains])


def collate(prompts: list[Prompt]) -> Batch:
    """Pad prompts to one length, each with its answer and the end of the sentence behind it."""
    longest = max(len(prompt.ids) for prompt in prompts) + 2
    rows = [[*p.ids, p.answer, EOS] + [PAD] * (longest - len(p.ids) - 2) for p in prompts]
    last = torch.tensor([len(prompt.ids) - 1 for prompt in prompts])
    return Batch(torch.tensor(rows), last, torch.tensor([prompt.answer for prompt in prompts]))
