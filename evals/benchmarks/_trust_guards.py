"""What each guard buys: the same investigations, judged again as if one guard were not there.

The product has no switch for a guard. So evidence stays as it was gathered, and a verdict is read again from the gates
that the judge wrote down, one of them passed over. Only what is held out takes another investigation: one that confirms
on the prompts it looked at. All of it is done to a planner that minds nothing itself (`_trust_planner.py`), on models
where nothing is to be found and on circuits that are known.

| guard | switched off |
| --- | --- |
| `behaviour` | a claim stands though the model does not do what the question presumes |
| `random_draws`, `twin` | though directions, or weights, drawn at random do as much; `controls`: both |
| `correction` | at p of at most 0.05, however many places were looked at |
| `smallest_effect` | though the effect may be as small as you like, as long as its interval lies above 0 |
| `replication` | though the effect is not half of what was seen before, p not below 0.01, or families differ |
| `held_out` | confirmed on the prompts it was found on |

Guards stand in for one another, so taking one away may show nothing. The ladder shows them the other way round: it
begins with whatever moved the answer and adds one after the other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ...agent._evidence import Gate, Judgement
from ...agent._gates import FALSE_DISCOVERY_RATE
from ...agent.judge import FEWEST_CLUSTERS, MAY_BE_MISSING
from ._trust_runs import Said, Trial

GATES_OF: Mapping[str, frozenset[str]] = {  # what a guard's absence passes over, whatever came out there
    "behaviour": frozenset({"behaviour"}),
    "random_draws": frozenset({"random_draws"}),
    "twin": frozenset({"twin"}),
    "controls": frozenset({"random_draws", "twin", "shuffled_labels"}),
    "correction": frozenset(),
    "smallest_effect": frozenset(),
    "replication": frozenset({"replication", "families"}),
    "significance": frozenset({"permutation", "bound"}),
}
HELD_OUT = "held_out"
GUARDS = ("behaviour", "random_draws", "twin", "controls", "correction", "smallest_effect", "replication", HELD_OUT)
LADDER = ("significance", "correction", "smallest_effect", "behaviour", "controls", "replication")  # one upon the other


@dataclass(frozen=True)
class Judged:
    """One question asked by the planner that believes, with what is held out and without."""

    planted: bool
    trial: Trial
    same_prompts: Trial

    def said(self, off: Collection[str]) -> tuple[Said, ...]:
        """What was sealed, in the investigation that the absence of these guards is read from."""
        return self.same_prompts.said if HELD_OUT in off else self.trial.said


def stands(judgement: Judgement, off: Collection[str] = ()) -> bool:
    """Whether a positive claim would have been supported without some guards."""
    ignored = frozenset[str]().union(*(GATES_OF.get(guard, frozenset()) for guard in off))
    few = judgement.n_clusters < FEWEST_CLUSTERS and "significance" not in off
    return (
        judgement.effect > 0 and not few and all(_lets_pass(judgement, gate, off, ignored) for gate in judgement.gates)
    )


def _lets_pass(judgement: Judgement, gate: Gate, off: Collection[str], ignored: Collection[str]) -> bool:
    if gate.outcome == "pass" or gate.name in ignored:
        return True
    if gate.name in MAY_BE_MISSING:
        return gate.outcome == "not_evaluated"
    if gate.name == "permutation" and "correction" in off:
        return judgement.p <= FALSE_DISCOVERY_RATE
    return gate.name == "bound" and "smallest_effect" in off and judgement.low is not None and judgement.low > 0


def refuse_other_reading(said: Sequence[Said]) -> None:
    """Stop where verdicts are not what their gates say: then this file reads them wrongly."""
    for one in said:
        if one.prediction.direction == "positive":
            read = stands(one.judgement)
            assert read == one.supported, f"{one.place}: {one.judgement.verdict}, but read as {read}"


def any_false(judged: Judged, off: Collection[str] = ()) -> bool:
    """Whether a false claim would have stood."""
    return any(one.false and stands(one.judgement, off) for one in judged.said(off))


def all_true(judged: Judged, off: Collection[str] = ()) -> bool:
    """Whether every true place that was proposed would have been claimed, at least one, and no false one."""
    true = [one for one in judged.said(off) if not one.false]
    return bool(true) and all(stands(one.judgement, off) for one in true) and not any_false(judged, off)
