"""What was found before: feature cards, hypotheses and claims, found again by likeness of meaning."""

from ._contradictions import Comparison, Contradiction
from ._embedder import Embedder, HashingEmbedder, MiniLmEmbedder, default_embedder
from ._errors import RememberError
from ._index import Only, Present
from ._recall import Hit, OtherHit, OwnHit, Recall, StaleHit
from ._records import (
    AnyRecord,
    CardClaim,
    CardScore,
    ClaimRecord,
    FeatureCard,
    HypothesisRecord,
    Kind,
    Tier,
    Trial,
    Verdict,
    all_due,
    weights_of,
)
from .moving import Imported, carry_over, export_records, import_records
from .store import Memory, Remembered, Status

__all__ = [
    "AnyRecord",
    "CardClaim",
    "CardScore",
    "ClaimRecord",
    "Comparison",
    "Contradiction",
    "Embedder",
    "FeatureCard",
    "HashingEmbedder",
    "Hit",
    "HypothesisRecord",
    "Imported",
    "Kind",
    "Memory",
    "MiniLmEmbedder",
    "Only",
    "OtherHit",
    "OwnHit",
    "Present",
    "Recall",
    "RememberError",
    "Remembered",
    "StaleHit",
    "Status",
    "Tier",
    "Trial",
    "Verdict",
    "all_due",
    "carry_over",
    "default_embedder",
    "export_records",
    "import_records",
    "weights_of",
]
