"""What an investigation claims, what it sealed beforehand, what it measured, and what the judge made of it.

Values only: no statistics and no tools. The protocol is DESIGN section 6; the gates it names are in `judge.py`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..memory import all_due
from ..tools import Frozen

Kind = Literal["mediation", "variable", "absence"]
Outcome = Literal["pass", "fail", "not_evaluated"]
Verdict = Literal["supported", "refuted", "inconclusive"]
Tier = Literal["observed", "causal", "controlled", "replicated"]
SMALLEST_EFFECT = 0.05  # share of the gap
TWIN, SHUFFLED = "re-initialised", "shuffled labels"  # how the labels of control arms begin
MOST_CHANCE = 0.5  # two answers at stake; fewer leave nothing to answer
Share = Annotated[float, Field(ge=0, le=1)]


class Hypothesis(Frozen):
    """What might be true of the subject."""

    id: str = Field(description="Names the hypothesis within its investigation.")
    statement: str = Field(description="One sentence that could be false.")
    kind: Kind = Field(description="A site carries an effect, a site holds a variable, or a site plays no part.")
    alternatives: tuple[str, ...] = Field(description="Other explanations that the controls have to exclude.")
    refuted_if: str = Field(description="The observation that would show it false.")


class Arm(Frozen):
    """One measurement to run, its arguments complete."""

    label: str = Field(description="What the arm is for, in a few words.")
    counterfactual_family: str = Field(description="The kind of counterfactual its pairs use.")
    tool: str = Field(description="Instrument to run.")
    args: dict[str, Any] = Field(description="Its arguments, defaults filled in.")


class Prediction(Frozen):
    """The testable consequence of a hypothesis; sealed in the ledger before any of its arms runs."""

    id: str = Field(description="Names the prediction within its investigation.")
    hypothesis: str = Field(description="Id of the hypothesis it follows from.")
    kind: Kind = Field(
        default="mediation", description="Kind of that hypothesis; a variable is due a shuffled-label control."
    )
    direction: Literal["positive", "none"] = Field(description="An effect toward the counterfactual, or no effect.")
    smallest_effect: float = Field(
        default=SMALLEST_EFFECT, gt=0, lt=1, description="Effects up to this do not matter (share of the gap)."
    )
    expected: float | None = Field(
        default=None, description="Effect seen in discovery (share of gap).", allow_inf_nan=False
    )
    arms: tuple[Arm, ...] = Field(description="Confirmatory arms on held-out prompts, one per family.", min_length=1)
    twin_arms: tuple[Arm, ...] = Field(
        default=(), description="The same arms on the re-initialised twin; added when the prediction is sealed."
    )
    shuffled_arm: Arm | None = Field(
        default=None, description="The same with shuffled labels, where class means are exchanged; added likewise."
    )
    chance: float = Field(
        ge=0, le=MOST_CHANCE, description="Pairs that would be answered right, or moved, by chance (share)."
    )
    holds_out_entities: bool = Field(description="No entity of the arms was seen in discovery.")
    holds_out_template: bool = Field(description="At least one template of the arms was not seen in discovery.")

    @model_validator(mode="after")
    def _is_testable(self) -> "Prediction":
        for name, arms in (("arms", self.arms), ("twin_arms", self.twin_arms)):
            refuse_repeats(f"`{name}` of prediction {self.id}", [arm.counterfactual_family for arm in arms])
        if self.kind == "absence" and self.direction != "none":
            raise ValueError(f"prediction {self.id}: an absence predicts direction none, not {self.direction}")
        return self


def predicts_all_due(predictions: Iterable[Prediction]) -> bool:
    """Whether predictions about one supernode are all that its name owes, by the rule that its cards are read by."""
    return all_due((takes_out(one), one.direction == "positive") for one in predictions)


def takes_out(prediction: Prediction) -> bool:
    """Whether a group of features is taken out to test a prediction, and not exchanged for another."""
    return any(arm.args.get("mode") == "ablate" for arm in prediction.arms)


class Sample(Frozen):
    """One arm as measured: what happened to each pair, and the controls that ran with it."""

    measurement: str = Field(description="Id of the measurement.")
    counterfactual_family: str = Field(description="The kind of counterfactual its pairs use.")
    effects: tuple[float, ...] = Field(description="Per pair: (clean - patched) / gap (share of the mean gap).")
    clusters: tuple[str, ...] = Field(description="Per pair: entity or template; equal names are not independent.")
    moved: tuple[bool, ...] = Field(description="Per pair: the answer became the counterfactual's answer.")
    random_effects: tuple[float, ...] = Field(
        default=(), description="Mean effect of each matched random draw (share of gap)."
    )
    no_op_change: float | None = Field(
        description="Largest change of a logit when a run is patched into itself; none if not run."
    )
    gap: float = Field(description="Mean of clean minus corrupted (nats); effects times this are in nats.")
    clean_correct: tuple[bool, ...] = Field(description="Per pair: the clean prompt was answered right.")

    @model_validator(mode="after")
    def _is_usable(self) -> "Sample":
        name = f"sample {self.measurement} ({self.counterfactual_family})"
        n = len(self.effects)
        if n == 0:
            raise ValueError(f"{name} has no pairs: nothing was measured. Drop it or measure again.")
        for field in ("clusters", "moved", "clean_correct"):
            if (got := len(getattr(self, field))) != n:
                raise ValueError(f"{name}: {n} effects but {got} `{field}`; pass one for each pair.")
        numbers = {"effects": self.effects, "random_effects": self.random_effects, "gap": (self.gap,)}
        numbers["no_op_change"] = () if self.no_op_change is None else (self.no_op_change,)
        for field, values in numbers.items():
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{name}: `{field}` holds a number that is not finite. Mend the measurement.")
        return self


class Evidence(Frozen):
    """All samples behind one judgement."""

    discovery: tuple[Sample, ...] = Field(default=(), description="What suggested the hypothesis; it confirms nothing.")
    confirmation: tuple[Sample, ...] = Field(description="The sealed arms as measured, one per family.")
    twin: tuple[Sample, ...] = Field(default=(), description="The sealed arms on the re-initialised twin.")
    twin_without_gap: tuple[str, ...] = Field(
        default=(),
        description="Families the instrument could not run on the twin because its gap is zero: no answer to move.",
    )
    shuffled: Sample | None = Field(default=None, description="The sealed arm with shuffled labels.")
    units_looked_at: tuple[Share, ...] = Field(
        default=(), description="p of every other unit examined in this investigation, abandoned ones included."
    )

    @model_validator(mode="after")
    def _keeps_discovery_apart(self) -> "Evidence":
        refuse_repeats("families of the confirmation", [s.counterfactual_family for s in self.confirmation])
        twins = [s.counterfactual_family for s in self.twin] + list(self.twin_without_gap)
        refuse_repeats("families of the twin", twins)
        confirming = [*self.confirmation, *self.twin, *([self.shuffled] if self.shuffled else [])]
        refuse_repeats("measurements of the confirmation and its controls", [s.measurement for s in confirming])
        shared = sorted({s.measurement for s in self.discovery} & {s.measurement for s in confirming})
        if shared:
            raise ValueError(f"measurements that suggested the hypothesis cannot confirm it: {', '.join(shared)}")
        return self


class Gate(Frozen):
    """One condition of a verdict, and how it came out."""

    name: str = Field(description="Which condition.")
    outcome: Outcome = Field(description="Whether it held; `not_evaluated` where the data cannot say.")
    reason: str = Field(description="In plain words, with the number and the bar.")


class Judgement(Frozen):
    """The verdict of code on a sealed prediction, with every number it rests on. Effects are shares of the gap."""

    verdict: Verdict = Field(description="What the evidence says of the prediction.")
    tier: Tier = Field(description="How strong the evidence is; limits the words a report may use.")
    effect: float = Field(description="Mean effect over the pairs of all families (share of the gap).")
    low: float | None = Field(description="Lower end of its 95 % interval; none with a single cluster.")
    high: float | None = Field(description="Upper end of its 95 % interval; none with a single cluster.")
    p: Share = Field(description="Sign-flip p, flipped by cluster; one-sided where an effect was predicted.")
    p_meaning: str = Field(description="What that p says, in one sentence.")
    q: Share = Field(description="Benjamini-Hochberg q of that p among every unit looked at.")
    n_pairs: int = Field(description="Pairs over all families (count).")
    n_clusters: int = Field(description="Independent clusters among them (count).")
    moved_share: Share = Field(description="Pairs whose answer became the counterfactual's (share).")
    random_max: float | None = Field(description="Largest effect of a matched random draw; none without draws.")
    twin_effect: float | None = Field(description="Effect on the re-initialised twin, as a share of the subject's gap.")
    shuffled_moved_share: Share | None = Field(description="Moved pairs with shuffled labels (share).")
    minimum_detectable: float | None = Field(
        description="Smallest true effect that would have cleared the bars in 4 of 5 such confirmations."
    )
    gates: tuple[Gate, ...] = Field(description="Every condition that was due, in the order judged.")
    reason: str = Field(description="The verdict in one plain sentence.")


def refuse_repeats(what: str, names: Sequence[str]) -> None:
    """Stop where a name comes twice: a family or measurement counted twice is no independent evidence."""
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"{what}: {', '.join(twice)} more than once; pass each once")
