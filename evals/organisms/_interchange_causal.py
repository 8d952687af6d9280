"""A causal model placed on the links of a transformer: what each part computes, and what it reads over which link.

Each variable stands at a node (`embed`, `head.L.H`, `mlp_out.L`, `logits`) and reads others through slots of that node.
So a set of links that carry values from another prompt, the *source*, has one predicted answer: every read over such a
link takes what the source itself computed, every other read takes what was computed here (Geiger, Lu, Icard, Potts
2021, "Causal Abstractions of Neural Networks", with links in the place of variables). Training and verification both
ask for that answer.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Words = tuple[str, ...]
Link = tuple[str, str]  # a node, and a slot that reads it
Change = Callable[[Words, random.Random], Words]


@dataclass(frozen=True)
class Variable:
    """What a node computes, from which variables, and through which of its slots it reads them."""

    name: str
    place: str
    reads: Mapping[str, tuple[str, str]]  # argument of `compute` -> (`q`, `k`, `v`, `mlp_in` or `logits`, variable)
    compute: Callable[..., Any]
    says: str  # for the card
    looks: Callable[[Words], Iterable[tuple[int, int]]] = lambda words: ()  # a head: from which places to which
    stands: Callable[[Words], Iterable[tuple[int, str]]] = lambda words: ()  # an MLP: at which places which value


@dataclass(frozen=True)
class Build:
    """Sizes of the transformer that a causal model is placed in (counts)."""

    family: Literal["gpt2", "llama"]
    n_layers: int
    d_model: int = 64
    n_heads: int = 4
    n_kv_heads: int = 4

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """What writes to the stream, in the order of the computation."""
        layers, heads = range(self.n_layers), range(self.n_heads)
        return ("embed", *(node for i in layers for node in (*(f"head.{i}.{h}" for h in heads), f"mlp_out.{i}")))

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """What reads the stream, in the order of the computation."""
        counts = {"q": self.n_heads, "k": self.n_kv_heads, "v": self.n_kv_heads}
        blocks = (
            (*(f"{kind}.{i}.{n}" for kind, count in counts.items() for n in range(count)), f"mlp_in.{i}")
            for i in range(self.n_layers)
        )
        return (*(slot for block in blocks for slot in block), "logits")

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Every link that the order of the computation allows."""
        return tuple((node, slot) for slot in self.slots for node in self.nodes[: self._written_before(slot)])

    def _written_before(self, slot: str) -> int:
        kind, *numbers = slot.split(".")
        layer = int(numbers[0]) if numbers else self.n_layers
        return 1 + layer * (self.n_heads + 1) + (self.n_heads if kind == "mlp_in" else 0)


@dataclass(frozen=True)
class CausalModel:
    """A task with its causal model: variables in order, prompts, and the ways in which prompts are changed."""

    name: str
    truth: str
    build: Build
    words: tuple[str, ...]  # the vocabulary
    variables: tuple[Variable, ...]  # the first is the prompt at `embed`, the last the answer at `logits`
    draw: Callable[[random.Random], Words]
    changes: Mapping[str, Change]  # the counterfactual families
    together: tuple[tuple[int, int], ...]  # places in the prompt of which some pairs of words are held out
    seed: int
    held_out_share: float = 0.2

    @cached_property
    def of(self) -> dict[str, Variable]:
        """Variables by name."""
        return {variable.name: variable for variable in self.variables}

    def link(self, variable: Variable, slot: str, read: str) -> Link:
        """The link over which a variable reads another."""
        kind, _, rest = variable.place.partition(".")
        if kind == "logits":
            reader = "logits"
        elif kind == "mlp_out":
            reader = f"mlp_in.{rest}"
        else:
            layer, head = map(int, rest.split("."))
            shared = self.build.n_heads // self.build.n_kv_heads
            reader = f"{slot}.{layer}.{head if slot == 'q' else head // shared}"
        return self.of[read].place, reader

    @cached_property
    def links(self) -> frozenset[Link]:
        """Every link that carries a variable."""
        return frozenset(self.link(v, slot, read) for v in self.variables for slot, read in v.reads.values())

    def answer(self, words: Words) -> str:
        """What the causal model says after a prompt."""
        return self.answer_with(words, words, frozenset())

    def answer_with(self, base: Words, source: Words, swapped: Collection[Link]) -> str:
        """What it says after `base` when these links carry what `source` computed.

        Raises:
            AssertionError: a variable has no value, because the two prompts do not fit together.
        """
        own: dict[str, Any] = {self.variables[0].name: source}
        here: dict[str, Any] = {self.variables[0].name: base}
        for variable in self.variables[1:]:
            own[variable.name] = variable.compute(**{a: own[read] for a, (_, read) in variable.reads.items()})
            given = {
                argument: (own if self.link(variable, slot, read) in swapped else here)[read]
                for argument, (slot, read) in variable.reads.items()
            }
            here[variable.name] = variable.compute(**given)
            assert here[variable.name] is not None, (variable.name, base, source, sorted(swapped))
        return here[self.variables[-1].name]

    @cached_property
    def held_out(self) -> frozenset[tuple[str, str]]:
        """Words that never stand together in training, at the places of `together`."""
        rng = random.Random(f"{self.name} held out {self.seed}")
        pairs = ((left, right) for left in self.words for right in self.words)
        return frozenset(pair for pair in pairs if rng.random() < self.held_out_share)

    def has_held_out(self, *prompts: Words) -> bool:
        """Whether any two words that these prompts put at places of `together` are held out from each other."""
        return any(
            (left[i], right[j]) in self.held_out for i, j in self.together for left in prompts for right in prompts
        )

    def training_pair(self, rng: random.Random) -> tuple[Words, Words]:
        """A prompt and one changed in some ways; no interchange between the two makes a held-out pair of words."""
        while True:
            base = self.draw(rng)
            source = base
            for name in rng.sample(sorted(self.changes), rng.randint(1, len(self.changes))):
                source = self.changes[name](source, rng)
            if not self.has_held_out(base, source):
                return base, source

    def held_out_pair(self, rng: random.Random, family: str) -> tuple[Words, Words]:
        """Two prompts with held-out pairs of words and different answers, changed in one way."""
        while True:
            base = self.draw(rng)
            source = self.changes[family](base, rng)
            if self.has_held_out(base) and self.has_held_out(source) and self.answer(base) != self.answer(source):
                return base, source
