"""What a question to the memory gives back: what holds of the model asked about, what no longer does, and the rest."""

from pydantic import Field, model_validator

from ..tools import Frozen
from ._index import Present
from ._records import AnyRecord, weights_of


class Hit(Frozen):
    """A record with its nearness to what was asked."""

    id: str = Field(description="Id of the record.")
    similarity: float = Field(description="Cosine of the two vectors, -1 to 1.")
    record: AnyRecord = Field(description="The record in full.")
    stale: str = Field(
        default="",
        description="Why it no longer holds of the model asked about; empty where it may, or none was named.",
    )


class OwnHit(Hit):
    """Found in these very weights, and where it is about features in a dictionary that they have now."""


class OtherHit(Hit):
    """Found in another model or a re-initialised twin: a reason to look, and no finding about these weights."""


class StaleHit(Hit):
    """Found in weights that had the model's name, or in a dictionary that its weights had: no finding about it now."""


class Recall(Frozen):
    """What is known that bears on a question, kept apart by what it is about."""

    present: Present = Field(description="The model asked about, as it is now.")
    same_weights: tuple[OwnHit, ...] = Field(default=(), description="Findings that hold of it, nearest first.")
    stale: tuple[StaleHit, ...] = Field(default=(), description="Findings that no longer do, nearest first.")
    other_weights: tuple[OtherHit, ...] = Field(default=(), description="Found in other models, nearest first.")

    @model_validator(mode="after")
    def _is_kept_apart(self) -> "Recall":
        asked = weights_of(self.present.subject)
        for hit in (*self.same_weights, *self.stale, *self.other_weights):
            if hit.stale != self.present.staleness(hit.record):
                raise ValueError("a hit does not say why its finding is stale, or says so of one that is not")
            if isinstance(hit, StaleHit) != bool(hit.stale):
                raise ValueError("a stale finding stands among those that hold, or one that holds among stale ones")
        if any(weights_of(hit.record.subject) != asked for hit in self.same_weights):
            raise ValueError("a finding about other weights stands among those about these")
        if any(weights_of(hit.record.subject) == asked for hit in self.other_weights):
            raise ValueError("a finding about these weights stands among those about others")
        return self
