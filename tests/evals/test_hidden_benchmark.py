"""The hidden-rule benchmark: what it counts, what its predictor and black box know, and what its figures are called."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel
from vesalius.evals.benchmarks import _hidden_arms as arms, hidden_rule
from vesalius.evals.benchmarks._hidden_black_box import black_box, plan_queries
from vesalius.evals.benchmarks._hidden_evidence import (
    Evidence,
    Transcript,
    among,
    draw_transcript,
    effect_table,
    extrapolated,
    margins,
    mean_by_field,
    single_changes,
)
from vesalius.evals.benchmarks._hidden_figures import CHOSEN, SHOWN, Audited, by_organism, figures, table
from vesalius.evals.benchmarks._hidden_passes import counted
from vesalius.evals.benchmarks._hidden_predictor import Labelled, association, chosen, predict
from vesalius.evals.benchmarks._hidden_trials import Outcome, field_auroc, field_f1, outcomes
from vesalius.evals.organisms._hidden_folder import HiddenRule, Plan
from vesalius.evals.organisms._hidden_text import hidden_tokenizer, prompt, value_position
from vesalius.evals.organisms._hidden_training import untrained
from vesalius.evals.organisms._hidden_tree import FIELDS, RecordLaw, Split, decide
from vesalius.tools import Subject

LAW = RecordLaw(((1, 2),))
TREE = Split(0, frozenset({0}), inside=True, outside=Split(7, frozenset({2}), inside=False, outside=True))


def fresh(seed: int) -> GPT2LMHeadModel:
    """Random weights, with attention patterns that can be read."""
    model = untrained(hidden_tokenizer(), seed)
    model.set_attn_implementation("eager")
    return model


@pytest.fixture(scope="module")
def subject() -> Subject:
    """Random weights, wide enough that every value matters, and centred so that both decisions come up."""
    model = fresh(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
    made = Subject(model, hidden_tokenizer(), "random", None, None)
    yes, no = made.tokenizer.convert_tokens_to_ids(["yes", "no"])
    with torch.no_grad():
        records = LAW.records(np.random.default_rng(0), 200)
        tokens = made.tokenise([prompt(record) for record in records])
        read = model.transformer(tokens.ids).last_hidden_state[:, -1]
        less = model.lm_head.weight[yes] - model.lm_head.weight[no]
        # The direction of yes less no loses what it says on average.
        mean = read.mean(0)
        model.lm_head.weight[yes] -= mean * (less @ mean) / (mean @ mean)
    return Subject(model, hidden_tokenizer(), "random", None, None)


@pytest.fixture(scope="module")
def transcript(subject: Subject) -> Transcript:
    return draw_transcript(subject, LAW, 1)


def labelled(n: int, seed: int = 0) -> Labelled:
    records = RecordLaw(()).records(np.random.default_rng(seed), n)
    return Labelled(records, decide(TREE, records), np.ones(n))


def test_a_transcript_has_both_decisions_of_the_model_and_asks_about_no_record_that_is_shown(subject, transcript):
    assert transcript.shown.shape == (10, 10)
    assert transcript.asked.shape == (90, 10)
    assert set(transcript.decisions.tolist()) == {True, False}
    assert not among(transcript.shown, transcript.asked).any()
    assert len(np.unique(transcript.asked, axis=0)) == 90
    assert ((margins(subject, transcript.asked) > 0) == transcript.truth).all()
    again = draw_transcript(subject, LAW, 1)
    assert (again.shown == transcript.shown).all()
    assert (again.asked == transcript.asked).all()
    assert (draw_transcript(subject, LAW, 2).shown != transcript.shown).any()


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


def test_gradients_of_a_model_that_reads_one_field_name_that_field(transcript):
    model = fresh(0)
    first, second = model.transformer.h
    with torch.no_grad():
        for block in (first, second):
            block.mlp.c_proj.weight.zero_()
            block.attn.c_attn.weight[:, :128].zero_()
        first.attn.c_attn.weight[:, 144:].zero_()  # one head alone carries anything
        second.attn.c_attn.weight[:, 128:].zero_()
        # Its queries are constant, and the key of the fifth field's value stands out by its position.
        first.attn.c_attn.bias[:16] = 3.0
        first.attn.c_attn.weight[0, 64:80] = 3.0
        model.transformer.wte.weight.mul_(10)
        model.transformer.wpe.weight.zero_()
        model.transformer.wpe.weight[value_position(4), 0] = 5.0
    subject = Subject(model, hidden_tokenizer(), "one field", None, None)
    for arm in (arms.gradient, arms.relp):
        scores = arm(subject, LAW, transcript, 0).scores
        assert scores.argmax() == 4
        assert chosen(scores) >= {4}


def test_prompting_counts_what_the_model_says_after_why(subject, transcript, monkeypatch):
    says = iter(["age", "heat", "end"])

    def ask(_: Subject, name: str, prompts: list[str], top_k: int) -> dict[str, object]:
        assert all(" why" in text for text in prompts)
        word = next(says)
        return {"answers": [{"top": [(word if i else "end", 1.0)]} for i in range(len(prompts))]}

    monkeypatch.setattr(arms, "ask", ask)
    scores = arms.prompting(subject, LAW, transcript, 0).scores
    assert scores[FIELDS.index("age")] == pytest.approx(0.9)  # the first never says anything
    assert scores[FIELDS.index("heat")] == pytest.approx(0.8)
    assert scores.sum() == pytest.approx(1.7)


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


NAMED = ("samples_only", "black_box_least", CHOSEN)


def outcome(arm: str, name: str, accuracy: float, number: int = 0, matched: float | None = None, **more) -> Outcome:
    usual = {"planting": "adapter", "kind": "none", "depth": 4, "f1": 0.95, "auroc": 0.9, "least_passes": 30}
    return Outcome(
        **{**usual, **more}, arm=arm, organism=name, transcript=number, accuracy=accuracy, run_passes=9, matched=matched
    )


def audited() -> Audited:
    """Two organisms that hide their rule and one that tells it; other arms than these three always say .5."""
    found = [outcome(arm, name, 0.5) for arm in SHOWN for name in "ab" if arm not in NAMED]
    for name, kind, higher in (("a", "none", 0.2), ("b", "unfaithful", 0.1), ("c", "faithful", 0.9)):
        for number in range(2):
            found += [
                outcome("samples_only", name, 0.5, number, kind=kind),
                outcome("black_box_least", name, 0.6, number, kind=kind),
                outcome(CHOSEN, name, 0.5 + higher / 2 + number * higher, number, matched=1.0, kind=kind),
            ]
    return Audited(found, ["x: 0.900"], 12.0)


def test_gains_are_paired_by_organism_and_leave_faithful_explanations_out():
    found = figures(audited())
    gained = found["gain.over_samples_only.all"]
    assert (gained.value, gained.n) == (pytest.approx(0.2 * 0.5 + 0.1 * 0.5 + 0.0), 2)
    assert gained.met
    assert gained.target == "≥ 0.15"
    assert found["gain.over_black_box_least.held_out_planting"].value == pytest.approx(0.05)
    assert found["gain.over_black_box_least.held_out_planting"].met is None
    assert found["gain.over_black_box_as_run.all"].value == pytest.approx(0.65 - 1.0)
    assert found["field_f1.relp"].value == pytest.approx(0.95)
    assert found["field_f1_depth4.relp"].met
    assert "accuracy.samples_only.none" not in found  # one organism has no spread
    scratch = replace(audited(), outcomes=[replace(one, planting="scratch") for one in audited().outcomes])
    assert "gain.over_samples_only.held_out_planting" not in figures(scratch)
    assert by_organism(
        [outcome("relp", "a", 0.2), outcome("relp", "a", 0.4, 1), outcome("relp", "b", 0.9)], lambda o: o.accuracy
    ) == [
        pytest.approx(0.3),
        0.9,
    ]


def test_the_table_has_the_published_figures_and_every_refusal(tmp_path, monkeypatch):
    text = table(audited(), "the command")
    assert "RelP: 79.7 / 79.4 / 78.7" in text
    assert "sample-only: 75.0 / 73.0 / 75.0" in text
    assert "made again with another rule: 1." in text
    assert "- x: 0.900" in text
    asked = []
    hidden_rule.main([str(tmp_path)], measured=lambda seed, _, form: asked.append((seed, form)) or audited())
    assert asked == [(0, hidden_rule.FULL)]
    assert (tmp_path / "hidden_rule.md").read_text().startswith("Measured ")


def test_evidence_without_scores_leaves_all_fields_to_the_predictor(subject, transcript):
    assert arms.samples_only(subject, LAW, transcript, 0) == Evidence(None, 0, 0)


def test_the_full_form_has_24_organisms_or_more_and_the_quick_one_has_every_kind():
    assert len(hidden_rule.FULL.plans(0)) >= 24
    assert {(p.planting, p.kind) for p in hidden_rule.QUICK.plans(0)} == {
        (planting, kind) for planting in ("scratch", "adapter") for kind in ("none", "faithful", "unfaithful")
    }
