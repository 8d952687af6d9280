"""Supernodes as hypotheses: what each name predicts, seen on discovery prompts and sealed for others.

A name from probe prompts says where features fire. What it claims beyond that is tested:

| named after | it is claimed that | tested by |
| --- | --- | --- |
| a value that is swapped (`Texas`) | the model reads the value there | exchanging the group for another value's |
| another word of the wordings (`capital`) | prompts with the word need it, others do not | taking it out, twice |
| a relation (`(state) related`) | prompts of the relation need it, others do not | taking it out, twice |
| what is said next (`Say (Austin)`) | the word needs it, other answers do not | taking it out, twice |

A name that no task data can test, or whose group does nothing in discovery, is not sealed and stays a suggestion.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...tools import Measurement
from .._evidence import SMALLEST_EFFECT, Arm, Hypothesis, Prediction
from .._gates import REPLICATION_SHARE
from .._samples import clusters_of
from .._statistics import bootstrap_interval
from ._plain import name
from ._supernode_prompts import (
    FEWEST_CLUSTERS,
    PairArgs,
    Phase,
    Setting,
    n_clusters,
    other_answers,
    relation_pairs,
    say_pairs,
    slot_of,
    swap_pairs,
    word_pairs,
)
from .interface import Experiment, Proposal

TOOL = "supernode_effect"
DISCOVERY_PAIRS = 12
PAIRS_OF_AN_ARM = 12
PAIRS_OF_ABSENCE = 48  # that nothing happens takes more to show
FEWEST_PAIRS = 6
DISCOVERY_DRAWS = 20  # random groups that an effect has to be above; that there is none is compared with nothing
SCREEN_SEED = 0
PHASES: tuple[Phase, Phase] = ("seen", "kept back")
SAID = re.compile(r"Say \((.+)\)")
RELATED = re.compile(r"\((.+)\) related")
UNKNOWN = "?"


@dataclass(frozen=True)
class Named:
    """A group of features with the name to be tested."""

    name: str
    features: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NameTest:
    """One prediction about one supernode: what to see in discovery, what to seal."""

    node: Named
    what: str  # tells the tests of one supernode apart
    mode: str
    direction: str
    statement: str
    refuted_if: str
    alternative: str
    discovery: tuple[PairArgs, ...]
    arms: Mapping[str, tuple[PairArgs, ...]]  # by family
    counterparts: Mapping[str, tuple[str, ...]]
    dictionary: str

    @property
    def key(self) -> str:
        """Key of the discovery experiment."""
        return f"supernode {self.node.name}: {self.what}"

    @property
    def decidable(self) -> bool:
        """Whether there are prompts enough to see something, and independent ones enough to judge it."""
        confirming = n_clusters(pair for pairs in self.arms.values() for pair in pairs)
        return len(self.discovery) >= FEWEST_PAIRS and confirming >= FEWEST_CLUSTERS

    @property
    def experiment(self) -> Experiment:
        """What the group does on discovery prompts."""
        return Experiment(
            key=self.key,
            tool=TOOL,
            args=self._args(self.discovery) | {"random_draws": DISCOVERY_DRAWS if self.direction == "positive" else 0},
            why=f"whether {self.statement[:1].lower()}{self.statement[1:].rstrip('.')}",
        )

    def proposal(self, number: str) -> Proposal:
        """The prediction about other prompts."""
        kind = "absence" if self.direction == "none" else "mediation"
        hypothesis = Hypothesis(
            id=f"h{number}",
            statement=self.statement,
            kind=kind,
            alternatives=(self.alternative,),
            refuted_if=self.refuted_if,
        )
        prediction = Prediction(
            id=f"p{number}",
            hypothesis=hypothesis.id,
            kind=kind,
            direction=self.direction,  # pyright: ignore[reportArgumentType]
            arms=tuple(
                Arm(label=family, counterfactual_family=family, tool=TOOL, args=self._args(pairs))
                for family, pairs in self.arms.items()
            ),
            chance=0.0,
            holds_out_entities=True,
            holds_out_template=True,
        )
        return Proposal(hypothesis=hypothesis, prediction=prediction)

    def _args(self, pairs: Sequence[PairArgs]) -> dict[str, Any]:
        used = {pair["counterpart"] for pair in pairs if "counterpart" in pair}
        return {
            "supernode": self.node.name,
            "features": list(self.node.features),
            "mode": self.mode,
            "pairs": list(pairs),
            "counterparts": {value: list(self.counterparts[value]) for value in sorted(used)},
            "dictionary": self.dictionary,
        }


def name_tests(
    node: Named, setting: Setting, counterparts: Mapping[str, tuple[str, ...]], dictionary: str
) -> tuple[NameTest, ...]:
    """What a supernode's name predicts; nothing where task data cannot tell.

    Args:
        node: the supernode.
        setting: task data around the prompt, and what naming read.
        counterparts: features of supernodes named after other values, by name; found as this one was.
        dictionary: whose features they are.
    """
    said, related = SAID.fullmatch(node.name), RELATED.fullmatch(node.name)
    if any(found and found[1] == UNKNOWN for found in (said, related)):
        return ()
    if said:
        drafts = _say(node, said[1], setting)
    elif related:
        drafts = _relation(node, related[1], setting)
    elif slot := slot_of(setting, node.name):
        drafts = _swap(node, slot, setting, counterparts)
    else:
        drafts = _word(node, setting)
    made = [NameTest(node=node, counterparts=counterparts, dictionary=dictionary, **draft) for draft in drafts]
    return tuple(made) if all(test.decidable for test in made) else ()


def worth_sealing(test: NameTest, seen: Measurement) -> bool:
    """Whether discovery bears a prediction out, beyond its noise and beyond every random group, as the judge will ask.

    A group is looked at because naming picked it on these very entities, so elsewhere it does less. Half as much still
    counts as replicated, so half as much has to matter as well.

    That nothing happens is asked of either half of the prompts, as the judge will: one answer that does need the group
    is soon lost among many.

    Args:
        seen: what the group did on discovery prompts.
    """
    (cell,) = seen.result["cells"]
    right = seen.result["clean_correct"]
    if seen.result["gap"] <= 0 or 2 * sum(right) < len(right):
        return False
    effects, clusters = cell["effects"], clusters_of(seen)
    everywhere = _interval(effects, clusters, range(len(effects)))
    if everywhere is None:
        return False
    if test.direction == "none":
        found = (everywhere, *(_interval(effects, clusters, half) for half in _halves(seen.args["pairs"])))
        return all(one is not None and one[0] > -SMALLEST_EFFECT and one[1] < SMALLEST_EFFECT for one in found)
    matters = everywhere[0] > SMALLEST_EFFECT and REPLICATION_SHARE * cell["effect"] > SMALLEST_EFFECT
    return matters and cell["effect"] > max(cell["random_effects"])


def _interval(effects: Sequence[float], clusters: Sequence[str], places: Iterable[int]) -> tuple[float, float] | None:
    """Limits of the mean effect over some of the pairs; none of a single cluster."""
    mine = tuple(places)
    found = bootstrap_interval([effects[i] for i in mine], [clusters[i] for i in mine], seed=SCREEN_SEED)
    return None if found.low is None or found.high is None else (found.low, found.high)


def _swap(
    node: Named, slot: str, setting: Setting, counterparts: Mapping[str, tuple[str, ...]]
) -> Iterator[dict[str, Any]]:
    mine = set(node.features)
    others = sorted(
        value
        for value, features in counterparts.items()  # one that has no feature of its own puts nothing in
        if value != node.name and slot_of(setting, value) == slot and not set(features) <= mine
    )
    confirming = swap_pairs(setting, node.name, others, "kept back", 2 * PAIRS_OF_AN_ARM)
    yield {
        "what": "swap",
        "mode": "swap",
        "direction": "positive",
        "statement": f"The features named {name(node.name)} stand for that {slot}: exchanging them for the features of "
        f"another {slot} moves the answer towards that {slot}'s, more than putting in the others alone.",
        "refuted_if": "taking them out as well moves the answer no more than the region of no interest",
        "alternative": f"the features go along with the {slot}, and the model reads it elsewhere",
        "discovery": swap_pairs(setting, node.name, others, "seen", DISCOVERY_PAIRS),
        "arms": _halved(confirming, f"other {slot}s put in"),
    }


def _word(node: Named, setting: Setting) -> Iterator[dict[str, Any]]:
    yield {
        "what": "needed",
        "mode": "ablate",
        "direction": "positive",
        "statement": f"Prompts with the word {name(node.name)} need the features named after it: without them the "
        "answer's logit falls.",
        "refuted_if": "without them the answer's logit stays",
        "alternative": "the features fire at the word, and nothing that matters reads them",
        "discovery": word_pairs(setting, node.name, PHASES[0], DISCOVERY_PAIRS),
        "arms": _halved(word_pairs(setting, node.name, PHASES[1], 2 * PAIRS_OF_AN_ARM), "prompts with the word"),
    }
    others = (word_pairs(setting, node.name, phase, PAIRS_OF_ABSENCE, stands=False) for phase in PHASES)
    yield _spared(node, "answers to prompts without the word", *others)


def _spared(node: Named, other: str, discovery: Sequence[PairArgs], confirming: Sequence[PairArgs]) -> dict[str, Any]:
    """That the group does nothing where its name says nothing."""
    return {
        "what": "nothing else",
        "mode": "ablate",
        "direction": "none",
        "statement": f"The features named {name(node.name)} serve nothing else: without them the logits of "
        f"{other} stay.",
        "refuted_if": f"without them the logits of {other} fall, too",
        "alternative": "the features serve whatever is said",
        "discovery": discovery,
        "arms": _halved(confirming, other),
    }


def _relation(node: Named, word: str, setting: Setting) -> Iterator[dict[str, Any]]:
    yield {
        "what": "needed",
        "mode": "ablate",
        "direction": "positive",
        "statement": f"The features named {name(node.name)} serve the relation: without them the logits of "
        "its answers fall.",
        "refuted_if": "without them the answers' logits stay",
        "alternative": f"the features fire on texts about {name(word)}, and nothing that matters reads them",
        "discovery": relation_pairs(setting, PHASES[0], DISCOVERY_PAIRS),
        "arms": _halved(relation_pairs(setting, PHASES[1], 2 * PAIRS_OF_AN_ARM), "prompts of the relation"),
    }
    others = (relation_pairs(setting, phase, PAIRS_OF_ABSENCE, asked=False) for phase in PHASES)
    yield _spared(node, "answers to other relations", *others)


def _say(node: Named, word: str, setting: Setting) -> Iterator[dict[str, Any]]:
    yield {
        "what": "said",
        "mode": "ablate",
        "direction": "positive",
        "statement": f"Where {name(word)} comes next, the features named {name(node.name)} bring it: without them its "
        "logit falls.",
        "refuted_if": "without them its logit stays",
        "alternative": "the features fire before the word, and nothing that matters reads them",
        "discovery": say_pairs(setting, word, PHASES[0], DISCOVERY_PAIRS),
        "arms": _halved(say_pairs(setting, word, PHASES[1], 2 * PAIRS_OF_AN_ARM), "texts cut off before it"),
    }
    others = (other_answers(setting, word, phase, PAIRS_OF_ABSENCE) for phase in PHASES)
    yield _spared(node, "other answers", *others)


def _halved(pairs: Sequence[PairArgs], what: str) -> dict[str, tuple[PairArgs, ...]]:
    """Two families that share no entity, each of which has to show the effect on its own.

    One family, which limits the tier of a claim, where there are too few pairs for two.
    """
    halves = _halves(pairs)
    names = (what,) if len(halves) == 1 else (f"{what}, one half", f"{what}, other half")
    families = {name: tuple(pairs[i] for i in mine) for name, mine in zip(names, halves, strict=True)}
    return {family: mine for family, mine in families.items() if len(mine) >= FEWEST_PAIRS}


def _halves(pairs: Sequence[PairArgs]) -> list[list[int]]:
    """Places of the pairs of every other entity, and of the rest; all in one where either would be too few."""
    kinds = sorted({pair["cluster"] for pair in pairs})
    halves = [[i for i, pair in enumerate(pairs) if pair["cluster"] in kinds[part::2]] for part in (0, 1)]
    return halves if all(len(mine) >= FEWEST_PAIRS for mine in halves) else [[*range(len(pairs))]]
