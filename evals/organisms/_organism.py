"""A small model whose true circuit is known, with the prompts that show it: what methods are measured against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...tools import Pair, Subject

Kind = Literal["compiled", "interchange", "trained", "null"]


@dataclass(frozen=True)
class Organism:
    """A model with what is true of it.

    Nodes and links are written as everywhere else: a link goes from what writes to the residual stream (`embed`, which
    stands for tokens and positions together, `head.L.H`, `mlp_out.L`) to what reads it (`q.L.H`, `k.L.G`, `v.L.G`,
    `mlp_in.L`, `logits`), G the head of keys and values that query head H shares.
    """

    name: str
    kind: Kind
    subject: Subject
    families: Mapping[str, tuple[Pair, ...]]  # by what the counterfactual changes; several are needed to see a circuit
    links: frozenset[tuple[str, str]]  # the true ones, empty for a null
    truth: str  # what is true of it, in words
    verified: Mapping[str, float] = field(default_factory=dict)  # how that was checked: figure by name

    @property
    def nodes(self) -> frozenset[str]:
        """What writes in a true link."""
        return frozenset(source for source, _ in self.links)


Build = Callable[[int], Organism]
"""Makes the organism of a seed: the same seed, the same weights and prompts, bit for bit on one machine."""
