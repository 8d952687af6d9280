"""A planner that believes whatever it is told or sees: the judge and the guards stand alone against it.

It looks once at every block and head, minds no premise, and proposes either what moved the answer most together with
places drawn at random, or places it was given. It says of every prediction that entities and template are held out, as
a careless planner would; code takes that back where it is not so.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...agent._evidence import Arm, Hypothesis, Kind, Prediction
from ...agent.planners._plain import say
from ...agent.planners.interface import ContrastPair, Experiment, JudgedClaim, Proposal, SubjectCard, Task, View, Words
from ...agent.planners.reading import read_question

Place = tuple[str, str]  # site and position
SWEEP, SEARCH = "sweep", "circuit_search"
FEWEST_DISCOVERED, FEWEST_CONFIRMED = 4, 8  # pairs of a split by words; with fewer, pairs are parted as they stand


@dataclass(frozen=True)
class Belief:
    """What the planner is to propose."""

    places: tuple[Place, ...] = ()  # these; none to take those that moved most
    most: int = 2  # so many of them (count)
    drawn: int = 1  # and so many at random (count)
    kind: Kind = "mediation"
    holds_out: bool = True  # whether it confirms on other prompts than it looked at
    arms: tuple[Arm, ...] = ()  # one prediction of exactly these arms, in place of all others


class Believer:
    """Plans without looking at what speaks against it."""

    name = "believer"

    def __init__(self, belief: Belief, seed: int = 0) -> None:
        self.belief, self.seed = belief, seed

    def read(self, question: str, pairs: tuple[ContrastPair, ...], card: SubjectCard) -> Task:
        """The question as written."""
        return read_question(question, pairs)

    def next_experiment(self, view: View) -> Experiment | None:
        """One look at all places, on discovery pairs; for what is absent a search behind others as well."""
        if SWEEP in view.results or SWEEP in view.failed:
            return self._search(view)
        sites = [site for layer in range(view.card.n_layers) for site in _sites_of(layer, view.card.n_heads)]
        if self.belief.kind == "absence":
            sites = ["resid_pre.0", *sites]  # that values of this kind do move answers has been seen somewhere
        positions = list(dict.fromkeys(["last", *(position for _, position in self.belief.places), *self._differing()]))
        args = {"pairs": _forward(self._split(view)[0]), "sites": sites, "positions": positions}
        return Experiment(key=SWEEP, tool="patch", args=args, why="what moves the answer")

    def propose(self, view: View) -> tuple[Proposal, ...]:
        """Predictions about the places it believes in."""
        if self.belief.arms:
            return (self._proposal(1, "given", self.belief.arms),)
        found = view.results.get(SWEEP)
        if found is None:
            return ()
        confirming = self._split(view)[1]
        return tuple(
            self._proposal(number, f"{site} at {position}", self._arms((site, position), confirming))
            for number, (site, position) in enumerate(self._places(found.result["cells"]), start=1)
        )

    def closing(self, view: View) -> tuple[Experiment, ...]:
        """Nothing."""
        return ()

    def word(self, view: View, claims: tuple[JudgedClaim, ...]) -> Words:
        """Hypotheses as they stand."""
        said = say("What was proposed stands below, each with its verdict.")
        return Words(
            premise_holds=None,
            premise=say("Nothing was presumed."),
            answer=(said,),
            claims={claim.id: say("A proposal.") for claim in claims},
        )

    def _search(self, view: View) -> Experiment | None:
        """What the claim that a part plays no part owes."""
        if self.belief.kind != "absence" or SEARCH in view.results or SEARCH in view.failed:
            return None
        fields = ("base", "corrupted", "answer", "foil", "cluster")
        pairs = [{name: pair[name] for name in fields} for pair in _forward(self._split(view)[0])]
        args = {"families": [{"name": "discovery", "pairs": pairs}], "slots": False, "resamples": 0, "top": 1000}
        return Experiment(key=SEARCH, tool=SEARCH, args=args, why="what stands in for others")

    def _differing(self) -> list[str]:
        return [] if self.belief.places else ["differs"]

    def _places(self, cells: Sequence[dict[str, Any]]) -> list[Place]:
        if self.belief.places:
            return list(self.belief.places)
        ranked = sorted(cells, key=lambda cell: -cell["effect"])
        places = [(cell["site"], cell["position"]) for cell in ranked]
        rest = places[self.belief.most :]
        drawn = random.Random(self.seed).sample(rest, min(self.belief.drawn, len(rest)))
        return [*places[: self.belief.most], *drawn]

    def _arms(self, place: Place, pairs: Sequence[ContrastPair]) -> tuple[Arm, ...]:
        site, position = place
        ways = {"values from the swapped prompt": _forward(pairs), "the pair the other way round": _reversed(pairs)}
        return tuple(
            Arm(
                label=family,
                counterfactual_family=family,
                tool="patch",
                args={"pairs": mine, "sites": [site], "positions": [position]},
            )
            for family, mine in ways.items()
        )

    def _proposal(self, number: int, what: str, arms: tuple[Arm, ...]) -> Proposal:
        absence = self.belief.kind == "absence"
        hypothesis = Hypothesis(
            id=f"h{number}",
            statement=f"`{what}` plays {'no part' if absence else 'a part'}.",
            kind=self.belief.kind,
            alternatives=("it only goes along",),
            refuted_if="the patch says otherwise",
        )
        prediction = Prediction(
            id=f"p{number}",
            hypothesis=hypothesis.id,
            kind=self.belief.kind,
            direction="none" if absence else "positive",
            arms=arms,
            chance=0.5,
            holds_out_entities=True,
            holds_out_template=True,
        )
        return Proposal(hypothesis=hypothesis, prediction=prediction)

    def _split(self, view: View) -> tuple[tuple[ContrastPair, ...], tuple[ContrastPair, ...]]:
        """Pairs to look at and pairs to confirm on; the same where nothing is held out."""
        pairs = view.task.pairs
        explore, confirm = split(pairs, self.seed)
        return (explore, confirm) if self.belief.holds_out else (confirm, confirm)


def split(pairs: Sequence[ContrastPair], seed: int) -> tuple[tuple[ContrastPair, ...], tuple[ContrastPair, ...]]:
    """Pairs parted so that no word in which a pair differs stands on both sides, where enough are left of them."""
    words = sorted({word for pair in pairs for word in _changed(pair)})
    random.Random(seed).shuffle(words)
    seen = set(words[: len(words) * 2 // 5])
    explore = tuple(pair for pair in pairs if _changed(pair) <= seen)
    confirm = tuple(pair for pair in pairs if not _changed(pair) & seen)
    if len(explore) >= FEWEST_DISCOVERED and len(confirm) >= FEWEST_CONFIRMED:
        return explore, confirm
    third = len(pairs) // 3
    return tuple(pairs[:third]), tuple(pairs[third:])


def _changed(pair: ContrastPair) -> set[str]:
    return set(pair.clean.split()) ^ set(pair.corrupted.split())


def _sites_of(layer: int, n_heads: int) -> list[str]:
    return [f"attn_out.{layer}", f"mlp_out.{layer}", *(f"head.{layer}.{head}" for head in range(n_heads))]


def _forward(pairs: Sequence[ContrastPair]) -> list[dict[str, str]]:
    return [
        {"base": p.clean, "corrupted": p.corrupted, "answer": p.answer, "foil": p.foil, "cluster": p.cluster}
        for p in pairs
    ]


def _reversed(pairs: Sequence[ContrastPair]) -> list[dict[str, str]]:
    return [
        {"base": p.corrupted, "corrupted": p.clean, "answer": p.foil, "foil": p.answer, "cluster": p.cluster}
        for p in pairs
    ]
