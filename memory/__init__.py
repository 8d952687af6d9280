"""What was found before: feature cards, hypotheses and claims, found again by likeness of meaning."""

from ._embedder import Embedder, HashingEmbedder, MiniLmEmbedder, default_embedder
from ._errors import RememberError
from ._records import (
    AnyRecord,
    CardClaim,
    CardScore,
    ClaimRecord,
    FeatureCard,
    Hit,
    HypothesisRecord,
    Kind,
    OtherHit,
    OwnHit,
    Recall,
    Tier,
    Verdict,
    all_due,
    weights_of,
)
from .store import Memory, Status, carry_over

__all__ = [
    "AnyRecord",
    "CardClaim",
    "CardScore",
    "ClaimRecord",
    "Embedder",
    "FeatureCard",
    "HashingEmbedder",
    "Hit",
    "HypothesisRecord",
    "Kind",
    "Memory",
    "MiniLmEmbedder",
    "OtherHit",
    "OwnHit",
    "Recall",
    "RememberError",
    "Status",
    "Tier",
    "Verdict",
    "all_due",
    "carry_over",
    "default_embedder",
    "weights_of",
]
