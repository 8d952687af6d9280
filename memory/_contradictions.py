"""Claims of different runs that cannot both be true, found from what they were tested by and never from their words.

Claims are compared where the weights, the behaviour, the place and what was done there are the same, and with them
either the kind of statement or the leading counterfactual. An effect that was refuted and an absence that held agree.
Two effects that both held still exclude each other where their intervals do, by the same counterfactuals; two
absences do not, for both say no more than that nothing there matters.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from pydantic import Field

from ..tools import Frozen
from ._records import ClaimRecord, Trial, weights_of

Why = Literal["opposite verdicts", "intervals that exclude each other"]


class Contradiction(Frozen):
    """Claims about one thing, on two sides."""

    why: Why = Field(description="What the sides disagree about.")
    tested: Trial = Field(description="What both sides tested, as the first claim has it.")
    one: tuple[ClaimRecord, ...] = Field(min_length=1, description="Those with an effect, or with the larger one.")
    other: tuple[ClaimRecord, ...] = Field(min_length=1, description="Those without, or with the smaller one.")


class Comparison(Frozen):
    """What comparing all claims found."""

    contradictions: tuple[Contradiction, ...] = Field(description="By place; those about verdicts first.")
    compared: int = Field(description="Claims with a verdict that could be compared (count).")
    undecided: int = Field(description="Inconclusive claims, which contradict nothing (count).")
    not_comparable: int = Field(description="Claims that do not say what tested them: written before it was kept.")


def compare(claims: Iterable[ClaimRecord]) -> Comparison:
    """Find every contradiction among claims."""
    groups: dict[tuple[str, ...], list[ClaimRecord]] = {}
    undecided = not_comparable = 0
    for claim in claims:
        if claim.verdict == "inconclusive":
            undecided += 1
        elif claim.tested is None:
            not_comparable += 1
        else:
            groups.setdefault(_thing(claim), []).append(claim)
    alike = [some for _, group in sorted(groups.items()) for some in _same_statement(group)]
    found = [*filter(None, map(_by_verdict, alike)), *filter(None, map(_by_size, alike))]
    return Comparison(
        contradictions=tuple(found),
        compared=sum(map(len, groups.values())),
        undecided=undecided,
        not_comparable=not_comparable,
    )


def _thing(claim: ClaimRecord) -> tuple[str, ...]:
    tested = _tested(claim)
    place = (tested.site, tested.position, tested.dictionary, *tested.features)
    return (weights_of(claim.subject), tested.behaviour, tested.intervention, *place)


def _same_statement(group: Sequence[ClaimRecord]) -> list[list[ClaimRecord]]:
    """Those that say the same kind of thing, or contrast the same prompts: an absence is set beside an effect so."""
    from networkx.utils import UnionFind  # a quarter of a second, which only a comparison is to cost

    joined = UnionFind()
    for claim in group:
        tested = _tested(claim)
        joined.union(_kind(tested), f"by {tested.families[0]}")
    parts: dict[str, list[ClaimRecord]] = {}
    for claim in sorted(group, key=lambda claim: (claim.run, claim.id)):  # the same whatever the store's order
        parts.setdefault(joined[_kind(_tested(claim))], []).append(claim)
    return [parts[name] for name in sorted(parts)]


def _kind(tested: Trial) -> str:
    return f"{tested.kind}, {tested.predicts}"


def signs(claim: ClaimRecord) -> frozenset[int]:
    """What a decided claim leaves possible: a positive effect that matters (1), none (0), a negative one (-1)."""
    held = claim.verdict == "supported"
    if _tested(claim).predicts == "effect":
        return frozenset({1} if held else {0, -1})
    if held:
        return frozenset({0})
    low, high = claim.interval or (-1.0, 1.0)
    return frozenset({1} if low > 0 else {-1} if high < 0 else {1, -1})


def _by_verdict(claims: Sequence[ClaimRecord]) -> Contradiction | None:
    return _opposed("opposite verdicts", claims, _leave_nothing)


def _leave_nothing(one: ClaimRecord, other: ClaimRecord) -> bool:
    """Whether nothing is possible if both are true, the first being the one with more of an effect."""
    here, there = signs(one), signs(other)
    return not here & there and max(here) > max(there)


def _by_size(claims: Sequence[ClaimRecord]) -> Contradiction | None:
    sized = [claim for claim in claims if signs(claim) == {1} and claim.verdict == "supported" and claim.interval]
    return _opposed("intervals that exclude each other", sized, _lies_above)


def _lies_above(one: ClaimRecord, other: ClaimRecord) -> bool:
    assert one.interval is not None
    assert other.interval is not None
    same = set(_tested(one).families) == set(_tested(other).families)
    return same and one.interval[0] > other.interval[1]


def _opposed(
    why: Why, claims: Sequence[ClaimRecord], against: Callable[[ClaimRecord, ClaimRecord], bool]
) -> Contradiction | None:
    """Those that stand against one of another run; what a run says of itself is the run's to settle."""
    one = [a for a in claims if any(a.run != b.run and against(a, b) for b in claims)]
    other = [b for b in claims if any(a.run != b.run and against(a, b) for a in one)]
    if not one:
        return None
    return Contradiction(why=why, tested=_tested(one[0]), one=tuple(one), other=tuple(other))


def _tested(claim: ClaimRecord) -> Trial:
    assert claim.tested is not None, claim.id
    return claim.tested
