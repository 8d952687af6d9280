"""The attempts to break a claim in words: how many were made and survived, and what each came to."""

from collections import Counter

from .._attempts import Attempt, Attempted, Refuting
from ..planners._plain import name, number, say
from ._sentence import Sentence

MARKS = {"broken": "✗", "survived": "✓", "undecided": "?"}
LONGEST_WAY = 300  # characters; report.json has all


def tally(attempts: tuple[Attempt, ...]) -> str:
    """How many were made, and what they came to; plain text."""
    counts = Counter(attempt.outcome for attempt in attempts)
    told = [f"{counts[what]} {how}" for what, how in (("survived", "survived"), ("broken", "broke it")) if counts[what]]
    told += [f"{counts['undecided']} undecided"] if counts["undecided"] else []
    return f"Attempts to break it: {len(attempts)} ({', '.join(told)})."


def how_tried(refuting: Refuting) -> str:
    """Who tried, how often, and by what rule; plain text."""
    who = f"The language model {refuting.by} worded the prompts" if refuting.by else "Code took the prompts"
    cut_short = f" Not all attempts were made: {refuting.stopped}." if refuting.stopped else ""
    return (
        f"{who}, at most {refuting.most} attempts on each supported claim about a place. In each, that nothing happens "
        "at that place on other prompts was sealed before it ran, and judged by the same code: where that is "
        f"supported, the claim is broken, and told as no more than controlled.{cut_short}"
    )


def attempt_sentence(claim: str, place: int, attempt: Attempt) -> Sentence:
    """What one attempt came to.

    Args:
        claim: id of the claim.
        place: of the attempt among its attempts, from 0.
    """
    judged = attempt.judgement
    found = f"effect {number(claim, f'attempts.{place}.judgement.effect')}" if judged else ""
    if judged and judged.low is not None and judged.high is not None:
        low, high = (number(claim, f"attempts.{place}.judgement.{end}") for end in ("low", "high"))
        found += f", interval {low} to {high}"
    pairs = f", {number(claim, f'attempts.{place}.n_pairs', 'd')} pairs" if judged else ""
    why = name(attempt.reason) if attempt.outcome == "undecided" else attempt.reason.rstrip(".") + "."
    tried = f"On {_prompts(attempt)}"
    return say(f"{name(attempt.id)} {attempt.outcome}.", f"{tried}{pairs}:", why, f"({found})" if found else "")


def _prompts(attempt: Attempt) -> str:
    """Which prompts; what a language model wrote is told as its words."""
    if not attempt.way:
        return "other prompts"
    return f"prompts {name(attempt.way[:LONGEST_WAY]) if attempt.by else attempt.way}"


def broken_sentence(claim: "Attempted") -> Sentence:
    """For the answer: that a claim does not hold on all prompts, however it is worded."""
    place, attempt = next((i, one) for i, one in enumerate(claim.attempts) if one.outcome == "broken")
    identity = attempt.id.partition(".")[0]
    return say(
        f"But claim {name(identity)} does not hold on all prompts: on {_prompts(attempt)} it was broken",
        f"(effect {number(identity, f'attempts.{place}.judgement.effect')}). So it is told as no more than controlled.",
    )
