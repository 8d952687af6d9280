"""The judge says what was planted, stays silent on noise, and is turned by each gate alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from vesalius.agent._evidence import Arm, Evidence, Prediction, Sample
from vesalius.agent.judge import TIERS, WORDS, check_wording, judge
from vesalius.tools import canonical

FAMILIES = ("value", "key")
CLUSTERS = 12


def arm(family: str, label: str = "held out") -> Arm:
    return Arm(label=label, counterfactual_family=family, tool="patch", args={})


def prediction(families: tuple[str, ...] = FAMILIES, **changes: Any) -> Prediction:
    fields: dict[str, Any] = {
        "id": "p1",
        "hypothesis": "h1",
        "direction": "positive",
        "expected": 0.5,
        "arms": tuple(arm(f) for f in families),
        "twin_arms": tuple(arm(f) for f in families),
        "chance": 0.1,
        "holds_out_entities": True,
        "holds_out_template": True,
    }
    return Prediction(**fields | changes)


def sample(
    mean: float, name: str, family: str = "value", spread: float = 0.05, seed: int = 0, **changes: Any
) -> Sample:
    """Two pairs in each of twelve clusters, with effects around a mean."""
    rng = np.random.default_rng([seed, sum(map(ord, name + family))])
    k = changes.pop("k", CLUSTERS)
    effects = (mean + rng.normal(0, spread, (k, 1)) + rng.normal(0, spread / 2, (k, 2))).ravel()
    fields: dict[str, Any] = {
        "measurement": f"m-{name}-{family}",
        "counterfactual_family": family,
        "effects": tuple(effects.tolist()),
        "clusters": tuple(f"entity {i}" for i in range(k) for _ in range(2)),
        "moved": tuple((effects > 0.45).tolist()),
        "random_effects": tuple(rng.normal(0, 0.01, 20).tolist()),
        "no_op_change": 0.0,
        "gap": 4.0,
        "clean_correct": (True,) * (2 * k),
    }
    return Sample(**fields | changes)


def untrained(family: str = "value", name: str = "twin", **changes: Any) -> Sample:
    """A twin: no behaviour, and a gap so small that its normalised effects are huge."""
    fields: dict[str, Any] = {"gap": 0.01, "clean_correct": (False,) * 24, "moved": (False,) * 24, "random_effects": ()}
    return sample(1.0, name, family, **fields | changes)


def evidence(mean: float = 0.5, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "confirmation": tuple(sample(mean, "main", f) for f in FAMILIES),
        "twin": tuple(untrained(f) for f in FAMILIES),
        "units_looked_at": (0.4, 0.2, 0.03, 0.9),
    }
    return Evidence(**fields | changes)


def outcomes(judgement) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in judgement.gates}


def changed(**changes: Any) -> Evidence:
    """The good evidence with fields of both confirming samples changed."""
    return evidence(confirmation=tuple(s.model_copy(update=changes) for s in evidence().confirmation))


def test_a_planted_effect_with_every_control_is_supported_and_replicated():
    found = judge(prediction(), evidence())
    assert (found.verdict, found.tier) == ("supported", "replicated")
    assert set(outcomes(found).values()) == {"pass"}
    assert found.low < 0.5 < found.high
    assert found.p == 1 / 2**12
    assert found.q == pytest.approx(5 / 2**12)
    assert (found.n_pairs, found.n_clusters) == (48, 12)
    assert "passed every gate due" in found.reason


def test_the_judge_is_a_pure_function_of_its_arguments():
    assert judge(prediction(), evidence(), seed=3) == judge(prediction(), evidence(), seed=3)
    assert canonical(judge(prediction(), evidence()).model_dump(mode="json"))


FLIPS = {
    "behaviour": [
        ("fail", {}, {"clean_correct": (True,) * 3 + (False,) * 21}),
        ("fail", {}, {"gap": -4.0}),
        ("fail", {}, {"gap": 0.0}),
    ],
    "no_op": [("fail", {}, {"no_op_change": 1e-9}), ("not_evaluated", {}, {"no_op_change": None})],
    "random_draws": [
        ("fail", {}, {"random_effects": (0.0,) * 19 + (0.9,)}),
        ("not_evaluated", {}, {"random_effects": (0.0,) * 19}),
        ("not_evaluated", {}, {"random_effects": ()}),
    ],
    "bound": [("fail", {"smallest_effect": 0.49}, {})],
    "replication": [
        ("fail", {"expected": 1.1}, {}),
        ("fail", {"expected": -0.5}, {}),
        ("not_evaluated", {"expected": None}, {}),
    ],
}


@pytest.mark.parametrize(
    ("gate", "outcome", "predicted", "measured"),
    [(gate, *case) for gate, cases in FLIPS.items() for case in cases],
)
def test_each_gate_alone_turns_the_verdict(gate, outcome, predicted, measured):
    found = judge(prediction(**predicted), changed(**measured))
    told = outcomes(found)
    assert told.pop(gate) == outcome
    assert set(told.values()) <= {"pass"} or (gate == "behaviour" and "gap" in measured)
    assert found.verdict == "inconclusive"
    assert found.reason.startswith(next(g.reason for g in found.gates if g.name == gate))


def test_many_other_units_turn_the_permutation_gate_alone():
    looked_at = tuple(np.linspace(0.3, 1, 3000).tolist())
    found = judge(prediction(), evidence(units_looked_at=looked_at))
    assert outcomes(found) == {**outcomes(judge(prediction(), evidence())), "permutation": "not_evaluated"}
    assert found.verdict == "inconclusive"
    assert "Too few clusters: 12 reach no p below 0.00024" in found.reason
    more = tuple(sample(0.5, "main", f, k=40) for f in FAMILIES)
    assert judge(prediction(), evidence(confirmation=more, units_looked_at=looked_at)).verdict == "supported"


def test_a_mean_within_chance_fails_the_permutation_gate():
    noisy = tuple(sample(0.2, "main", f, spread=0.5, seed=4) for f in FAMILIES)
    found = judge(prediction(), evidence(confirmation=noisy))
    assert outcomes(found)["permutation"] == "fail"
    assert found.verdict == "inconclusive"
    assert found.minimum_detectable > 0.2
    assert f"The smallest detectable effect was {found.minimum_detectable:.3g}" in found.reason


def test_a_family_without_effect_of_its_own_turns_the_verdict():
    split = (sample(0.9, "main", "value"), sample(0.0, "main", "key"))
    found = judge(prediction(), evidence(confirmation=split))
    assert {name for name, outcome in outcomes(found).items() if outcome != "pass"} == {"families", "random_draws"}
    assert found.verdict == "inconclusive"
    drawless = tuple(s.model_copy(update={"random_effects": (-0.1,) * 20}) for s in split)
    found = judge(prediction(), evidence(confirmation=drawless))
    assert {name for name, outcome in outcomes(found).items() if outcome != "pass"} == {"families"}
    assert found.verdict == "inconclusive"


def test_a_sealed_arm_that_was_not_measured_turns_the_verdict():
    only = evidence(confirmation=(sample(0.5, "main", "value"),), twin=(untrained("value"),))
    found = judge(prediction(twin_arms=(arm("value"),)), only)
    assert outcomes(found)["sealed_arms"] == "not_evaluated"
    assert found.verdict == "inconclusive"
    assert "key" in found.reason


def test_one_family_or_prompts_not_held_out_limit_the_tier_alone():
    one = judge(
        prediction(("value",)), evidence(confirmation=(sample(0.5, "main"),), twin=(untrained(),), units_looked_at=())
    )
    assert (one.verdict, one.tier, outcomes(one)["families"]) == ("supported", "controlled", "not_evaluated")
    for lacking in ("holds_out_entities", "holds_out_template"):
        found = judge(prediction(**{lacking: False}), evidence())
        assert (found.verdict, found.tier, outcomes(found)["held_out"]) == ("supported", "controlled", "not_evaluated")


def test_without_controls_an_effect_is_causal_and_without_the_bound_only_observed():
    found = judge(prediction(), evidence(twin=()))
    assert (found.verdict, found.tier) == ("inconclusive", "causal")
    found = judge(prediction(smallest_effect=0.49), evidence())
    assert (found.verdict, found.tier) == ("inconclusive", "observed")


@pytest.mark.parametrize("k", range(1, 7))
def test_too_few_clusters_are_inconclusive_and_say_so(k):
    few = tuple(sample(0.5, "main", f, k=k, spread=0.01) for f in FAMILIES)
    found = judge(prediction(), evidence(confirmation=few, units_looked_at=()))
    assert found.verdict == "inconclusive"
    assert "Too few clusters" in found.reason
    assert (found.low is None) == (k == 1)
    nothing = tuple(sample(0.0, "main", f, k=k, spread=0.001) for f in FAMILIES)
    assert (judge(prediction(), evidence(confirmation=nothing)).verdict == "refuted") == (k == 6)


def test_a_mean_inside_the_region_of_no_interest_or_on_the_other_side_is_refuted():
    inside = judge(prediction(), evidence(0.0))
    assert (inside.verdict, inside.tier) == ("refuted", "replicated") or inside.high >= 0.05
    tight = tuple(sample(0.01, "main", f, spread=0.02) for f in FAMILIES)
    found = judge(prediction(), evidence(confirmation=tight))
    assert (found.verdict, found.tier) == ("refuted", "replicated")
    assert "below the smallest effect 0.05" in found.reason
    other_side = judge(prediction(), evidence(-0.4))
    assert (other_side.verdict, other_side.tier) == ("refuted", "causal")
    assert "on the other side" in other_side.reason


def test_families_that_pull_apart_refute_nothing():
    up = sample(0.4, "main", "value", spread=0.01)
    down = up.model_copy(
        update={"measurement": "m-down", "counterfactual_family": "key", "effects": tuple(-e for e in up.effects)}
    )
    found = judge(prediction(), evidence(confirmation=(up, down)))
    assert found.high < 0.05
    assert found.verdict == "inconclusive"


def test_nothing_is_refuted_where_the_measurement_is_unsound():
    for measured in ({"no_op_change": 0.1}, {"clean_correct": (False,) * 24}, {"gap": -1.0}):
        unsound = tuple(s.model_copy(update=measured) for s in evidence(-0.4).confirmation)
        assert judge(prediction(), evidence(confirmation=unsound)).verdict == "inconclusive"


def test_a_twin_whose_gap_is_nearly_zero_is_judged_in_nats():
    # All of its gap of .01 nats moves: 1.0 of its own gap, .0025 of the subject's 4.
    found = judge(prediction(), evidence())
    assert found.twin_effect == pytest.approx(0.0025, rel=0.1)
    assert outcomes(found)["twin"] == "pass"
    tiny = tuple(untrained(f, gap=1e-9, effects=tuple([1e8, -1e8] * 12)) for f in FAMILIES)
    assert judge(prediction(), evidence(twin=tiny)).verdict == "supported"
    assert "answers 0 of 48 prompts right" in next(g.reason for g in found.gates if g.name == "twin")


def test_a_twin_that_moves_the_subjects_gap_turns_the_verdict():
    for twin in ({"gap": 4.0}, {"gap": -4.0, "effects": (-0.3,) * 24}):
        found = judge(prediction(), evidence(twin=tuple(untrained(f, **twin) for f in FAMILIES)))
        assert {name for name, outcome in outcomes(found).items() if outcome != "pass"} == {"twin"}
        assert outcomes(found)["twin"] == "fail"
        assert (found.verdict, found.tier) == ("inconclusive", "causal")


def test_answers_of_a_twin_count_as_moved_where_its_drop_is_worth_counting():
    gives_one_word = tuple(untrained(f, moved=(True,) * 12 + (False,) * 12) for f in FAMILIES)
    assert judge(prediction(), evidence(twin=gives_one_word)).verdict == "supported"
    # A quarter of the pairs move by 1.2 nats, the rest move back: no mean effect, but answers follow the patch.
    effects = (0.3,) * 6 + (-0.1,) * 18
    follows = tuple(untrained(f, gap=4.0, effects=effects, moved=(True,) * 6 + (False,) * 18) for f in FAMILIES)
    found = judge(prediction(), evidence(twin=follows))
    assert "moved 25.0% of the answers" in next(
        g.reason for g in found.gates if g.name == "twin" and g.outcome == "fail"
    )


def test_a_twin_too_noisy_to_tell_is_not_evaluated():
    noisy = tuple(untrained(f, gap=4.0, effects=tuple([3.0, 3.0, -3.0, -3.0] * 6)) for f in FAMILIES)
    found = judge(prediction(), evidence(twin=noisy))
    assert (found.verdict, outcomes(found)["twin"]) == ("inconclusive", "not_evaluated")


def test_a_twin_that_was_not_measured_is_not_evaluated_and_one_without_a_gap_passes():
    for twin in ((), (untrained("value"),)):
        found = judge(prediction(), evidence(twin=twin))
        assert (found.verdict, outcomes(found)["twin"]) == ("inconclusive", "not_evaluated")
    assert outcomes(judge(prediction(twin_arms=()), evidence(twin=())))["twin"] == "not_evaluated"
    gapless = judge(prediction(), evidence(twin=(), twin_without_gap=FAMILIES))
    assert (gapless.verdict, gapless.twin_effect) == ("supported", None)


SHUFFLED = {"kind": "variable", "shuffled_arm": arm("value", "shuffled")}


def test_a_variable_needs_its_shuffled_control():
    quiet = sample(0.0, "shuffled", spread=0.02, moved=(True,) * 3 + (False,) * 21)
    found = judge(prediction(**SHUFFLED), evidence(shuffled=quiet))
    assert (found.verdict, found.tier, found.shuffled_moved_share) == ("supported", "replicated", 3 / 24)
    for predicted in ({"kind": "variable"}, SHUFFLED, {"shuffled_arm": arm("value")}):
        found = judge(prediction(**predicted), evidence())
        assert (found.verdict, outcomes(found)["shuffled_labels"]) == ("inconclusive", "not_evaluated")


@pytest.mark.parametrize(
    "loud",
    [{"moved": (True,) * 4 + (False,) * 20}, {"effects": (0.2,) * 24}],
    ids=["answers move", "an effect is left"],
)
def test_shuffled_labels_that_do_as_well_turn_the_verdict(loud):
    control = sample(0.0, "shuffled", spread=0.02, moved=(False,) * 24).model_copy(update=loud)
    found = judge(prediction(**SHUFFLED), evidence(shuffled=control))
    assert {name for name, outcome in outcomes(found).items() if outcome != "pass"} == {"shuffled_labels"}
    assert (found.verdict, found.tier) == ("inconclusive", "causal")


def absent(**changes: Any) -> Prediction:
    return prediction(**{"direction": "none", "kind": "absence", "expected": None, "twin_arms": (), **changes})


def nothing(mean: float = 0.0, spread: float = 0.03, **changes: Any) -> Evidence:
    return Evidence(confirmation=tuple(sample(mean, "main", f, spread=spread, **changes) for f in FAMILIES))


def test_an_absence_is_supported_by_an_interval_inside_the_bounds():
    found = judge(absent(), nothing())
    assert (found.verdict, found.tier) == ("supported", "replicated")
    assert -0.05 < found.low < found.high < 0.05
    assert judge(absent(holds_out_template=False), nothing()).tier == "controlled"
    one = Evidence(confirmation=(sample(0.0, "main", spread=0.03),))
    assert judge(absent(families=("value",)), one).tier == "causal"


def test_a_large_p_is_no_evidence_of_absence():
    found = judge(absent(), nothing(spread=0.3))
    assert found.p > 0.05
    assert (found.verdict, found.tier) == ("inconclusive", "observed")
    assert found.minimum_detectable > 0.05


def test_an_absence_is_refuted_by_an_effect_on_either_side():
    for mean in (0.3, -0.3):
        found = judge(absent(), nothing(mean))
        assert (found.verdict, found.tier) == ("refuted", "causal")


@pytest.mark.parametrize(
    ("gate", "measured"),
    [
        ("behaviour", {"clean_correct": (False,) * 24}),
        ("behaviour", {"gap": -1.0}),
        ("no_op", {"no_op_change": 1e-9}),
        ("no_op", {"no_op_change": None}),
        ("answers_stay", {"moved": (True,) * 4 + (False,) * 20}),
    ],
)
def test_each_gate_of_an_absence_alone_turns_the_verdict(gate, measured):
    found = judge(absent(), nothing(**measured))
    assert {name for name, outcome in outcomes(found).items() if outcome != "pass"} == {gate}
    assert found.verdict == "inconclusive"


def test_opposite_effects_of_two_families_are_no_absence():
    up = sample(0.4, "main", "value", spread=0.01, moved=(False,) * 24)
    down = up.model_copy(
        update={"measurement": "m-down", "counterfactual_family": "key", "effects": tuple(-e for e in up.effects)}
    )
    found = judge(absent(), Evidence(confirmation=(up, down)))
    assert outcomes(found)["equivalence"] == "pass"
    assert (found.verdict, outcomes(found)["families"]) == ("inconclusive", "fail")


def simulate(seed: int, mean: float, leak: float = 0.0, k: int = 12, spread: float = 0.1):
    """Discovery picks the best of 20 units, of which unit 0 has the mean and the rest the leak; then confirmation."""
    rng = np.random.default_rng(seed)
    clusters = tuple(f"e{i}" for i in range(k) for _ in range(2))

    def measured(true: float, name: str, family: str) -> Sample:
        shared = true + spread * rng.normal(size=(k, 1))
        effects = (shared + spread / 2 * rng.normal(size=(k, 2))).ravel()
        return Sample(
            measurement=name,
            counterfactual_family=family,
            effects=tuple(effects.tolist()),
            clusters=clusters,
            moved=tuple((effects > 0.5).tolist()),
            random_effects=tuple((spread / np.sqrt(k) * rng.normal(size=20)).tolist()),
            no_op_change=0.0,
            gap=4.0,
            clean_correct=(True,) * (2 * k),
        )

    truth = [mean] + [leak] * 19
    seen = [np.mean(measured(t, "d", "value").effects) for t in truth]
    best = int(np.argmax(seen))
    confirmation = tuple(measured(truth[best], f"m-{f}", f) for f in FAMILIES)
    twin = tuple(
        s.model_copy(update={"measurement": f"t-{s.counterfactual_family}", "gap": 0.05}) for s in confirmation
    )
    others = tuple(rng.uniform(size=19).tolist())
    found = judge(
        prediction(expected=float(seen[best])),
        Evidence(confirmation=confirmation, twin=twin, units_looked_at=others),
        seed=seed,
    )
    return best, found


def test_on_null_data_where_the_best_of_twenty_units_is_tested_claims_are_rare():
    false = sum(simulate(seed, 0.0)[1].verdict == "supported" for seed in range(300))
    # 0 of 300 bounds the rate below 1 % (rule of three).
    assert stats.binomtest(false, 300).proportion_ci().high < 0.05
    assert false <= 2


def test_small_leaks_that_are_real_but_do_not_matter_are_no_claims():
    false = sum(simulate(seed, 0.03, leak=0.03, spread=0.02)[1].verdict == "supported" for seed in range(100))
    assert false == 0


def test_planted_effects_are_supported_nearly_always():
    hits = [simulate(seed, 0.5) for seed in range(60)]
    assert sum(best == 0 and found.verdict == "supported" for best, found in hits) >= 57


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(24)), st.floats(0.01, 100))
def test_neither_the_order_of_pairs_nor_the_unit_of_the_gap_changes_a_judgement(order, scale):
    def mixed(s: Sample) -> Sample:
        fields = ("effects", "clusters", "moved", "clean_correct")
        update: dict[str, Any] = {name: tuple(getattr(s, name)[i] for i in order) for name in fields}
        return s.model_copy(update={**update, "gap": s.gap * scale})

    base = evidence()
    other = base.model_copy(
        update={"confirmation": tuple(map(mixed, base.confirmation)), "twin": tuple(map(mixed, base.twin))}
    )
    one, two = judge(prediction(), base), judge(prediction(), other)
    assert (one.verdict, one.p, one.q, one.low, one.high) == (two.verdict, two.p, two.q, two.low, two.high)


@settings(max_examples=60, deadline=None)
@given(st.floats(-1, 1), st.floats(0.001, 0.5), st.sampled_from(["positive", "none"]), st.integers(0, 10))
def test_a_verdict_never_contradicts_its_own_interval(mean, spread, direction, seed):
    data = tuple(sample(mean, "main", f, spread=spread, seed=seed) for f in FAMILIES)
    if direction == "positive":
        found = judge(prediction(expected=abs(mean) + 0.01), evidence(confirmation=data))
        agrees = {"supported": found.low > 0.05, "refuted": found.high < 0.05, "inconclusive": True}
    else:
        found = judge(absent(), Evidence(confirmation=data))
        inside, outside = found.low > -0.05 and found.high < 0.05, found.low > 0.05 or found.high < -0.05
        agrees = {"supported": inside, "refuted": outside, "inconclusive": True}
    assert agrees[found.verdict]
    assert found.low <= found.effect <= found.high


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("effects", (float("nan"),) * 24, "`effects` holds a number that is not finite"),
        ("random_effects", (float("inf"),), "`random_effects` holds a number that is not finite"),
        ("gap", float("nan"), "`gap` holds a number that is not finite"),
        ("no_op_change", float("nan"), "`no_op_change` holds a number that is not finite"),
        ("clusters", ("a",), "24 effects but 1 `clusters`"),
        ("moved", (), "24 effects but 0 `moved`"),
        ("clean_correct", (True,) * 25, "24 effects but 25 `clean_correct`"),
        ("effects", (), "has no pairs"),
    ],
)
def test_a_sample_that_cannot_be_used_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Sample(**{**sample(0.5, "main").model_dump(), field: value})


def test_evidence_that_was_not_sealed_or_is_missing_gets_no_verdict():
    with pytest.raises(ValueError, match="no confirming sample"):
        judge(prediction(), Evidence(confirmation=()))
    with pytest.raises(ValueError, match="confirmation of prediction p1 has families that were not sealed: key"):
        judge(prediction(("value",)), evidence())
    with pytest.raises(ValueError, match="twin of prediction p1 has families that were not sealed: key"):
        judge(prediction(twin_arms=(arm("value"),)), evidence())
    with pytest.raises(ValueError, match="shuffled control of prediction p1"):
        judge(prediction(), evidence(shuffled=sample(0.0, "shuffled")))


def test_what_suggested_a_hypothesis_cannot_confirm_it():
    seen = sample(0.5, "main", "value")
    with pytest.raises(ValueError, match="cannot confirm it: m-main-value"):
        evidence(discovery=(seen,))
    with pytest.raises(ValueError, match="value more than once"):
        evidence(confirmation=(seen, seen))
    with pytest.raises(ValueError, match="`arms` of prediction p1: value more than once"):
        prediction(("value", "value"))
    with pytest.raises(ValueError, match="an absence predicts direction none"):
        prediction(kind="absence")


def test_the_effect_of_discovery_stands_in_for_one_that_was_not_recorded():
    found = judge(prediction(expected=None), evidence(discovery=(sample(1.2, "seen"),)))
    assert (found.verdict, outcomes(found)["replication"]) == ("inconclusive", "fail")
    assert judge(prediction(expected=None), evidence(discovery=(sample(0.6, "seen"),))).verdict == "supported"


def test_strong_words_need_strong_tiers():
    for word in ("proves", "because", "causes"):
        assert check_wording(f"This {word} it.", "observed") == (word,)
        assert check_wording(f"This {word} it.", "causal") == (word,)
        assert check_wording(f"This {word} it.", "controlled") == ()
    assert check_wording("It affects the answer.", "observed") == ("affects",)
    assert check_wording("It affects the answer.", "causal") == ()
    assert check_wording("It always does.", "controlled") == ("always",)
    for tier in TIERS:
        assert check_wording("The site was seen to move the answer.", tier) == ()
        assert check_wording(" ".join(WORDS[tier]), tier) == ()
        assert check_wording("The model has learned it.", tier) == ("learned",)  # random weights do something as well


def test_offending_words_are_found_whole_in_order_and_however_they_are_set():
    text = "Due\n to the head, it PROVES and de\u200bpends on it: ca\u00adused."
    assert check_wording(text, "observed") == ("Due\n to", "PROVES", "depends on", "caused")
    assert check_wording("The applause improves the causeway.", "observed") == ()
