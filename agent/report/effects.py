"""A claim's effect in words: with its interval, and the share of answers that moved."""

from ..planners._plain import number, say, share
from ._sentence import Reference, Sentence
from .figures import Lookup, figure_text
from .schema import Claim


def measured(claim: Claim) -> Sentence:
    """The effect as part of a sentence, every figure a reference."""
    judged = claim.judgement
    parts = [f"effect {number(claim.id, 'judgement.effect')}"]
    if judged.low is not None and judged.high is not None:
        parts.append(f"interval {number(claim.id, 'judgement.low')} to {number(claim.id, 'judgement.high')}")
    parts.append(f"answers moved {share(claim.id, 'judgement.moved_share')}")
    return say(", ".join(parts))


def effect_cell(claim: Claim, lookup: Lookup) -> str:
    """The effect with its interval, for a table: no citation, since the table has a column of measurements."""
    effect, low, high = (
        figure_text(Reference(claim.id, f"judgement.{name}", ".2f"), lookup)
        if getattr(claim.judgement, name) is not None
        else ""
        for name in ("effect", "low", "high")
    )
    return f"{effect} ({low} to {high})" if low and high else effect
