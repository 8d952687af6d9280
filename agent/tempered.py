"""A planner's words held to the evidence: what is worded more strongly than its tier allows is not shown."""

from collections.abc import Iterable

from ._attempts import tier_of
from ._evidence import Tier
from .judge import TIERS, check_wording
from .planners._plain import name, say
from .planners.interface import JudgedClaim, Words
from .report.schema import Sentence


def tempered(words: Words, claims: Iterable[JudgedClaim]) -> Words:
    """The words, each sentence of the answer and of a supported claim in place only where its tier allows it.

    An answer may speak as strongly as the strongest of the claims that are supported. A claim that is not supported is
    shown beside its verdict as what it was, a hypothesis, and may say what it likes.
    """
    tiers: dict[str, Tier] = {claim.id: tier_of(claim) for claim in claims if claim.judgement.verdict == "supported"}
    strongest = TIERS[max((TIERS.index(tier) for tier in tiers.values()), default=0)]
    return words.model_copy(
        update={
            "premise": _allowed(words.premise, strongest),
            "answer": tuple(_allowed(sentence, strongest) for sentence in words.answer),
            "claims": {i: _allowed(said, tiers[i]) if i in tiers else said for i, said in words.claims.items()},
        }
    )


def _allowed(sentence: Sentence, tier: Tier) -> Sentence:
    prose = " ".join(piece.text for piece in sentence.pieces if piece.kind == "prose")
    barred = check_wording(prose, tier)
    if not barred:
        return sentence
    listed = ", ".join(map(name, dict.fromkeys(barred)))
    return say(f"The planner's sentence is left out: evidence that is {tier} does not bear the words {listed}.")
