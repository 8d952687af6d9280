"""The claims of two runs side by side: which predictions are the same, and what became of them, by fixed rules.

Two claims match where they predict the same: the same kind of claim and direction, the same tool, sites (or features),
positions and parts taken out, written in the same way. Prompts, their number and seeds need not be the same, and it is
said where they are. A verdict counts before a tier, and a tier and an effect are told apart: evidence can be weaker
where the effect is not.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ...tools import Frozen
from .._attempts import TIERS, WEAKER, is_broken, tier_of
from .._evidence import Arm, Tier, Verdict
from ..report._text import cut
from ..report.figures import Lookup, render_plain
from ..report.schema import Claim

Change = Literal["held", "weaker", "stronger", "mixed", "verdict", "not_comparable", "only_a", "only_b"]
# What an arm measures with, and not what: prompts, and how many and which controls.
PROMPTS = frozenset(
    ("pairs", "reference", "counterparts", "scale", "random_draws", "seed", "shuffle_labels", "force_dictionary")
)
RULE = (
    "Two claims are about the same where they predict the same: the same kind of claim and direction, tool, sites or "
    "features, positions and parts taken out. Prompts and seeds need not be the same."
)
OVERLAP = (
    "Whether two intervals overlap is no test: effects whose intervals overlap can differ all the same, and where both "
    "runs measured on the same prompts the two intervals are not independent."
)
WEAKER_IN_B = "The effect is weaker in B: less than half of the effect in A."
STRONGER_IN_B = "The effect is stronger in B: the effect in A is less than half of it."


class Side(Frozen):
    """A claim as one of the runs has it."""

    id: str = Field(description="Names the claim in its run.")
    sentence: str = Field(description="The claim in words its tier allows; what its figures rest on in brackets.")
    verdict: Verdict = Field(description="Of the judge, which is code.")
    tier: Tier = Field(description="How strong the evidence is, as words may tell it.")
    effect: float = Field(description="Mean effect (share of the gap).")
    low: float | None = Field(description="Lower end of its 95 % interval; none with a single cluster.")
    high: float | None = Field(description="Upper end of its 95 % interval; none with a single cluster.")
    n_pairs: int = Field(description="Pairs of prompts that the effect rests on (count).")


class Row(Frozen):
    """One prediction, with what became of it in each run."""

    place: str = Field(description="What it is about: sites or features, and positions.")
    change: Change = Field(description="What changed from A to B.")
    words: tuple[str, ...] = Field(description="The same in words.")
    overlap: bool | None = Field(
        description="Whether the intervals overlap, which is no test; none where one is missing."
    )
    shared: tuple[str, ...] = Field(description="Measurements that confirm it in both: one piece of evidence, not two.")
    same_prompts: int = Field(description="Pairs of prompts that confirm it in both (count).")
    a: Side | None = Field(description="In A; none where A does not claim it.")
    b: Side | None = Field(description="In B; none where B does not claim it.")


class Told(NamedTuple):
    """The claims of a run, with what their figures are looked up in."""

    claims: tuple[Claim, ...]
    lookup: Lookup
    confirming: frozenset[str]  # measurements that confirm something


def rows_of(a: Told, b: Told, shared: frozenset[str], same_question: bool, same_models: bool) -> Iterator[Row]:
    """Every prediction of two runs, once.

    Args:
        shared: measurements that confirm in both runs.
        same_question: whether both were asked the same.
        same_models: whether a site of one model is a site of the other.
    """
    for one, other in _matched(a.claims, b.claims, same_models):
        sides = (_side(one, a.lookup), _side(other, b.lookup))
        if one is None or other is None:
            present = one or other
            assert present is not None, "a row has a claim"
            change: Change = "only_a" if one else "only_b"
            yield _row(present, change, (_alone(change, same_models),), *sides)
            continue
        both = tuple(m for m in one.measurements if m in shared and m in other.measurements)
        prompts = len(_prompts(one) & _prompts(other))
        change, words = _change(one, other)
        if not same_question and not prompts:
            change, words = "not_comparable", ["Not comparable: another question and other prompts at the same place."]
        confirming = {m for m in one.measurements if m in a.confirming}
        confirming |= {m for m in other.measurements if m in b.confirming}
        words += _evidence(one, other, all_shared=confirming <= {*both}, shared=bool(both))
        yield _row(one, change, tuple(words), *sides, both, prompts)


def _matched(a: Sequence[Claim], b: Sequence[Claim], same_models: bool) -> Iterator[tuple[Claim | None, Claim | None]]:
    """Claims that predict the same together; two of one run that do keep their order."""
    left = [*b]
    for one in a:
        other = next((claim for claim in left if same_models and predicted(claim) == predicted(one)), None)
        if other is not None:
            left.remove(other)
        yield one, other
    yield from ((None, claim) for claim in left)


def predicted(claim: Claim) -> str:
    """What a claim predicts, without the prompts that it is tested on."""
    told = claim.prediction
    return json.dumps([told.kind, told.direction, sorted({_asks(arm) for arm in told.arms})])


def _asks(arm: Arm) -> str:
    return json.dumps([arm.tool, {k: _in_order(v) for k, v in arm.args.items() if k not in PROMPTS}], sort_keys=True)


def _in_order(value: Any) -> Any:
    """Sites, features and positions are the same in any order."""
    return sorted(value) if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value) else value


def _prompts(claim: Claim) -> set[str]:
    pairs = (pair for arm in claim.prediction.arms for pair in arm.args.get("pairs") or ())
    return {json.dumps(pair, sort_keys=True) for pair in pairs}


def _change(one: Claim, other: Claim) -> tuple[Change, list[str]]:
    """What became of a prediction, from one run to the other."""
    a, b = one.judgement, other.judgement
    words = _apart(one, other)
    if a.verdict != b.verdict:
        return "verdict", [f"Another verdict: {a.verdict} in A, {b.verdict} in B.", *words]
    signs, found = set[int](), list[str]()
    if tiers := _sign(TIERS.index(tier_of(other)) - TIERS.index(tier_of(one))):
        signs.add(tiers)
        found.append(f"The evidence is {_how(tiers)} in B: {tier_of(one)} in A, {tier_of(other)} in B.")
    if a.verdict == "supported" and one.prediction.direction == "positive" and (size := _size(a.effect, b.effect)):
        signs.add(size)
        found.append(WEAKER_IN_B if size < 0 else STRONGER_IN_B)
    change: Change = "mixed" if len(signs) > 1 else "weaker" if -1 in signs else "stronger" if signs else "held"
    how = "Held" if a.verdict == "supported" and change == "held" else "The same verdict"
    return change, [f"{how}: {a.verdict} in both.", *found, *words]


def _apart(one: Claim, other: Claim) -> list[str]:
    """In what else two claims differ that bears on their verdicts."""
    words: list[str] = []
    if one.prediction.smallest_effect != other.prediction.smallest_effect:
        words.append("The smallest effect that matters is not the same, so the verdicts are held against other bars.")
    if is_broken(one) != is_broken(other):
        words.append(f"An attempt to break it succeeded in {'A' if is_broken(one) else 'B'} only.")
    return words


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)


def _size(a: float, b: float) -> int:
    """Whether the second effect is much less than the first (-1), or the first than the second (1)."""
    return -1 if b < WEAKER * a else 1 if a < WEAKER * b else 0


def _how(sign: int) -> str:
    return "stronger" if sign > 0 else "weaker"


def _evidence(one: Claim, other: Claim, all_shared: bool, shared: bool) -> list[str]:
    """How far the evidence of two claims is one and the same."""
    if all_shared and shared:
        return ["The same measurements confirm it in both runs: one piece of evidence, not two."]
    if shared:
        return ["Some measurements that confirm it are the same in both runs: so far one piece of evidence, not two."]
    ours, theirs = _prompts(one), _prompts(other)
    if ours & theirs:
        which = "the same prompts" if ours == theirs else "some of the same prompts"
        return [f"Both were confirmed on {which}, in measurements of their own: that is not independent evidence."]
    return ["It was confirmed on other prompts in each run."]


def _alone(change: Change, same_models: bool) -> str:
    here, there = ("A", "B") if change == "only_a" else ("B", "A")
    if not same_models:
        return f"Claimed in {here}. Not comparable with any claim of {there}: the models are not the same."
    return f"Only in {here}: {there} does not predict this, which says nothing of whether it is so."


def _side(claim: Claim | None, lookup: Lookup) -> Side | None:
    if claim is None:
        return None
    judged = claim.judgement
    return Side(
        id=claim.id,
        sentence=render_plain(claim.sentence, lookup),
        verdict=judged.verdict,
        tier=tier_of(claim),
        effect=judged.effect,
        low=judged.low,
        high=judged.high,
        n_pairs=judged.n_pairs,
    )


def _row(
    about: Claim,
    change: Change,
    words: tuple[str, ...],
    a: Side | None,
    b: Side | None,
    shared: tuple[str, ...] = (),
    prompts: int = 0,
) -> Row:
    overlap = _overlap(a, b) if a and b else None
    place = place_of(about)
    return Row(place=place, change=change, words=words, overlap=overlap, shared=shared, same_prompts=prompts, a=a, b=b)


def _overlap(a: Side, b: Side) -> bool | None:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    return a.low <= b.high and b.low <= a.high


def place_of(claim: Claim) -> str:
    """What a claim is about: sites or features, positions, and parts taken out."""
    args = claim.prediction.arms[0].args
    named = [f"supernode {args['supernode']}"] if "supernode" in args else []
    named += [f"feature {args['feature']}"] if "feature" in args else []
    where = "+".join(named or map(str, args.get("sites") or ())) or claim.prediction.arms[0].tool
    at = f" at {', '.join(map(str, args['positions']))}" if args.get("positions") else ""
    without = f" without {', '.join(map(str, args['without']))}" if args.get("without") else ""
    return cut(f"{where}{at}{without}")
