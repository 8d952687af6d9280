"""What is true of a trained organism, measured on held-out prompts with the slow reference; its bars."""

import random
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...tools import Pair, Subject
from ._interchange_causal import CausalModel, Link, Words
from ._interchange_reference import Reference

PAIRS = 32  # per counterfactual family
FRESH = 200  # held-out prompts for the accuracy
BARS: dict[str, tuple[str, float]] = {
    "accuracy": (">=", 0.98),
    "interchange_least": (">=", 0.97),  # the worst variable
    "link_interchange_least": (">=", 0.95),  # the worst true link, swapped alone
    "strict_mean": (">=", 0.99),
    "strict_least": (">=", 0.97),  # the worst component that stands for nothing
    "faithfulness_least": (">=", 0.95),
    "faithfulness_most": ("<=", 1.05),
    "complement_largest": ("<=", 0.05),
    "true_link_least": (">=", 0.2),
    "other_link_largest": ("<=", 0.05),
}


def families_of(causal: CausalModel) -> dict[str, tuple[Pair, ...]]:
    """Pairs of held-out prompts for every way of changing them."""
    rng = random.Random(f"{causal.name} pairs {causal.seed}")
    return {
        family: tuple(_pair(causal, *causal.held_out_pair(rng, family)) for _ in range(PAIRS))
        for family in causal.changes
    }


def _pair(causal: CausalModel, base: Words, source: Words) -> Pair:
    return Pair(base=" ".join(base), corrupted=" ".join(source), answer=causal.answer(base), foil=causal.answer(source))


class Judge:
    """The model on all pairs at once."""

    def __init__(self, subject: Subject, causal: CausalModel, families: Mapping[str, Sequence[Pair]]) -> None:
        self.subject, self.causal = subject, causal
        self.rows = [pair for pairs in families.values() for pair in pairs]
        self.family = {name: [row in pairs for row in self.rows] for name, pairs in families.items()}
        self.reference = Reference(subject, [p.base for p in self.rows], [p.corrupted for p in self.rows])
        self.answers, self.foils = (self._ids([getattr(p, word) for p in self.rows]) for word in ("answer", "foil"))
        self.clean = self._differences(self.reference.clean)
        self.gaps = self.clean - self._differences(self.reference.corrupted)

    def effects(self, links: Sequence[Link]) -> dict[str, float]:
        """Per family what swapping these links takes away, as a share of the gap."""
        lost = self.clean - self._differences(self.reference.with_links(links))
        chosen = {name: torch.tensor(rows) for name, rows in self.family.items()}
        return {name: float(lost[rows].sum() / self.gaps[rows].sum()) for name, rows in chosen.items()}

    def agreement(self, logits: Float[Tensor, "batch vocab"], swapped: Sequence[Link]) -> float:
        """Share of rows that answer what the causal model answers with these links swapped."""
        words = [(tuple(p.base.split()), tuple(p.corrupted.split())) for p in self.rows]
        expected = self._ids([self.causal.answer_with(*pair, frozenset(swapped)) for pair in words])
        return float((logits.argmax(-1) == expected).float().mean())

    def _ids(self, words: Sequence[str]) -> Int[Tensor, " batch"]:
        return torch.tensor(self.subject.tokenizer.convert_tokens_to_ids(list(words)))

    def _differences(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
        rows = torch.arange(len(self.rows))
        return (logits[rows, self.answers] - logits[rows, self.foils]).double()


def accuracy(subject: Subject, causal: CausalModel) -> float:
    """Share of held-out prompts that get their answer."""
    rng = random.Random(f"{causal.name} accuracy {causal.seed}")
    prompts: list[Words] = []
    while len(prompts) < FRESH:
        words = causal.draw(rng)
        if causal.has_held_out(words):
            prompts.append(words)
    best = subject.last_logits(subject.tokenise([" ".join(words) for words in prompts])).argmax(-1)
    expected = subject.tokenizer.convert_tokens_to_ids([causal.answer(words) for words in prompts])
    return float((best == torch.tensor(expected)).float().mean())


def figures(subject: Subject, causal: CausalModel, families: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """Everything an organism is verified by, on held-out prompts.

    Returns:
        `accuracy`: share of prompts answered. `interchange_VARIABLE`, and the least of them: share answered as the
        causal model answers when the whole component writes what it wrote on the other prompt.
        `link_interchange_least`: the same with one true link alone, the worst of them. `strict_mean`, `strict_least`:
        share that keeps its answer when a component that stands for nothing is swapped, over these. `faithfulness_*`:
        per family the share of the gap that the true links keep alone; `complement_largest`: that all others keep
        alone. `true_link_least`, `other_link_largest`: share of the gap that one link takes away, in the family where
        it takes most.
    """
    judge, true = Judge(subject, causal, families), sorted(causal.links)
    other = [link for link in causal.build.links if link not in causal.links]
    placed = {v.name: v.place for v in causal.variables[1:-1]}
    idle = [node for node in causal.build.nodes[1:] if node not in placed.values()]
    swapped = {node: judge.reference.with_node(node) for node in causal.build.nodes[1:]}
    moved = {
        name: judge.agreement(swapped[place], [link for link in true if link[0] == place])
        for name, place in placed.items()
    }
    kept = [judge.agreement(swapped[node], []) for node in idle]
    alone = {link: _largest(judge.effects([link])) for link in causal.build.links}
    faithful = {name: 1 - effect for name, effect in judge.effects(other).items()}
    return {
        "accuracy": accuracy(subject, causal),
        **{f"interchange_{name}": share for name, share in moved.items()},
        "interchange_least": min(moved.values()),
        "link_interchange_least": min(judge.agreement(judge.reference.with_links([link]), [link]) for link in true),
        "strict_mean": sum(kept) / len(kept),
        "strict_least": min(kept),
        "faithfulness_least": min(faithful.values()),
        "faithfulness_most": max(faithful.values()),
        "complement_largest": max(abs(1 - effect) for effect in judge.effects(true).values()),
        "true_link_least": min(alone[link] for link in true),
        "other_link_largest": max(alone[link] for link in other),
    }


def _largest(effects: Mapping[str, float]) -> float:
    return max(map(abs, effects.values()))


def missed(found: Mapping[str, float]) -> list[str]:
    """The figures that do not meet their bar, with it; a figure that is no number meets none."""
    met = {">=": lambda value, bar: value >= bar, "<=": lambda value, bar: value <= bar}
    return [
        f"{name} is {found[name]:.4f} ({sense} {bar:g} is due)"
        for name, (sense, bar) in BARS.items()
        if not met[sense](found[name], bar)
    ]
