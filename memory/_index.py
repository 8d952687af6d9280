"""What rows are looked up by: exact fields beside the vector, and the conditions in which they are asked for."""

from typing import Any, get_args

from pydantic import Field

from ..tools import Frozen, SubjectKey
from ._records import AnyRecord, FeatureCard, Tier, Verdict, dictionary_of_record, weights_of

INDEX = "2"  # which fields a row has; a store with others gets these when it is opened
NONE = "-"  # chromadb drops an empty value in silence
TIERS: tuple[Tier, ...] = get_args(Tier)

Where = dict[str, Any]


class Only(Frozen):
    """Exact conditions on records, all of which have to hold; one that is none asks nothing."""

    model: str | None = Field(
        default=None, min_length=1, description="Name of the model, or fingerprint of its weights."
    )
    site: str | None = Field(
        default=None, min_length=1, description="Canonical name of a site, such as `resid_post.1`."
    )
    tier: Tier | None = Field(default=None, description="Weakest evidence that will do.")
    verdict: Verdict | None = Field(default=None, description="Outcome; feature cards have none.")
    run: str | None = Field(default=None, min_length=1, description="Run that found it.")

    @property
    def where(self) -> Where | None:
        """The condition as chromadb has it."""
        enough = None if self.tier is None else list(TIERS[TIERS.index(self.tier) :])
        return all_of(
            # By weights, not by fingerprint: re-initialised twins share that of their original.
            None if self.model is None else {"$or": [{"model": self.model}, {"weights": self.model}]},
            None if self.site is None else {"site": self.site},
            None if enough is None else {"tier": {"$in": enough}},
            None if self.verdict is None else {"verdict": self.verdict},
            None if self.run is None else {"run": self.run},
        )


class Present(Frozen):
    """A model as it is now: what an earlier finding has to be about to be one about it."""

    subject: SubjectKey = Field(description="Its weights.")
    dictionaries: tuple[str, ...] | None = Field(
        default=None,
        description="Digests of its dictionaries; none where they are not known: features pass unchecked.",
    )

    @property
    def own(self) -> Where | None:
        """Findings that hold of it."""
        known = None if self.dictionaries is None else {"dictionary": {"$in": [NONE, *self.dictionaries]}}
        return all_of({"weights": weights_of(self.subject)}, known)

    @property
    def stale(self) -> Where:
        """Findings about what it no longer is."""
        conditions = [all_of({"model": _model(self.subject)}, {"fingerprint": {"$ne": self.subject.fingerprint}})]
        if self.dictionaries is not None:
            gone = {"dictionary": {"$nin": [NONE, *self.dictionaries]}}
            conditions.append(all_of({"weights": weights_of(self.subject)}, gone))
        return conditions[0] if len(conditions) == 1 else {"$or": conditions}  # pyright: ignore[reportReturnType]

    @property
    def elsewhere(self) -> Where | None:
        """Findings about other models, and about its re-initialised twins."""
        not_stale = {"$or": [{"model": {"$ne": _model(self.subject)}}, {"fingerprint": self.subject.fingerprint}]}
        return all_of({"weights": {"$ne": weights_of(self.subject)}}, not_stale)

    def staleness(self, record: AnyRecord) -> str:
        """Why a finding no longer holds of this model, in a few words; nothing where it may, or is about another."""
        subject, now = record.subject, self.subject
        if subject.fingerprint != now.fingerprint:
            if subject.model != now.model:
                return ""
            return f"other weights: found in {subject.fingerprint[:12]}, the model has {now.fingerprint[:12]} now"
        dictionary = dictionary_of_record(record)
        if weights_of(subject) != weights_of(now) or not dictionary or self.dictionaries is None:
            return ""
        if dictionary in self.dictionaries:
            return ""
        has = ", ".join(one[:12] for one in self.dictionaries) or "none"
        return f"another dictionary: found in {dictionary[:12]}, the model has {has} now"


def metadata_of(record: AnyRecord) -> dict[str, str]:
    """The fields that a record is looked up by; numbers and all else stay in the document, which holds it in full.

    Every field, each time: chromadb keeps an old value where the new row has none.
    """
    tested = None if isinstance(record, FeatureCard) else record.tested
    return {
        "weights": weights_of(record.subject),
        "model": _model(record.subject),
        "fingerprint": record.subject.fingerprint,
        "run": record.run,
        "tier": record.tier,
        "verdict": NONE if isinstance(record, FeatureCard) else record.verdict,
        "site": (tested.site if tested else "") or NONE,
        "dictionary": dictionary_of_record(record) or NONE,
    }


def all_of(*conditions: Where | None) -> Where | None:
    """Conditions joined; chromadb wants two at least for that."""
    asked = [condition for condition in conditions if condition is not None]
    return {"$and": asked} if len(asked) > 1 else asked[0] if asked else None


def _model(subject: SubjectKey) -> str:
    return subject.model or NONE
