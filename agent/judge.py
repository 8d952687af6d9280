"""The judge: from a sealed prediction and its samples to a verdict, by fixed rules and with no word from any model.

`supported` needs every gate that is due (`_gates.py`), except that a single counterfactual family, or prompts that are
not held out, limit only the tier. `refuted` needs a sound measurement whose interval excludes what was predicted.
Everything else is `inconclusive`, with the smallest effect that could have been seen.
"""

import re
import unicodedata
from typing import get_args

from ._evidence import Evidence, Gate, Judgement, Prediction, Tier, Verdict
from ._figures import Figures, figures_of
from ._gates import gates_due, inside, span
from ._statistics import minimum_detectable_effect

FEWEST_CLUSTERS = 6  # with fewer, sign flips give no 95 % interval at all: 2^-5 > 0.025
SOUND = ("behaviour", "no_op", "sealed_arms")
MAY_BE_MISSING = ("families", "held_out")
TIERS: tuple[Tier, ...] = get_args(Tier)

# Each phrase is listed in the forms that a report would use; a tier may use its own phrases and those of lower tiers.
WORDS: dict[Tier, tuple[str, ...]] = {
    "observed": ("appears", "coincides with", "goes along with", "is associated with", "was seen", "suggests"),
    "causal": (
        *("affect", "affects", "affected", "affecting", "influence", "influences", "influenced", "influencing"),
        *("alter", "alters", "altered", "altering", "contributes", "contributed", "contributing"),
        *("has an effect", "plays a role", "makes a difference"),
    ),
    "controlled": (
        *("because", "cause", "causes", "caused", "causing", "causal", "causally", "due to", "thanks to"),
        *("prove", "proves", "proved", "proven", "proving", "proof", "show that", "shows that", "demonstrates"),
        *("mediate", "mediates", "mediated", "mediating", "encode", "encodes", "encoded", "encoding"),
        *("compute", "computes", "computed", "computing", "represents", "implements", "stores", "determines"),
        *("depends on", "relies on", "responsible for", "leads to", "explains"),
    ),
    "replicated": (
        *("always", "in general", "generally", "generalises", "generalizes", "robustly", "reliably", "replicates"),
        *("establish", "establishes", "established", "regardless of"),
    ),
}
# No test tells what training put there from what random weights do by chance: they do something as well.
NEVER = ("learned", "learnt", "learns", "was trained to")


def judge(prediction: Prediction, evidence: Evidence, seed: int = 0) -> Judgement:
    """Decide what the evidence says of a sealed prediction.

    Args:
        prediction: as sealed.
        evidence: samples of its arms and controls, and the p of every other unit looked at.
        seed: of the random sign patterns and bootstrap draws.

    Raises:
        ValueError: no confirming sample, or a sample of an arm that was not sealed.
    """
    _refuse_unsealed(prediction, evidence)
    f = figures_of(prediction, evidence, seed)
    gates = tuple(gate(f) for gate in gates_due(prediction))
    beyond = f.bar if prediction.direction == "positive" else 0.0
    detectable = minimum_detectable_effect(f.effects, f.clusters, beyond=beyond)
    verdict, reason = _verdict(f, gates, detectable)
    return Judgement(
        verdict=verdict,
        tier=_tier(f, gates, verdict),
        effect=f.pooled.mean,
        low=f.pooled.low,
        high=f.pooled.high,
        p=f.test.p,
        p_meaning=f.test.meaning,
        q=f.q,
        n_pairs=len(f.effects),
        n_clusters=f.pooled.n_clusters,
        moved_share=f.moved,
        random_max=f.random_max,
        twin_effect=f.twin.mean if f.twin else None,
        shuffled_moved_share=f.shuffled_moved,
        minimum_detectable=detectable,
        gates=gates,
        reason=reason,
    )


def check_wording(text: str, tier: Tier) -> tuple[str, ...]:
    """The words of a text that need stronger evidence than its claim has, or any claim here, as written and in order.

    Args:
        text: prose of a report, without quotations of the subject.
        tier: tier of the claim it speaks of.
    """
    barred = [*NEVER, *(word for above in TIERS[TIERS.index(tier) + 1 :] for word in WORDS[above])]
    # Longest first, so that a phrase is named rather than the word it starts with; any run of spaces may part words.
    ordered = sorted(barred, key=len, reverse=True)
    pattern = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in ordered)
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return tuple(match.group() for match in re.finditer(rf"\b(?:{pattern})\b", plain, re.IGNORECASE))


def _refuse_unsealed(prediction: Prediction, evidence: Evidence) -> None:
    if not evidence.confirmation:
        raise ValueError(f"Prediction {prediction.id} has no confirming sample. Run its arms first.")
    shuffled = (evidence.shuffled,) if evidence.shuffled else ()
    shuffled_arms = (prediction.shuffled_arm,) if prediction.shuffled_arm else ()
    for what, samples, arms in (
        ("confirmation", evidence.confirmation, prediction.arms),
        ("twin", evidence.twin, prediction.twin_arms),
        ("shuffled control", shuffled, shuffled_arms),
    ):
        extra = {s.counterfactual_family for s in samples} - {a.counterfactual_family for a in arms}
        if extra:
            raise ValueError(
                f"The {what} of prediction {prediction.id} has families that were not sealed: "
                f"{', '.join(sorted(extra))}. Judge the sealed arms alone."
            )


def _verdict(f: Figures, gates: tuple[Gate, ...], detectable: float | None) -> tuple[Verdict, str]:
    """The verdict and, in a sentence, what decided it."""
    unsound = [gate for gate in gates if gate.name in SOUND and gate.outcome != "pass"]
    if unsound:
        return "inconclusive", unsound[0].reason
    if f.pooled.n_clusters < FEWEST_CLUSTERS:
        k = f.pooled.n_clusters
        return "inconclusive", f"Too few clusters: {k} independent ones, at least {FEWEST_CLUSTERS} are due."
    if refuted_by := _refutation(f):
        return "refuted", refuted_by
    open_gates = [
        g for g in gates if g.outcome == "fail" or (g.outcome == "not_evaluated" and g.name not in MAY_BE_MISSING)
    ]
    if open_gates:
        return "inconclusive", f"{open_gates[0].reason} The smallest detectable effect was {detectable:.3g}."
    if f.prediction.direction == "none":
        return "supported", f"The effect {f.pooled.mean:.3g} ({span(f.pooled)}) lies within ±{f.bar:g} of the gap."
    return (
        "supported",
        f"The effect {f.pooled.mean:.3g} ({span(f.pooled)}) lies above {f.bar:g} and passed every gate due.",
    )


def _refutation(f: Figures) -> str:
    """Why the prediction is false, or nothing."""
    low, high = f.pooled.low, f.pooled.high
    if low is None or high is None:
        return ""
    if f.prediction.direction == "none":
        return f"There is an effect: {span(f.pooled)}, beyond ±{f.bar:g}." if low > f.bar or high < -f.bar else ""
    # Families that pull in opposite directions average to nothing, which refutes neither.
    if high >= f.bar or any(i.low is not None and i.low > f.bar for i in f.families.values()):
        return ""
    where = "on the other side of 0" if high < 0 else f"below the smallest effect {f.bar:g}"
    return f"The interval, {span(f.pooled)}, lies {where}."


def _tier(f: Figures, gates: tuple[Gate, ...], verdict: Verdict) -> Tier:
    """The highest rung whose gates, and those of all rungs below, were passed."""
    if f.pooled.n_clusters < FEWEST_CLUSTERS:
        return "observed"
    passed = {gate.name for gate in gates if gate.outcome == "pass"}
    due = {gate.name for gate in gates}
    if f.prediction.direction == "positive" and verdict != "refuted":
        rungs = ({*SOUND, "permutation", "bound"}, {"random_draws", "twin", "shuffled_labels"} & due)
        rungs = (*rungs, {"replication", "families", "held_out"})
    elif verdict == "inconclusive":
        return "observed"
    else:  # an absence, or a refutation, which speaks of the same thing: a second family is its control
        if verdict == "refuted":
            passed.discard("families")
            if f.prediction.direction == "positive" and all(inside(i, f.bar) for i in f.families.values()):
                passed |= {"families"} if len(f.families) > 1 else set()
        rungs = (set(SOUND), {"families"}, {"held_out"})
    reached = 0
    for rung in rungs:
        if not rung <= passed:
            break
        reached += 1
    return TIERS[reached]
