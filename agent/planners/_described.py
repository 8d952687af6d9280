"""What is said of a feature that was asked about: what was measured, its name or that it has none, and why no test."""

from collections.abc import Iterator

from ...tools import Measurement
from ..headlines import headline
from ..report.schema import Sentence
from . import _feature_question
from ._plain import name, number, say, share
from .interface import View


def answer(view: View, tested: bool) -> Iterator[Sentence]:
    """The sentences before the claims, for what was read and whether it was tested."""
    found = view.results.get(_feature_question.KEY)
    if found is None:
        return
    word = _feature_question.name_of(view)
    if word is None:
        yield say(f"Feature {name(view.task.feature)} stays unnamed: {_why_unnamed(found)} So nothing was tested.")
    elif not tested:
        yield say(
            f"It may stand for {name(word)}, at which most of its strongest contexts peak; but too few prompts of the "
            "task data hold that word with another to put in its place, so that was not tested."
        )
    yield headline(found)
    yield _measured(found)


def _why_unnamed(found: Measurement) -> str:
    if not found.result["contexts"]:
        return "it fires on none of the texts."
    return (
        f"no token is the peak of more than half of its {number(found.id, 'contexts.len', 'd')} strongest contexts, "
        "which is what would name it."
    )


def _measured(found: Measurement) -> Sentence:
    return say(
        "Measured: its activation at",
        number(found.id, "n_tokens", "d"),
        "tokens of",
        number(found.id, "n_texts", "d"),
        "texts, of which it is active at",
        share(found.id, "frequency") + ", at most",
        number(found.id, "max_activation") + "; and what its write vector adds to the logits directly (observed, "
        "not tested).",
    )
