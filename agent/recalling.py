"""What earlier runs found that bears on a question: about these very weights, and near enough to it to matter."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..memory import AnyRecord, ClaimRecord, FeatureCard, Hit, Kind, Only, RememberError, weights_of
from .planners.interface import Recalled, SubjectCard

if TYPE_CHECKING:
    from ..memory import Comparison, Memory

RECALLED: dict[Kind, int] = {"claims": 6, "feature_cards": 24}  # findings that a planner is shown at most
RELATED = 0.5  # cosine from which a finding is about the question


def findings_about(
    question: str, card: SubjectCard, open_memory: "Callable[[], Memory] | None"
) -> tuple[list[Recalled], str]:
    """Findings that hold of these weights and their dictionary as they are now, and why there are none where the memory
    could not be read."""
    if open_memory is None:
        return [], ""
    dictionaries = () if card.dictionary_digest is None else (card.dictionary_digest,)
    try:
        with open_memory() as memory:
            found = [
                hit
                for kind, most in RECALLED.items()
                for hit in memory.recall(question, card.key, kind, most, dictionaries).same_weights
                if hit.similarity >= RELATED
            ]
            claimed = any(hit.record.kind == "claims" for hit in found)
            against = contradicted(memory.contradictions(Only(model=weights_of(card.key)))) if claimed else {}
    except RememberError as error:
        return [], str(error)
    return [_recalled(hit, against) for hit in found], ""


def contradicted(found: "Comparison") -> dict[str, list[ClaimRecord]]:
    """By the id of each claim that is contradicted, the claims against it."""
    against: dict[str, dict[str, ClaimRecord]] = {}
    for contradiction in found.contradictions:
        for mine, theirs in ((contradiction.one, contradiction.other), (contradiction.other, contradiction.one)):
            for claim in mine:
                others = {other.id: other for other in theirs if other.run != claim.run}
                against.setdefault(claim.id, {}).update(others)
    return {claim: list(others.values()) for claim, others in against.items()}


def _recalled(hit: Hit, against: Mapping[str, list[ClaimRecord]]) -> Recalled:
    record = hit.record
    return Recalled(
        kind=record.kind,
        record=record.id,
        run=record.run,
        text=_told(record) + _disputed(record, against.get(hit.id, [])),
        similarity=round(hit.similarity, 4),
        feature=record.feature if isinstance(record, FeatureCard) else "",
    )


def _disputed(record: AnyRecord, others: list[ClaimRecord]) -> str:
    """That other runs say otherwise; without figures, which would need the measurements of another run beside them."""
    if not others or not isinstance(record, ClaimRecord):
        return ""
    first, more = others[0], len(others) - 1
    said = f"{first.verdict}, {first.tier}" + ("" if first.text == record.text else f": {first.text}")
    if first.verdict == record.verdict and first.text == record.text:
        said = "an effect of another size"
    return f" Contradicted by run {first.run}{f' and {more} more' if more else ''}: {said}"


def _told(record: AnyRecord) -> str:
    """A record in one line."""
    if isinstance(record, FeatureCard):
        return record.told
    if isinstance(record, ClaimRecord):
        return f"{record.verdict}, {record.tier}: {record.text}"
    return f"{record.verdict}: {record.statement}"
