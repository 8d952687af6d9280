"""Prompts by what their counterfactuals change: the value that is copied, the key that is matched, the query, ...

One family cannot reveal a circuit: a counterfactual that changes the value moves nothing on the way of keys and
queries. So methods score each family by itself, and the union over families is what a circuit is read off.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from ._base import Frozen, ToolError
from ._circuit_graph import CircuitGraph
from ._circuit_walk import Partwise
from ._pair_answers import Pair, PairAnswers
from ._subject import Subject

LARGEST_PASS = 2**26  # numbers that one pass keeps for its gradients: 256 MiB in single precision


class Family(Frozen):
    """Pairs whose counterfactuals all change the same thing."""

    name: str = Field(min_length=1, description="What the counterfactuals change.")
    pairs: tuple[Pair, ...] = Field(min_length=1, description="Prompts with their counterfactuals, of equal length.")


@dataclass(frozen=True)
class Chunk:
    """Some pairs of a family, as one pass takes them."""

    part: Partwise
    clean: Float[Tensor, "batch pos d_model"]  # what stands before block 0
    corrupted: Float[Tensor, "batch pos d_model"]
    last: Int[Tensor, " batch"]
    answers: Int[Tensor, " batch"]
    foils: Int[Tensor, " batch"]
    room: int  # how many runs of these pairs fit in one pass

    def differences(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
        """Per row the logit of the answer less that of the foil (nats); rows are these pairs, over and over."""
        rows, times = torch.arange(len(logits), device=logits.device), len(logits) // len(self.answers)
        return logits[rows, self.answers.repeat(times)] - logits[rows, self.foils.repeat(times)]


class Asked:
    """One family on a subject."""

    def __init__(self, subject: Subject, family: Family) -> None:
        """
        Raises:
            ToolError: a pair that no link can be scored on.
        """
        self.name, self.pairs, self._subject = family.name, family.pairs, subject
        answers = PairAnswers(subject, family.pairs)
        self._answers, self._foils = answers.answers, answers.foils
        self._base = subject.tokenise([pair.base for pair in family.pairs])
        self._corrupted = subject.tokenise([pair.corrupted for pair in family.pairs])
        for pair, base, corrupted in zip(family.pairs, self._base.lengths, self._corrupted.lengths, strict=True):
            if pair.source not in ("", pair.corrupted):
                raise ToolError(
                    f"The pair {pair.base!r} takes values from another prompt than its counterfactual.",
                    mend="Leave `source` empty: links carry what the counterfactual's nodes write.",
                )
            if base != corrupted:
                raise ToolError(
                    f"{pair.base!r} has {base} tokens and {pair.corrupted!r} has {corrupted}.",
                    mend="Nodes are compared token by token: use counterfactuals of as many tokens.",
                )

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """Pairs with equal names are one sample; a pair without a name is one by itself."""
        return tuple(pair.cluster or f"pair {i}" for i, pair in enumerate(self.pairs))

    @cached_property
    def part(self) -> Partwise:
        """The subject as its parts, for prompts padded as these are."""
        return Partwise(self._subject, self._base.take(slice(0, self._size)))

    def chunks(self) -> Iterator[Chunk]:
        """All pairs, in as many passes as memory asks for."""
        device = self._base.ids.device
        for first in range(0, len(self.pairs), self._size):
            rows = slice(first, first + self._size)
            yield Chunk(
                part=self.part,
                clean=self.part.start(self._base.take(rows)),
                corrupted=self.part.start(self._corrupted.take(rows)),
                last=self._base.last[rows],
                answers=self._answers[rows].to(device),
                foils=self._foils[rows].to(device),
                room=max(1, self._size // len(self.pairs)),
            )

    @cached_property
    def _size(self) -> int:
        shape, graph = self._subject.shape, CircuitGraph(self._subject.shape)
        n_vectors = 3 * len(graph.nodes) + len(graph.slots) + 8 * shape.n_layers
        per_pair = self._base.ids.shape[1] * (shape.d_model * n_vectors + 2 * shape.n_layers * shape.d_mlp)
        return max(1, LARGEST_PASS // per_pair)


def ask(subject: Subject, families: Sequence[Family]) -> tuple[Asked, ...]:
    """Every family, refused before anything runs where one cannot be measured.

    Raises:
        ToolError: two families of one name, or a pair that no link can be scored on.
    """
    names = [family.name for family in families]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ToolError(f"Several families are called {', '.join(map(repr, twice))}.", mend="Give each its own name.")
    return tuple(Asked(subject, family) for family in families)
