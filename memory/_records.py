"""What is remembered: cards of features, hypotheses with their outcome, claims with their evidence.

Every record says of which weights it holds, how strong its evidence is and which run wrote it. A record's id is derived
from what it is about, so the same finding written twice by a run is one record, and a corrected one replaces it.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from ..tools import Frozen, SubjectKey, digest

Kind = Literal["feature_cards", "hypotheses", "claims"]
Tier = Literal["observed", "causal", "controlled", "replicated"]
Verdict = Literal["supported", "refuted", "inconclusive"]

KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_TEXT_CHARS = 1_000_000


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a control character; a name is one printable line")
    return value


Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]
"""Something that records are looked up by."""
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
"""Any text, also hostile: it is data, and comes back as it was given."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


def weights_of(subject: SubjectKey) -> str:
    """Name the weights. A twin shares its original's fingerprint, yet a finding in one is none in the other."""
    twin = "" if subject.reinit_seed is None else f"+reinit-{subject.reinit_seed}"
    return f"{subject.fingerprint}{twin}"


class Record(Frozen):
    """What every record says."""

    identity: ClassVar[tuple[str, ...]]
    """Its kind, and the fields that tell two of that kind apart within one run on one subject."""

    subject: SubjectKey = Field(description="The weights it is about.")
    run: Name = Field(description="Run that found it; `forget` removes by it.")
    tier: Tier = Field(description="How strong the evidence is.")

    @model_validator(mode="after")
    def _weights_are_named(self) -> "Record":
        _one_line(self.subject.fingerprint)
        _one_line(self.subject.model)
        if not self.subject.fingerprint:
            raise ValueError("the subject's fingerprint is empty; a finding about unknown weights is of no use")
        return self

    @property
    def id(self) -> str:
        """Derived from the run, the weights and the identifying fields."""
        about = self.model_dump(mode="json", include=set(self.identity))
        return digest({"run": self.run, "weights": weights_of(self.subject), "about": about})

    @property
    def wording(self) -> str:
        """The text that its vector is made of."""
        raise NotImplementedError


class CardScore(Frozen):
    """How well a name told where its feature fires, on contexts that it was not made from (Paulo et al. 2024)."""

    score: Share = Field(description="Balanced accuracy (share); guessing gives .5.")
    low: Share = Field(description="Lower 95 % limit.")
    high: Share = Field(description="Upper 95 % limit.")
    n: int = Field(ge=0, description="Contexts (count).")
    permuted: Share | None = Field(default=None, description="Control: mean score of other features' names there.")


class CardClaim(Frozen):
    """A sealed test of the supernode that the feature belongs to."""

    claim: Name = Field(description="Id of the claim, or of the prediction where it could not be tested.")
    verdict: Verdict | Literal["untested"] = Field(description="What the judge said; untested where nothing ran.")
    tier: Tier = Field(description="How strong its evidence is.")
    predicts: Literal["effect", "no effect"] = Field(description="Whether it predicted an effect, or none.")
    done: Literal["exchanged", "taken out"] | None = Field(
        default=None, description="What was done to the group; none for cards that did not keep it."
    )
    statement: Text = Field(description="What was predicted.")


def all_due(tests: Iterable[tuple[bool, bool]]) -> bool:
    """Whether tests of a group of features are all that its name owes.

    Of a group that is exchanged for another value's an effect; of one that is taken out also that nothing else needs
    it.

    Args:
        tests: per test whether the group was taken out, and whether an effect was predicted.
    """
    known = tuple(tests)
    due = {True, False} if any(taken_out for taken_out, _ in known) else {True}
    return {effect for _, effect in known} == due


class FeatureCard(Record):
    """What one feature of a dictionary responds to and promotes, what it is called, and whether the name was tested."""

    identity = ("kind", "dictionary", "feature")

    kind: Literal["feature_cards"] = "feature_cards"
    dictionary: Name = Field(description="Digest of the dictionary that the feature belongs to.")
    feature: Name = Field(description="The feature's place in the dictionary: LAYER/FEATURE, such as `1/37`.")
    name: Text = Field(description="Short label; empty where nothing named it.")
    feature_class: Text = Field(default="", description="Sort of feature, such as Semantic or Say X; empty if unknown.")
    rule: Text = Field(default="", description="Rule that made the class.")
    reason: Text = Field(default="", description="Figures that the rule compared.")
    contexts: tuple[Text, ...] = Field(default=(), description="Texts it is most active on, best first.")
    peaks: tuple[Text, ...] = Field(
        default=(), description="Per context the token where it is largest; none for cards that did not keep it."
    )
    promoted: tuple[Text, ...] = Field(default=(), description="Tokens whose logits it raises most, best first.")
    claims: tuple[CardClaim, ...] = Field(default=(), description="Tests of the supernode of its name.")
    detection: CardScore | None = Field(default=None, description="Telling contexts that fire from others.")
    fuzzing: CardScore | None = Field(default=None, description="Telling right marks on tokens from wrong ones.")
    scorer: Text = Field(default="", description="Who scored: `deterministic simulator`, or who gave judgements.")
    measurements: tuple[Name, ...] = Field(default=(), description="Ids of the measurements behind the card.")

    @model_validator(mode="after")
    def _parts_belong_together(self) -> "FeatureCard":
        if self.peaks and len(self.peaks) != len(self.contexts):
            raise ValueError(f"{len(self.peaks)} peaks for {len(self.contexts)} contexts; give one each, or none")
        if bool(self.detection or self.fuzzing) != bool(self.scorer):
            raise ValueError("a score says who scored, and who scored gave a score")
        return self

    @property
    def confirmed(self) -> bool:
        """Whether every test of the name held, and they are all that it owes."""
        held = all(one.verdict == "supported" for one in self.claims)
        return held and all_due((one.done != "exchanged", one.predicts == "effect") for one in self.claims)

    @property
    def status(self) -> Literal["unnamed", "suggested", "confirmed", "not confirmed"]:
        """What the name is worth: nothing tested it, all tests held, or some did not."""
        if not self.name:
            return "unnamed"
        if not self.claims:
            return "suggested"
        return "confirmed" if self.confirmed else "not confirmed"

    @property
    def told(self) -> str:
        """The card in one plain sentence: the name, and what it is worth."""
        if self.status == "unnamed":
            return f"Feature {self.feature} has no name" + (
                "." if self.contexts else ": it fires on none of the texts."
            )
        if not self.feature_class:
            return f"Feature {self.feature} fires most at {self.name}."
        called = f"Feature {self.feature} is called {self.name!r} ({self.feature_class})"
        held, n = sum(one.verdict == "supported" for one in self.claims), len(self.claims)
        tests = f"{n} sealed {'test' if n == 1 else 'tests'}"
        if not n:
            return f"{called}, a suggestion: no sealed test has tried what it does."
        if self.confirmed:
            return f"{called}; the name is confirmed, in all of {tests} of what it does."
        if held == n:
            some_effect = any(one.predicts == "effect" for one in self.claims)
            untried = "did not try whether anything else needs it" if some_effect else "tried only what it does not do"
            return f"{called}; count it as unnamed, for {tests} {untried}."
        return f"{called}; count it as unnamed, for the name held in {held} of {tests} only."

    @property
    def wording(self) -> str:
        return _joined([self.name, self.feature_class, " ".join(self.promoted), *self.contexts])


class Trial(Frozen):
    """What a claim says and of which place, in fields by which claims of different runs can be compared."""

    behaviour: Text = Field(min_length=1, description="What the model does there: task family, prompt and answer, …")
    kind: Literal["mediation", "variable", "absence"] = Field(description="Kind of hypothesis.")
    predicts: Literal["effect", "no effect"] = Field(description="Whether it predicted an effect, or none.")
    intervention: Text = Field(min_length=1, description="Instrument and what it did there, such as `patch source`.")
    families: tuple[Text, ...] = Field(min_length=1, description="Kinds of counterfactual, the leading one first.")
    site: Text = Field(default="", description="Canonical name of the site; empty for features.")
    position: Text = Field(default="", description="Token at that site, such as `last`.")
    features: tuple[Text, ...] = Field(default=(), description="LAYER/FEATURE, sorted; none for a site.")
    supernode: Text = Field(default="", description="Name of the group of features; empty for a single one.")
    dictionary: Text = Field(default="", description="Digest of the features' dictionary; empty for a site.")

    @model_validator(mode="after")
    def _has_one_place(self) -> "Trial":
        if bool(self.site) == bool(self.features):
            raise ValueError("a test is of a site or of features, one of the two")
        if bool(self.features) != bool(self.dictionary):
            raise ValueError("features say of which dictionary, and a site has none")
        return self

    @property
    def place(self) -> str:
        """The place in words."""
        if self.site:
            return f"{self.site} at {self.position}" if self.position else self.site
        features = ", ".join(self.features)
        return f"supernode {self.supernode} ({features})" if self.supernode else f"feature {features}"


class HypothesisRecord(Record):
    """What might be true, and what came of it."""

    identity = ("kind", "question", "statement")

    kind: Literal["hypotheses"] = "hypotheses"
    statement: Text = Field(min_length=1, description="The hypothesis in words.")
    verdict: Verdict = Field(description="Outcome.")
    question: Text = Field(default="", description="Question that the run was asked.")
    measurements: tuple[Name, ...] = Field(default=(), description="Ids of the measurements that decided it.")
    tested: Trial | None = Field(default=None, description="What tested it; none where it was not kept.")

    @property
    def wording(self) -> str:
        return _joined([self.statement, self.question])


class ClaimRecord(Record):
    """A judged hypothesis with its effect."""

    identity = ("kind", "question", "text", "where")

    kind: Literal["claims"] = "claims"
    text: Text = Field(min_length=1, description="The claim in words.")
    verdict: Verdict = Field(description="What the judge said.")
    effect: Number | None = Field(default=None, description="Share of the clean-corrupted gap; none if unmeasured.")
    interval: tuple[Number, Number] | None = Field(default=None, description="Lower and upper bound of the effect.")
    question: Text = Field(default="", description="Question that the run was asked.")
    where: Text = Field(default="", description="Site or circuit that the claim is about, such as `head.3.5`.")
    measurements: tuple[Name, ...] = Field(default=(), description="Ids of the measurements behind the claim.")
    tested: Trial | None = Field(default=None, description="What tested it; none where it was not kept.")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "ClaimRecord":
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError(f"interval {self.interval} has its lower bound above its upper bound")
        return self

    @property
    def wording(self) -> str:
        return _joined([self.text, self.where, self.question])


AnyRecord = FeatureCard | HypothesisRecord | ClaimRecord
RECORDS: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="kind")])


def dictionary_of_record(record: AnyRecord) -> str:
    """Digest of the dictionary whose features a record is about; empty where it is about none."""
    if isinstance(record, FeatureCard):
        return record.dictionary
    return record.tested.dictionary if record.tested else ""


def _joined(parts: Sequence[Any]) -> str:
    return "\n".join(part for part in parts if part)
