"""Questions about models whose circuit is known, and what of it an investigation found.

What is looked for. The protocol planner names, for pairs that differ in one place, the block of attention and the head
at the last token, and the MLP at the token that differs, that move the answer most. So of each of these three kinds
that holds a place whose exact effect on fresh pairs exceeds a fifth of the gap, one such place must stand in a
supported claim; a question about facts must end with a supported claim that the value in between is held where the
program holds it. `power` is the share of questions where all that was looked for is found and nothing false is
claimed. How much of the whole circuit that names is another figure, `recall`: components that write in a true link.

Self-repair is judged by the whole circuit: the head that answers and every backup have to be named.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...agent._evidence import SMALLEST_EFFECT
from ...tools import Pair, ToolError
from ..organisms._compile import Compiled
from ..organisms._compile_generated import generated_one
from ..organisms._organism import Organism
from ..organisms.compiled import CIRCUITS, compiled_circuit
from ._trust_nulls import N_PAIRS, asked_where, known, knows
from ._trust_organisms import scaled
from ._trust_planner import Belief, Believer, Place
from ._trust_runs import Question, Trial, investigate, where_question
from ._trust_truth import Known

LARGE, SMALL = 0.2, 0.1  # shares of the gap: over a fifth, and up to a tenth
FEWEST_PAIRS = 20  # that a third can be looked at, and the rest be enough to confirm on
SELF_REPAIRING = "self_repair"
LOOKED_FOR = (("head", "last"), ("attn_out", "last"), ("mlp_out", "differs"))


@dataclass(frozen=True)
class Found:
    """One planted question and what became of it."""

    trial: Trial
    wanted: tuple[str, ...]  # what was looked for and is there
    missed: tuple[str, ...]  # of these
    named: frozenset[str]  # true components that supported claims name
    nodes: frozenset[str]  # all true components

    @property
    def repairs(self) -> bool:
        """Whether the model repairs itself."""
        return self.trial.name.startswith(SELF_REPAIRING)

    @property
    def is_found(self) -> bool:
        """All that was looked for, and nothing false beside it."""
        return bool(self.wanted) and not self.missed and not self.trial.false_claims

    @property
    def is_whole(self) -> bool:
        """The whole circuit, and nothing false beside it."""
        return self.named == self.nodes and not self.trial.false_claims


@dataclass(frozen=True)
class Component:
    """One place of a known exact effect, put to the judge."""

    name: str
    place: Place
    effect: float  # exact, share of the gap
    supported: bool
    is_true: bool


def planted(seed: int, n_named: int, n_generated: int, n_repairing: int) -> Iterator[Question]:
    """Questions about compiled circuits.

    Args:
        n_named: models of each named circuit (count).
        n_generated: drawn circuits (count).
        n_repairing: models of each circuit that repairs itself (count).
    """
    plain = [name for name in CIRCUITS if not name.startswith(SELF_REPAIRING)]
    repairing = [name for name in CIRCUITS if name.startswith(SELF_REPAIRING)]
    wanted = [(name, i) for i in range(n_named) for name in plain]
    for name, i in [*wanted, *((name, i) for i in range(n_repairing) for name in repairing)]:
        yield _asked(compiled_circuit(name, seed * 100 + i), i)
    for i in range(n_generated):
        yield _asked(generated_one(seed, i), i)


def _asked(one: Compiled, turn: int) -> Question:
    """A question about one of its counterfactual families, another one every turn."""
    names = list(one.organism.families)
    family = names[turn % len(names)]
    return asked_where("planted", one, family, known(one, family), turn)


def asked_interchange(organism: Organism, seed: int) -> Question | None:
    """A question about a trained model; none where its pairs are too few, or differ in length.

    Their worlds are small: all pairs of a family are asked about, and what is true is read off the same ones.
    """
    enough = [name for name, pairs in organism.families.items() if len(set(pairs)) >= FEWEST_PAIRS]
    if not enough:
        return None
    family = random.Random(f"{organism.name} {seed}").choice(sorted(enough))
    pairs = list(dict.fromkeys(organism.families[family]))
    if not _alike(organism, pairs):
        return None
    verify = Known(organism.subject, organism.nodes, pairs)
    return where_question("planted", organism.name, organism.subject, pairs[:N_PAIRS], verify, seed)


def _alike(organism: Organism, pairs: list[Pair]) -> bool:
    """Whether all prompts have equally many tokens."""
    try:
        lengths = organism.subject.tokenise([text for pair in pairs for text in (pair.base, pair.corrupted)]).lengths
    except ToolError:
        return False
    return len(set(lengths)) == 1


def find(question: Question) -> Found:
    """Put a planted question, and see what of the circuit its report names."""
    trial = investigate(question)
    truth = question.verify
    assert isinstance(truth, Known), question.kind
    assert truth.nodes is not None, "a planted circuit has a program"
    nodes = truth.nodes - {"embed"}
    claimed = [one.place for one in trial.said if one.supported and not one.false]
    wanted = tuple(f"{kind} at {position}" for kind, position in LOOKED_FOR if _largest(truth, kind, position) > LARGE)
    got = {f"{_kind(s)} at {p}" for s, p in claimed if truth.effect(s, p) > LARGE}
    return Found(
        trial=trial,
        wanted=wanted,
        missed=tuple(one for one in wanted if one not in got),
        named=frozenset(site for site, _ in claimed) & nodes,
        nodes=nodes,
    )


def find_facts(seed: int, folder: Path) -> Found:
    """A question about facts whose value in between is known."""
    question = knows(seed, folder)
    trial = investigate(question)
    held = [one for one in trial.said if one.supported and not one.false and one.prediction.kind == "variable"]
    wanted = ("the value in between",)
    return Found(trial, wanted, () if held else wanted, frozenset(), frozenset())


def components(seed: int) -> Iterator[Component]:
    """Every part of a model with parts of unequal size, and as many places that do nothing, put to the judge."""
    one = scaled(seed)
    truth = known(one, "value")
    true = [(place.node, "last") for place in one.layout.places.values()]
    shape = one.organism.subject.shape
    idle = [(f"head.{layer}.{head}", "last") for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    idle = random.Random(seed).sample([place for place in idle if place not in true], len(true))
    question = asked_where("scaled", one, "value", truth, seed)
    trial = investigate(question, Believer(Belief(places=(*true, *idle)), seed))
    for said in trial.said:
        site, position = said.place
        is_true = (site, position) in true
        yield Component(one.organism.name, said.place, truth.effect(site, position), said.supported, is_true)


def is_small(one: Component) -> bool:
    """A true part of between a twentieth and a tenth of the gap."""
    return one.is_true and SMALLEST_EFFECT < one.effect <= SMALL


def _kind(site: str) -> str:
    return site.split(".")[0]


def _largest(truth: Known, kind: str, position: str) -> float:
    """The largest exact effect of a true place of a kind (share of the gap)."""
    shape = truth.subject.shape
    sites = {
        "head": [f"head.{layer}.{head}" for layer in range(shape.n_layers) for head in range(shape.n_heads)],
    }.get(kind) or [f"{kind}.{layer}" for layer in range(shape.n_layers)]
    return max((truth.effect(site, position) for site in sites if truth.is_true(site)), default=0.0)
