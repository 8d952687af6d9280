"""What is said of an answer that was asked about, and of words that might trigger another: with claims and without."""

from collections.abc import Iterator

from ..headlines import headline
from ..report.schema import Sentence
from . import _answer_question as asking
from ._plain import effect_of, name, number, say, share
from .interface import JudgedClaim, View
from .reading import TAKING_PAIRS


def premise(view: View) -> Sentence:
    """What the question presumes, which is nothing, and what was asked of the model."""
    if view.task.kind in TAKING_PAIRS:
        return say("The question presumes nothing; the model was asked both prompts of each pair.")
    asked = view.results.get(asking.ASKED)
    if asked is None:
        return say("The question presumes nothing.")
    answered = share(asked.id, "accuracy")
    if asking.is_asked(view) is False:
        return say(
            "The premise does not hold: a word can be seen to turn answers where prompts of several kinds are answered "
            f"as expected, and the model so answers {answered}.",
            f"The words could not be tried: {name(view.failed[asking.SCAN])}." if asking.SCAN in view.failed else "",
        )
    return say(
        f"The question presumes nothing; of prompts of every kind the model answers {answered} as expected, and those "
        "were used."
    )


def answer(view: View, claims: tuple[JudgedClaim, ...]) -> Iterator[Sentence]:
    """The sentences of the answer."""
    scan = view.results.get(asking.SCAN)
    if scan is not None:
        yield headline(scan)
        if not claims:
            yield say(
                "No word turned more than half of the prompts to one answer, which is what would make it a trigger."
            )
    for claim in claims:
        yield from _of(claim, view)


def _of(claim: JudgedClaim, view: View) -> Iterator[Sentence]:
    judged = claim.judgement
    effect = effect_of(claim)
    held = share(claim.id, "judgement.moved_share")
    about = claim.proposal.hypothesis.statement
    seen = {"trigger": "prompts turned", "": "pairs lean to one word here and to the other there"}
    what = f"of held-out {seen.get(view.task.kind, seen[''])}"
    if judged.verdict == "supported":
        yield say(f"{about.rstrip('.')}; {held} {what} (effect {effect}).")
    elif judged.verdict == "refuted":
        yield say(f"{_that(about)} is refuted (effect {effect}).")
    else:
        yield say(f"{_that(about)} is neither shown nor excluded (effect {effect}).")


def _that(statement: str) -> str:
    return f"That {statement[0].lower()}{statement[1:].rstrip('.')}"


def not_found(view: View) -> Iterator[Sentence]:
    """What a scan over words did not look at."""
    scan = view.results.get(asking.SCAN)
    if scan is None:
        return
    if scan.result["n_tried"] < scan.result["n_words"]:
        yield say(
            "Only",
            number(scan.id, "n_tried", "d"),
            "of",
            number(scan.id, "n_words", "d"),
            "words were tried, drawn at random.",
        )
    yield say(
        "Triggers of several words, of signs, or at other places than the front and the middle were not looked for."
    )
