"""The words and rows of a comparison, the same on its page, in its summary and in the terminal.

Its figures stand in tables beside the claim, in the report of B, that they are read from; prose names no figure but
those of a gate or a verdict, which that claim shows too.
"""

import shlex
from collections.abc import Sequence

from ..comparing.results import (
    FLAGGED,
    BehaviourAgain,
    CircuitAgain,
    ClaimAgain,
    Compared,
    Label,
    LinkAgain,
    WeightsCompared,
    counts,
)

BADGES: dict[Label, str] = {
    "held": "supported",
    "newly supported": "supported",
    "weakened": "refuted",
    "moved": "refuted",
    "broke": "refuted",
    "newly refuted": "inconclusive",
    "undecided": "inconclusive",
}
CLAIMS = ("claim of A", "on B it", "about", "gap in nats", "effect on A", "effect on B", "A less B", "claim of B")
ASKED = ("asked", "prompts", "right on A", "right on B", "probability on A", "on B")
LINKS = ("from", "to", "effect on A", "effect on B")
GROUPS = ("weights", "relative change", "cosine", "entries changed", "rank (99 %)", "largest 1", "largest 8")
LOST = ("prompt", "A answers", "B answers", "its probability on A", "on B")
BESIDE = ("about", "in A's run", "in B's run", "")
SPACE = "(a space)"
OTHER_GAP = 2.0  # times: from here on a gap is said to be another
MOST_LOST, MOST_LINKS, MOST_GROUPS = 12, 40, 40
RANKS = (
    "Relative change: Frobenius norm of the difference over that of A's weights. Rank: fewest singular values that "
    "hold 99 % of the difference's energy; a low-rank edit, as LoRA or ROME make, has few. Largest: share of the "
    "energy in the largest singular value, and in the eight largest."
)

Row = Sequence[str]


def headline(whole: Compared) -> str:
    """The comparison in a sentence or two."""
    retested = whole.retested
    n = len(retested.claims)
    told = f"{n} claim{'s' * (n != 1)}: " + ", ".join(f"{one.n} {one.label}" for one in counts(retested)) + "."
    gone = sum(one.gone for one in retested.behaviours)
    if gone:
        told += f" What {gone} question{'s' * (gone != 1)} took for granted is gone: B does not answer that any more."
    if fell := sum(one.fell and not one.gone for one in retested.behaviours):
        told += f" Of {fell} set{'s' * (fell != 1)} of prompts B answers surely fewer right."
    return told


def claim_row(one: ClaimAgain) -> tuple[str, str, str, str, str, str, str, str]:
    """A claim as a line of the table."""
    a, b, less = one.earlier, one.judgement, one.less
    return (
        a.id,
        label_of(one),
        a.place,
        _gaps(one),
        interval(a.effect, a.low, a.high),
        interval(b.effect, b.low, b.high) if b else "–",
        interval(less.mean, less.low, less.high) if less else "–",
        one.claim or "–",
    )


def _gaps(one: ClaimAgain) -> str:
    """What the effects are shares of, on A and on B."""
    gaps = ("–" if gap is None else f"{gap:z.1f}" for gap in (one.gap_a, one.gap_b))
    return " → ".join(gaps)


def label_of(one: ClaimAgain) -> str:
    """Its label, and why where it broke or weakened for want of the behaviour."""
    if one.cause != "behaviour":
        return one.label
    return f"{one.label}: the behaviour is {'gone' if one.label == 'broke' else 'rarer'}"


def _has_other_gap(one: ClaimAgain) -> bool:
    if one.gap_a is None or one.gap_b is None:
        return False
    least, most = sorted((one.gap_a, one.gap_b))
    return least <= 0 or most > OTHER_GAP * least


def reason_of(one: ClaimAgain) -> str:
    """Why it has its label; and that its gap is another, where a share of it no longer stands for as much."""
    if not _has_other_gap(one):
        return one.reason
    other = f"The gap is {one.gap_a:.3g} nats on A and {one.gap_b:.3g} on B, so equal shares of it are unequal effects."
    return f"{one.reason} {other}"


def interval(mean: float, low: float | None, high: float | None) -> str:
    """An effect with its interval."""
    return f"{mean:z.2f}" if low is None or high is None else f"{mean:z.2f} ({low:z.2f} to {high:z.2f})"


def worth_saying(whole: Compared) -> tuple[ClaimAgain, ...]:
    """Claims that a reader has to hear more of than a line of a table; what stops a release first."""
    told = [
        one
        for one in whole.retested.claims
        if one.label not in ("held", "unchanged") or (one.label == "held" and _has_other_gap(one))
    ]
    return tuple(sorted(told, key=lambda one: one.label not in FLAGGED))


def asked_row(one: BehaviourAgain) -> Row:
    """A set of prompts as a line of the table."""
    if not one.measurement_b:
        return (one.why, str(one.n), str(one.right_a), "cannot be asked", f"{one.probability_a:.2f}", "–")
    right = f"{one.right_b}{' (gone)' if one.gone else ' (fewer)' * one.fell}"
    return (one.why, str(one.n), str(one.right_a), right, f"{one.probability_a:.2f}", f"{one.probability_b:.2f}")


def circuit_told(one: CircuitAgain) -> str:
    """Both circuits in a sentence."""
    if not one.measurement_b:
        return f"It could not be searched on B: {one.problem}"
    both, a, b = (len(one.of(side)) for side in ("both", "a", "b"))
    said = f"{both} links in both circuits, {a} only in A's, {b} only in B's."
    return f"{said} Searched on exploration's prompts: seen, not confirmed."


def link_row(one: LinkAgain) -> Row:
    """A link as a line of the table."""
    return (one.source, one.slot, *("–" if side is None else f"{side:.2f}" for side in (one.a, one.b)))


def group_rows(weights: WeightsCompared) -> list[Row]:
    """Groups of weights that differ."""
    return [
        (
            one.group,
            f"{one.relative:.3g}",
            "–" if one.cosine is None else f"{one.cosine:.4f}",
            f"{one.changed:.1%}",
            "–" if one.rank_99 is None else str(one.rank_99),
            "–" if one.top_1 is None else f"{one.top_1:.0%}",
            "–" if one.top_8 is None else f"{one.top_8:.0%}",
        )
        for one in weights.groups
    ]


def tokens_told(weights: WeightsCompared) -> str:
    """Tokens whose embeddings changed most; empty where none did."""
    if not weights.tokens:
        return ""
    named = ", ".join(f"`{one.token}` ({one.relative:.2g})" for one in weights.tokens)
    return f"{weights.n_tokens} embeddings differ; relative to their size the most: {named}."


def searched(one: ClaimAgain) -> str:
    """Where else a claim was looked for."""
    tried = ", ".join(f"{other.place} ({other.judgement.verdict}, {other.claim})" for other in one.elsewhere)
    return f"{one.looked_at} other places were searched; tested: {tried or 'none, as no other does enough more'}."


def lost_rows(asked: Sequence[BehaviourAgain]) -> list[tuple[str, str, str, float, float]]:
    """Prompts that are answered otherwise now, each once: prompt, both answers, both probabilities of A's."""
    lost = [
        (one.prompt, one.answer, one.now.strip() or SPACE, one.before, one.after)
        for asked in asked
        for one in asked.lost
    ]
    return list(dict.fromkeys(lost))


def first(most: int, n: int) -> str:
    """What is said where not all rows are shown."""
    return f" (first {most} of {n}; all are in comparison.json)" if n > most else ""


def tests_told(whole: Compared) -> str:
    """How many tests count together."""
    n = whole.retested.n_tests
    return f"{n} test{'s were' if n != 1 else ' was'} counted."


def verify_commands(whole: Compared, folder: str = "", home: str = "") -> tuple[str, ...]:
    """What measures every figure again.

    Args:
        folder: of the comparison, where it lies elsewhere than under the home folder.
        home: folder of runs, where it is another than the default.
    """
    more = f" --home {shlex.quote(home)}" if home else ""
    return tuple(f"vesalius verify {shlex.quote(name)}{more}" for name in (folder or whole.name, *whole.runs))
