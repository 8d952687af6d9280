"""What earlier runs found that bears on some words: hints, each with its run, and never evidence here."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...memory import ClaimRecord, FeatureCard, Hit, Kind, Only, RememberError, weights_of
from ..console import TEXT
from ..planners.interface import SubjectCard
from ..recalling import contradicted
from ..report._text import cut, visible
from .turns import Line

if TYPE_CHECKING:
    from ...memory import Memory

SHOWN: dict[Kind, int] = {"claims": 6, "feature_cards": 4}
NEAR = 0.25  # cosine; lower than for what a planner is told unasked, since a person reads what it is about
HINT = "Hints from earlier runs on these weights and this dictionary; none is evidence until it is tested anew:"


def remembered(words: str, card: SubjectCard, open_memory: "Callable[[], Memory] | None") -> Iterator[Line]:
    """Findings about these very weights, nearest first, and of which runs what is known no longer holds of them."""
    if open_memory is None:
        yield Line(text="The memory is switched off (--no-memory).")
        return
    dictionaries = () if card.dictionary_digest is None else (card.dictionary_digest,)
    try:
        with open_memory() as memory:
            recalled = [memory.recall(words, card.key, kind, most, dictionaries) for kind, most in SHOWN.items()]
            against = contradicted(memory.contradictions(Only(model=weights_of(card.key))))
    except RememberError as error:
        yield Line(text=f"The memory could not be read: {visible(str(error))}", style="yellow")
        return
    found = [hit for one in recalled for hit in one.same_weights if hit.similarity >= NEAR]
    if not found:
        yield Line(text=f"Nothing is remembered of these weights that is about {visible(words)!r}.")
    else:
        yield Line(text=HINT, style="bold")
    for hit in found:
        yield Line(text=f"run {visible(hit.record.run)} found: {cut(_told(hit))}", indent=TEXT)
        if others := {visible(other.run) for other in against.get(hit.id, ())}:
            yield Line(text=f"contradicted by run {', '.join(sorted(others))}", indent=2 * TEXT, style="yellow")
    stale = dict.fromkeys(visible(hit.record.run) for one in recalled for hit in one.stale if hit.similarity >= NEAR)
    if stale:
        text = f"Not used, because the weights or the dictionary have changed since: findings of {', '.join(stale)}."
        yield Line(text=text, style="yellow")


def _told(hit: Hit) -> str:
    record = hit.record
    if isinstance(record, FeatureCard):
        return record.told
    said = record.text if isinstance(record, ClaimRecord) else record.statement
    return f"{record.verdict}, {record.tier}: {said}"
