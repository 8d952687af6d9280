"""What became of a claim: from the verdicts on A and B, and what B lost of it, to one word.

By code and by fixed rules, like the verdicts themselves. Overlap of the two intervals is never asked: it is no test of
a difference (Gelman & Stern 2006). Nor does a difference that is not found make two effects alike: a claim has *held*
where the interval of what was lost ends below what matters (an equivalence test; Schuirmann 1987), and is *undecided*
where it does not.

A claim whose behaviour is gone is `broke` and not `not testable`: a release that no longer gives the answer has lost
what the claim explained, and whoever stops a release for a broken claim wants to be stopped there too. `cause` tells
the two apart. A behaviour is gone where B shows it no better than chance, or where it surely answers fewer of the
claim's prompts right than A, and fewer than half. Effects are shares of what is left of the behaviour, so without this
rule a claim about the few prompts that B still answers would count as held.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ...tools import NO_GAP
from .._evidence import Judgement, Prediction, Verdict
from .._gates import FALSE_DISCOVERY_RATE, MAJORITY, span
from .differences import Corrected, Loss
from .results import Cause, Elsewhere, Label

MOST = 0.8  # of the loss, that a place to which a claim moved makes up for
GONE = 0.5  # of the effect on A, that is lost where a claim has moved: of a place that keeps more it is shared
FEWER = 0.1  # share of the prompts: that many fewer right answers matter


class Labelled(NamedTuple):
    """What became of a claim, and why."""

    label: Label
    cause: Cause
    reason: str


def surely_lost(found: Corrected | None) -> bool:
    """Whether something is less on B beyond chance, be it ever so little."""
    if found is None:
        return False
    low = found.found.interval.low
    return found.q <= FALSE_DISCOVERY_RATE and low is not None and low > 0


def is_less(prediction: Prediction, loss: Loss) -> bool:
    """Whether the effect is less on B by more than what matters, and beyond chance."""
    found = loss.effect
    if found is None or prediction.direction != "positive":
        return False
    return surely_lost(found) and found.found.interval.mean > prediction.smallest_effect


def behaviour_is_gone(judged: Judgement | None, failed: str, loss: Loss) -> str:
    """Why B does not answer as the claim's prompts say; empty where it does."""
    if judged is None:
        return failed if NO_GAP in failed else ""
    if gate := next((gate for gate in judged.gates if gate.name == "behaviour" and gate.outcome == "fail"), None):
        return gate.reason
    n, before, after = loss.right
    if surely_lost(loss.answers) and after < MAJORITY * n:
        return f"Of {n} prompts B answers {after} right, and A {before}."
    return ""


def label_of(
    verdict: Verdict,
    prediction: Prediction,
    judged: Judgement | None,
    failed: str,
    loss: Loss,
    effect: float,
    elsewhere: Sequence[Elsewhere] = (),
) -> Labelled:
    """What became of a claim.

    Args:
        verdict: on A.
        prediction: as it was sealed for A.
        judged: on B; none where no arm ran.
        failed: why none did.
        loss: what B lost of it.
        effect: on A (share of the gap).
        elsewhere: other places at which the same was tested on B.
    """
    if verdict != "supported":
        return _of_unsupported(verdict, judged, failed)
    if gone := behaviour_is_gone(judged, failed, loss):
        return Labelled("broke", "behaviour", f"The behaviour is gone. {gone}")
    if judged is None:
        return Labelled("not testable", "", failed)
    if prediction.direction == "none":
        found = _of_absence(judged)
    else:
        found = _of_effect(prediction, judged, loss, effect, elsewhere)
    return _with_answers(found, loss)


def _with_answers(found: Labelled, loss: Loss) -> Labelled:
    """A behaviour that is surely rarer weakens a claim about it, however well the rest of it is carried."""
    if loss.answers is None or not surely_lost(loss.answers) or loss.answers.found.interval.mean <= FEWER:
        return found
    n, before, after = loss.right
    rarer = f"Of {n} prompts B answers {after} right, and A {before}."
    if found.label in ("held", "undecided"):
        return Labelled("weakened", "behaviour", f"{rarer} As to its effect: {found.reason}")
    return found._replace(reason=f"{found.reason} {rarer}")


def _of_absence(judged: Judgement) -> Labelled:
    if judged.verdict == "refuted":
        return Labelled("broke", "mechanism", f"An effect is there now. {judged.reason}")
    return Labelled("held" if judged.verdict == "supported" else "undecided", "", judged.reason)


def _of_effect(
    prediction: Prediction, judged: Judgement, loss: Loss, effect: float, elsewhere: Sequence[Elsewhere]
) -> Labelled:
    less = is_less(prediction, loss)
    gone = judged.verdict == "refuted" and surely_lost(loss.effect)
    there = [one for one in elsewhere if one.judgement.verdict == "supported"]
    moved = [one for one in there if one.made_up >= MOST]
    lost = loss.effect.found.interval.mean if loss.effect else 0.0
    if moved and (gone or (less and lost >= GONE * effect)):
        return Labelled("moved", "mechanism", f"Now at {_named(moved)}. At its old place: {judged.reason}")
    instead = f" Part of it is made up for at {_named(there)}." if there else ""
    if judged.verdict == "supported":
        if less:
            return Labelled("weakened", "", judged.reason + instead)
        return _held(prediction, judged, loss)
    if gone:
        return Labelled("broke", "mechanism", judged.reason + instead)
    if less:
        return Labelled("weakened", "", f"What is left of it is undecided. {judged.reason}{instead}")
    if judged.verdict == "refuted":
        return Labelled("undecided", "", f"Refuted on B, but it is not surely less than on A. {judged.reason}")
    return Labelled("undecided", "", judged.reason)


def _held(prediction: Prediction, judged: Judgement, loss: Loss) -> Labelled:
    """Supported on B too: held where what was lost is surely too little to matter."""
    if loss.effect is None:
        return Labelled("undecided", "", f"Supported on B too, on other prompts than on A alone. {judged.reason}")
    (interval, *_), _, smallest = loss.effect
    bar = prediction.smallest_effect
    if interval.high is not None and interval.high < bar:
        return Labelled("held", "", judged.reason)
    why = (
        f"Whether it is less on B is open: it lost {interval.mean:.3g}, interval {span(interval)}, and {bar:g} matters."
    )
    if smallest > FALSE_DISCOVERY_RATE:
        why += f" Too few clusters: {interval.n_clusters} reach no q below {smallest:.2g}."
    return Labelled("undecided", "", f"{why} {judged.reason}")


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
