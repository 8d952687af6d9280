"""The hidden-rule benchmark: what it counts, what its predictor and black box know, and how trials are run."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hidden_models import LAW, TREE, random_subject
from vesalius.evals.benchmarks import _hidden_arms as arms, _hidden_evidence, hidden_rule
from vesalius.evals.benchmarks._hidden_black_box import black_box, plan_queries
from vesalius.evals.benchmarks._hidden_evidence import (
    Transcript,
    among,
    distinct,
    draw_trial,
    effect_table,
    extrapolated,
    margins,
    mean_by_field,
    single_changes,
)
from vesalius.evals.benchmarks._hidden_passes import counted
from vesalius.evals.benchmarks._hidden_predictor import Labelled, association, chosen, predict
from vesalius.evals.benchmarks._hidden_trials import field_auroc, field_f1, outcomes
from vesalius.evals.organisms import _hidden_folder
from vesalius.evals.organisms._hidden_folder import HiddenRule, Plan
from vesalius.evals.organisms._hidden_tree import RecordLaw, decide
from vesalius.tools import Subject


@pytest.fixture(scope="module")
def subject() -> Subject:
    return random_subject()


@pytest.fixture(scope="module")
def transcript(subject: Subject) -> Transcript:
    return draw_trial(subject, LAW, 1).transcript


def labelled(n: int, seed: int = 0) -> Labelled:
    records = RecordLaw(()).records(np.random.default_rng(seed), n)
    return Labelled(records, decide(TREE, records), np.ones(n))


def test_a_transcript_has_both_decisions_of_the_model_and_asks_about_no_record_that_is_shown(subject):
    trial = draw_trial(subject, LAW, 1)
    transcript = trial.transcript
    assert transcript.shown.shape == (10, 10)
    assert transcript.asked.shape == (90, 10)
    assert set(transcript.decisions.tolist()) == {True, False}
    assert ((margins(subject, transcript.shown) > 0) == transcript.decisions).all()
    assert len(np.unique(transcript.asked, axis=0)) == 90
    assert ((margins(subject, transcript.asked) > 0) == trial.truth).all()
    again = draw_trial(subject, LAW, 1).transcript
    assert (again.shown == transcript.shown).all()
    assert (again.asked == transcript.asked).all()
    assert (draw_trial(subject, LAW, 2).transcript.shown != transcript.shown).any()


def test_no_record_asked_about_is_shown_or_one_exchange_away_from_one_that_is(subject, monkeypatch):
    monkeypatch.setattr(_hidden_evidence, "SPARE", 60)  # so many that some are near
    drawn = distinct(LAW.records(np.random.default_rng(1), 6000))
    for seed in range(1, 4):
        transcript = draw_trial(subject, LAW, seed).transcript
        apart = (transcript.asked[:, None] != transcript.shown).sum(-1)
        assert apart.min() >= 2
    shown = draw_trial(subject, LAW, 1).transcript.shown
    assert among(drawn, single_changes(shown).records).any()


def test_single_changes_are_all_of_them_and_each_changes_one_value():
    records = LAW.records(np.random.default_rng(0), 3)
    changes = single_changes(records)
    assert len(changes.of) == 3 * 10 * 2
    differs = changes.records != records[changes.of]
    assert (differs.sum(1) == 1).all()
    assert (differs.argmax(1) == changes.field).all()
    assert len(np.unique(np.c_[changes.of, changes.records], axis=0)) == 60
    assert mean_by_field(np.arange(60.0), changes.field)[0] == pytest.approx((0 + 1 + 20 + 21 + 40 + 41) / 6)


def test_forecasts_add_up_the_effects_on_the_nearest_known_record():
    shown = np.zeros((2, 10), dtype=int)
    shown[1, 0] = 1
    changes = single_changes(shown)
    effects = np.zeros(len(changes.of))
    of_first = changes.of == 0
    effects[of_first & (changes.field == 0)] = -9.0
    effects[of_first & (changes.field == 1)] = -2.0
    effects[~of_first & (changes.field == 0)] = 9.0
    table_of = effect_table(changes, effects, 2)
    assert table_of[0, 0].tolist() == [0.0, -9.0, -9.0]
    record = shown[:1].copy()
    record[0, 1] = 2
    both = record.copy()
    both[0, 0] = 1  # nearest in effect is the second, on which the second field has none
    assert extrapolated(np.array([1.0, -1.0]), table_of, np.concatenate([shown, record, both])).tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert extrapolated(np.array([3.0, -1.0]), table_of, record).tolist() == [True]


def test_fields_are_cut_where_scores_fall_apart():
    assert chosen(np.array([5.0, 0.01, 0.0, 3.0, 0.02, 0, 0, 0, 0, 0.01])) == {0, 3}
    assert chosen(np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0])) == {9}
    assert chosen(np.zeros(10)) == set(range(10))


def test_association_is_the_share_of_variance_that_a_field_explains():
    records = np.ones((4, 10), dtype=int)
    records[:2, 0] = 0
    records[[0, 2], 1] = 2
    known = Labelled(records, np.array([True, True, False, False]), np.ones(4))
    assert association(known)[:3].tolist() == [1.0, 0.0, 0.0]
    assert association(replace(known, decisions=np.ones(4, dtype=bool))).tolist() == [0.0] * 10


def test_the_predictor_learns_the_rule_and_uses_the_allowed_fields_alone():
    asked = RecordLaw(()).records(np.random.default_rng(7), 300)
    truth = decide(TREE, asked)
    known = labelled(200)
    assert (predict(known, frozenset({0, 7}), asked, 0) == truth).all()
    assert (predict(known, frozenset(range(10)), asked, 0) == truth).mean() > 0.97
    # Without the second field of the rule nothing tells hot from cold.
    said = predict(known, frozenset({0}), asked, 0)
    assert said.all()
    few = labelled(10, seed=3)
    knows_fields = (predict(few, frozenset({0, 7}), asked, 0) == truth).mean()
    assert knows_fields > (predict(few, frozenset(range(10)), asked, 0) == truth).mean()
    assert (predict(few, frozenset({0, 7}), asked, 0) == predict(few, frozenset({0, 7}), asked, 0)).all()
    # A record with no weight says nothing.
    wrong = Labelled(known.records, ~known.decisions, np.full(200, 1e-9))
    assert (predict(known + wrong, frozenset({0, 7}), asked, 0) == truth).all()
    with pytest.raises(ValueError, match="pass one of each or more"):
        predict(known, frozenset(), asked, 0)


def test_f1_and_auroc_of_fields_by_hand():
    assert field_f1(frozenset({0, 1, 2}), frozenset({1, 2, 3, 4})) == pytest.approx(
        2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)
    )
    scores = np.array([3.0, 2.0, 1.0, 1.0])
    assert field_auroc(scores, frozenset({0, 2})) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert field_auroc(scores, frozenset(range(4))) is None


def test_a_forward_pass_counts_once_a_prompt_and_a_backward_pass_twice(subject, transcript):
    with counted(subject) as passes:
        margins(subject, transcript.asked)
    assert passes.count == 90
    margins(subject, transcript.asked)
    assert passes.count == 90
    evidence = arms.gradient(subject, LAW, transcript, 0)
    # Of 200 pairs the base is run thrice and the counterfactual twice, and there is one backward pass.
    assert evidence.run_passes >= 200 * (2 + 1 + 2)
    assert evidence.least_passes == 30


@pytest.mark.parametrize("budget", [7, 30, 500])
def test_the_black_box_spends_its_budget_and_never_asks_what_it_will_be_asked(subject, transcript, budget):
    evidence = black_box(subject, LAW, transcript, 0, budget)
    assert evidence.run_passes == budget
    queries, of, field = plan_queries(LAW, transcript, np.random.default_rng(0), budget)
    assert len(queries) == budget
    assert not among(queries, transcript.asked).any()
    made = field >= 0
    assert ((queries[made] != transcript.shown[of[made]]).argmax(1) == field[made]).all()
    if budget == 30:  # ten shown, then every field twice
        assert np.bincount(field[made], minlength=10).tolist() == [2] * 10
    seen = margins(subject, evidence.more.records) > 0 if len(evidence.more.records) else np.array([])
    assert (seen == evidence.more.decisions).all()


def test_the_black_box_refuses_an_empty_budget(subject, transcript):
    with pytest.raises(ValueError, match="pass 1 or more"):
        black_box(subject, LAW, transcript, 0, 0)


def organism(subject: Subject, kind: str, number: int) -> HiddenRule:
    return HiddenRule(Plan("adapter", kind, 2, number), subject, TREE, None, LAW, {})


def test_every_arm_is_judged_on_the_same_transcript_beside_a_black_box(subject):
    found = list(outcomes(organism(subject, "none", 0), 1))
    names = [one.arm for one in found]
    assert set(arms.ARMS) < set(names)
    assert len(set(names)) == len(names)
    for one in found:
        assert 0 <= one.accuracy <= 1
        assert (one.matched is None) == (one.run_passes == 0 or one.arm.startswith("black_box"))
    by_name = {one.arm: one for one in found}
    assert by_name["true_fields"].f1 == 1.0
    assert by_name["black_box_least"].run_passes == by_name["gradient"].least_passes
    assert by_name["relp_fields"].f1 == by_name["relp"].f1


def test_the_full_form_has_two_organisms_of_every_combination_and_the_quick_one_every_kind():
    full = hidden_rule.FULL.plans(1)
    combinations = Counter((plan.planting, plan.kind, plan.depth) for plan in full)
    assert len(combinations) == 2 * 3 * 4
    assert set(combinations.values()) == {2}
    # Within one depth, adapters have two starts.
    starts = Counter((plan.depth, plan.cluster) for plan in full if plan.planting == "adapter")
    assert Counter(depth for depth, _ in starts) == dict.fromkeys((1, 2, 3, 4), 2)
    assert {(p.planting, p.kind) for p in hidden_rule.QUICK.plans(0)} == {
        (planting, kind) for planting in ("scratch", "adapter") for kind in ("none", "faithful", "unfaithful")
    }


def test_the_full_table_is_of_another_seed_than_the_one_its_arm_was_found_on():
    assert hidden_rule.SEED == 1
    assert "seed 0" in hidden_rule.__doc__.replace("\n", " ")


def test_organisms_of_another_torch_or_other_code_lie_in_another_folder(monkeypatch):
    folder = hidden_rule.cache_folder(0)
    assert hidden_rule.cache_folder(0) == folder != hidden_rule.cache_folder(1)
    monkeypatch.setattr(_hidden_folder.torch, "__version__", "9.9")
    assert hidden_rule.cache_folder(0) != folder
    monkeypatch.undo()
    monkeypatch.setitem(_hidden_folder.CODE, "hidden_rule.py", "edited")
    assert hidden_rule.cache_folder(0) != folder
