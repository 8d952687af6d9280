"""What became of a claim: from the verdicts on A and B, and the difference between the effects, to one word.

By code and by fixed rules, like the verdicts themselves. Whether an effect is less on B is tested pair by pair, since
the same prompts were measured on both models (a paired test is blind to what differs between prompts alone), over
clusters as everywhere, and corrected over all claims of a comparison. Overlap of the two intervals is never asked: it
is no test of a difference (Gelman & Stern 2006).

A claim whose behaviour is gone is `broke` and not `not testable`: a release that no longer gives the answer has lost
what the claim explained, and whoever stops a release for a broken claim wants to be stopped there too. `cause` tells
the two apart.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...tools import NO_GAP, canonical
from .._evidence import Judgement, Prediction, Sample, Verdict
from .._gates import FALSE_DISCOVERY_RATE
from .._statistics import Interval, benjamini_hochberg, bootstrap_interval, sign_flip
from .results import Cause, Elsewhere, Label

Pairs = Sequence[Mapping[str, object]]
MOST = 0.8  # of the loss, that a place to which a claim moved makes up for
DRAWS = 99_999  # of the sign flips: enough for a p that survives a correction over hundreds of claims


class Difference(NamedTuple):
    """How much less an effect is on B than on A."""

    interval: Interval
    p: float  # that it is not less


class Labelled(NamedTuple):
    """What became of a claim, and why."""

    label: Label
    cause: Cause
    reason: str


def difference(
    a: Mapping[str, tuple[Pairs, Sample]], b: Mapping[str, tuple[Pairs, Sample]], seed: int
) -> Difference | None:
    """The effect on A less the effect on B over the pairs of prompts that both were measured on.

    Args:
        a: by counterfactual family, the pairs and what was measured on them.
        b: the same of B; pairs may be missing, and are matched by what they say.
    """
    effects: list[float] = []
    clusters: list[str] = []
    for family in a.keys() & b.keys():
        (ours, before), (theirs, after) = a[family], b[family]
        found = {canonical(pair): effect for pair, effect in zip(theirs, after.effects, strict=True)}
        for pair, effect, cluster in zip(ours, before.effects, before.clusters, strict=True):
            if (other := found.get(canonical(pair))) is not None:
                effects.append(effect - other)
                clusters.append(cluster)
    if not effects:
        return None
    return Difference(
        interval=bootstrap_interval(effects, clusters, seed=seed),
        p=sign_flip(effects, clusters, seed=seed, draws=DRAWS).p,
    )


def corrected(differences: Sequence[Difference | None]) -> list[float | None]:
    """The q of each difference among all of a comparison."""
    there = [one.p for one in differences if one is not None]
    found = iter(benjamini_hochberg(there) if there else ())
    return [None if one is None else next(found) for one in differences]


def is_less(prediction: Prediction, found: Difference | None, q: float | None) -> bool:
    """Whether the effect is less on B by more than what matters, and beyond chance."""
    if found is None or q is None or prediction.direction != "positive":
        return False
    low = found.interval.low
    beyond_chance = q <= FALSE_DISCOVERY_RATE and low is not None and low > 0
    return beyond_chance and found.interval.mean > prediction.smallest_effect


def behaviour_is_gone(judged: Judgement | None, failed: str) -> bool:
    """Whether B does not answer as the claim's prompts say."""
    if judged is None:
        return NO_GAP in failed
    return any(gate.name == "behaviour" and gate.outcome == "fail" for gate in judged.gates)


def label_of(
    verdict: Verdict,
    prediction: Prediction,
    judged: Judgement | None,
    failed: str,
    less: bool,
    elsewhere: Sequence[Elsewhere] = (),
) -> Labelled:
    """What became of a claim.

    Args:
        verdict: on A.
        prediction: as it was sealed for A.
        judged: on B; none where no arm ran.
        failed: why none did.
        less: whether the effect is surely less on B.
        elsewhere: other places at which the same was tested on B.
    """
    if verdict != "supported":
        return _of_unsupported(verdict, judged, failed)
    if behaviour_is_gone(judged, failed):
        gate = next((g.reason for g in judged.gates if g.name == "behaviour"), "") if judged else failed
        return Labelled("broke", "behaviour", f"The behaviour is gone. {gate}")
    if judged is None:
        return Labelled("not testable", "", failed)
    gone = judged.verdict == "refuted"
    if prediction.direction == "none":
        if gone:
            return Labelled("broke", "mechanism", f"An effect is there now. {judged.reason}")
        return Labelled("held" if judged.verdict == "supported" else "undecided", "", judged.reason)
    there = [one for one in elsewhere if one.judgement.verdict == "supported"]
    moved = [one for one in there if one.made_up >= MOST]
    if moved and (gone or less):
        return Labelled("moved", "mechanism", f"Now at {_named(moved)}. At its old place: {judged.reason}")
    instead = f" Part of it is made up for at {_named(there)}." if there else ""
    if judged.verdict == "supported":
        return Labelled("weakened" if less else "held", "", judged.reason + instead)
    if gone:
        return Labelled("broke", "mechanism", judged.reason + instead)
    if less:
        return Labelled("weakened", "", f"What is left of it is undecided. {judged.reason}{instead}")
    return Labelled("undecided", "", judged.reason)


def _named(places: Sequence[Elsewhere]) -> str:
    return ", ".join(f"`{one.place}` ({one.claim})" for one in places)


def _of_unsupported(verdict: Verdict, judged: Judgement | None, failed: str) -> Labelled:
    """A claim that A's own report does not support."""
    if judged is None:
        return Labelled("not testable", "", failed)
    if judged.verdict == verdict:
        return Labelled("unchanged", "", judged.reason)
    if judged.verdict == "supported":
        return Labelled("newly supported", "", "Supported on B, though not on A.")
    return Labelled("newly refuted" if judged.verdict == "refuted" else "undecided", "", judged.reason)
