"""Selective ablation: a planted double dissociation, losses by hand, gradients by small steps, folds, errors."""

import numpy as np
import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, silent
from vesalius.tools._cross_validation import cluster_numbers, folds_of, held_out_difference
from vesalius.tools._task_match import MatchRule, matched, total_variation
from vesalius.tools._unit_ablation import Exam, Filler, Question
from vesalius.tools._unit_scores import read_units
from vesalius.tools._units import Units
from vesalius.tools.ablate_neurons import AblateNeuronsArgs, ablate_neurons

FIRST = [{"prompt": f"w{i} w1", "answer": "w10"} for i in range(20, 26)]
SECOND = [{"prompt": f"w{i} w2", "answer": "w11"} for i in range(20, 26)]


def two_tasks() -> Subject:
    """A model whose neuron 1/0 alone answers after w1, and whose neuron 1/1 alone answers after w2."""
    model, tokenizer = writing_nothing("self_attn", "mlp"), word_tokenizer()
    embed, mlp, unembed = model.model.embed_tokens.weight, model.model.layers[1].mlp, model.lm_head.weight
    with torch.no_grad():
        embed[:, :4] = 0
        unembed.zero_()
        for neuron, (word, answer) in enumerate((("w1", "w10"), ("w2", "w11"))):
            token = tokenizer.convert_tokens_to_ids(word)
            embed[token] = 0
            embed[token, neuron] = 1
            mlp.gate_proj.weight[neuron, neuron] = mlp.up_proj.weight[neuron, neuron] = 1
            mlp.down_proj.weight[2 + neuron, neuron] = 1
            unembed[tokenizer.convert_tokens_to_ids(answer), 2 + neuron] = 1
    return Subject(model, tokenizer, "two tasks", None, None)


TWO_TASKS = two_tasks()


def run(subject, **asked):
    raw = {"first": FIRST, "second": SECOND, "allow_unmatched": True, "doses": [1], "n_folds": 3, **asked}
    return ablate_neurons(subject, AblateNeuronsArgs.model_validate(raw))


def answered(subject, n: int = 6) -> tuple[list[Question], list[Question]]:
    """Prompts of one form, with what the model says to them as answers."""
    sets = [[f"w{i} w{j} w3" for i in range(5, 5 + n)] for j in (1, 2)]
    words = [subject.token_strings(subject.run(subject.tokenise(p)).last_logits.argmax(-1).tolist()) for p in sets]
    first, second = (
        [Question(prompt=p, answer=a) for p, a in zip(*both, strict=True)] for both in zip(sets, words, strict=True)
    )
    return first, second


@pytest.mark.parametrize("score", ["activation", "attribution"])
def test_units_that_alone_answer_one_task_are_found_and_take_it_all(score):
    """Known answer: a double dissociation."""
    result = run(TWO_TASKS, score=score, ablation="zero")
    for impairment, unit in ((result.first, "1/0"), (result.second, "1/1")):
        (dose,) = impairment.doses
        assert [fold.units for fold in dose.folds] == [(unit,)] * 3
        assert [(fold.target, fold.other) for fold in dose.folds] == [(pytest.approx(1), 0.0)] * 3
        assert [(fold.target_errors, fold.other_errors) for fold in dose.folds] == [(1.0, 0.0)] * 3
        assert (dose.selectivity, dose.low, dose.high, dose.overlap) == (pytest.approx(1),) * 4
        assert {round(one) for one in dose.random_selectivities} <= {0, -1}  # -1: the other task's neuron was drawn
        assert dose.as_selective == pytest.approx(1 / 21)
    assert (result.first.target, result.second.target) == ("first", "second")
    assert (result.right, result.n_questions, result.n_units) == ((1.0, 1.0), (6, 6), 120)
    assert result.matched.unmatched == ("last_token",)


def test_all_units_of_the_level_given_their_own_values_change_no_bit(subject):
    first, second = answered(subject)
    for level in ("neurons", "heads", "layers"):
        exam, units = Exam(subject, (first, second), "all"), Units(subject, level)
        assert exam.no_op_change(units, range(len(units))) == 0.0


def test_an_ablation_equals_a_hook_written_by_hand(subject):
    """Second road, for each level and filler."""
    first, second = answered(subject, 4)
    exam = Exam(subject, (first, second), "last")
    donors = (1, 2, 3, 4, 5, 6, 7, 0)
    read = subject.run(exam.tokens, read=["head.1.2", "mlp_act.1", "attn_out.2", "mlp_out.2"]).sites

    def put(values, columns=slice(None)):
        def edit(value):
            value = value.clone()
            value[:, -1, columns] = values[..., columns]
            return value

        return edit

    given = {
        "heads": (6, {"head.1.2": put(read["head.1.2"][list(donors), -1])}, Filler("resample", donors=donors)),
        "neurons": (
            subject.shape.d_mlp + 7,
            {"mlp_act.1": put(torch.full_like(read["mlp_act.1"][:, -1], 0.5), [7])},
            Filler("mean", means={"mlp_act.1": torch.full((subject.shape.d_mlp,), 0.5)}),
        ),
        "layers": (
            2,
            {site: put(torch.zeros_like(read[site][:, -1])) for site in ("attn_out.2", "mlp_out.2")},
            Filler("zero"),
        ),
    }
    for level, (unit, write, filler) in given.items():
        by_hand = subject.run(exam.tokens, write=write).last_logits
        heights = by_hand[torch.arange(8), exam.answers] - by_hand.mean(-1)
        outcome = exam.ablated(Units(subject, level), [unit], filler)
        assert torch.allclose(outcome.heights, heights, atol=1e-5), level
        assert not torch.allclose(outcome.heights, exam.clean.heights, atol=1e-4), level


def test_values_of_a_longer_prompt_are_taken_at_the_same_place_from_the_end():
    subject = make_subject("gpt2")
    sets = ([Question(prompt="w1 w2 w3", answer="w4")] * 4, [Question(prompt="w9 w8 w7 w6 w5", answer="w4")] * 4)
    exam = Exam.__new__(Exam)  # without the refusal of answers that the random model does not give
    exam.subject, exam.tokens = subject, subject.tokenise([q.prompt for part in sets for q in part])
    swapped = exam._donated(slice(0, 8), ["resid_pre.1"], Filler("resample", donors=(4, 5, 6, 7, 0, 1, 2, 3)))
    value = subject.run(exam.tokens, read=["resid_pre.1"]).sites["resid_pre.1"]
    assert torch.equal(swapped["resid_pre.1"][0, 1:4], value[4, 3:6])
    assert torch.equal(swapped["resid_pre.1"][4, 1:6], value[0, [1, 1, 1, 2, 3]])


def test_the_expected_loss_is_what_a_small_step_takes(subject):
    """Second road: gradients against finite differences."""
    first, second = answered(subject, 4)
    exam = Exam(subject, (first, second), "all")
    step, everywhere = 0.02, torch.ones(8, dtype=torch.bool)

    def shrunk(size):
        edit = lambda value: torch.where(exam.mask[..., None], value * (1 - size), value)  # noqa: E731
        logits = subject.run(exam.tokens, write={"head.1.2": edit}).last_logits
        return logits[torch.arange(8), exam.answers] - logits.mean(-1)

    units = Units(subject, "heads")
    readings = read_units(exam, units, silent)
    slope = (shrunk(-step) - shrunk(step)) / (2 * step)
    assert torch.allclose(readings.slopes[:, 6], slope, atol=5e-3 + 0.02 * slope.abs().max().item())
    means = readings.means(everywhere)
    toward = readings.expected_losses(everywhere, {site: 0 * mean for site, mean in means.items()})
    assert torch.equal(toward, readings.slopes)
    assert not torch.allclose(readings.expected_losses(everywhere, means), toward, atol=1e-3)


def test_neurons_are_numbered_layer_by_layer():
    units = Units(make_subject("llama"), "neurons")
    assert (len(units), units.name(47), units.layer(47)) == (120, "1/7", 1)
    assert units.columns([47, 3, 44]) == {"mlp_act.1": [7, 4], "mlp_act.0": [3]}
    assert Units(make_subject("llama"), "layers").columns([2]) == {"attn_out.2": None, "mlp_out.2": None}


def test_questions_of_one_cluster_share_a_fold():
    sets = [[Question(prompt=f"{s}{i}", answer="a", cluster=f"{s}{i // 2}") for i in range(12)] for s in "pq"]
    folds = folds_of(sets, 3, 0)
    assert folds[::2] == folds[1::2]
    assert sorted(folds[:12]) == sorted(folds[12:]) == [0] * 4 + [1] * 4 + [2] * 4
    assert folds != folds_of(sets, 3, 1)


def test_a_cluster_of_both_sets_is_in_one_fold_of_both_and_drawn_once():
    """Or units found on a city's recall would be judged on its reasoning."""
    names = [[*"abcde", "f", "f", "g"], [*"edcba", "x", "y", "z"]]
    sets = [[Question(prompt=f"{i} {j}", answer="a", cluster=c) for j, c in enumerate(n)] for i, n in enumerate(names)]
    folds = folds_of(sets, 3, 0)
    of = [dict(zip(some, folds[8 * i :], strict=False)) for i, some in enumerate(names)]
    assert [of[0][c] for c in "abcde"] == [of[1][c] for c in "abcde"]
    assert [sorted(some.values()) for some in of] == [[0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, 2, 2]]
    losses, out, target = np.tile(np.arange(8.0), (2, 2)), np.ones((2, 16), dtype=bool), np.arange(16) < 8
    assert held_out_difference(losses, out, target, cluster_numbers([sets[0], sets[0]]), 0) == (0, 0, 0)
    apart = held_out_difference(losses, out, target, np.arange(16), 0)
    assert apart.low < -1 < 1 < apart.high


def test_an_interval_leaves_out_what_a_fold_has_seen_and_widens_with_few_clusters():
    held_out = np.array([[True, False, True, False], [False, True, False, True]])
    losses = np.where(held_out, [[1.0, 1, 0.5, 0.5]] * 2, 99.0)
    target = np.array([True, True, False, False])
    assert held_out_difference(losses, held_out, target, np.array([0, 1, 0, 1]), 0) == (0.5, 0.5, 0.5)
    generator = np.random.default_rng(0)
    noisy, out = generator.normal(size=(4, 40)), np.ones((4, 40), dtype=bool)
    two = np.arange(40) < 20
    many = held_out_difference(noisy, out, two, np.arange(40), 0)
    few = held_out_difference(noisy, out, two, np.arange(40) // 7, 0)
    assert many.low < many.value < many.high
    assert few.value == many.value == pytest.approx(noisy[:, :20].mean() - noisy[:, 20:].mean())


def test_distances_between_sets_are_those_worked_by_hand():
    assert total_variation([1, 1, 2], [1, 2, 2]) == pytest.approx(1 / 3)
    found = matched(([[5, 1], [5, 6, 1]], [[5, 7, 1], [5, 7, 2]]), ([8, 8], [8, 9]), MatchRule())
    assert (found.mean_lengths, found.length_distance, found.last_token_distance) == ((2.5, 3.0), 0.5, 0.5)
    assert (found.answer_distance, found.shared_tokens, found.unmatched) == (0.5, 2 / 5, ())
    assert matched(([[1]], [[2, 1, 1]]), ([8], [8]), MatchRule()).unmatched == ("length",)


def test_each_argument_varies_the_result_and_a_repeat_does_not():
    subject = make_subject("gpt_neox")
    first, second = answered(subject)
    plain = run(subject, first=first, second=second)
    assert run(subject, first=first, second=second) == plain
    for change in ({"ablation": "resample", "n_folds": 2}, {"positions": "last"}, {"seed": 1}):
        assert run(subject, first=first, second=second, **change) != plain, change


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"allow_unmatched": False}, "Match the prompts in length and in the word that they end in"),
        ({"second": [{**q, "prompt": "w1 w1 " + q["prompt"]} for q in FIRST], "allow_unmatched": False}, "in length"),
        ({"second": FIRST}, "put each into one set"),
        ({"n_folds": 7}, "or fewer folds"),
        ({"doses": [21]}, r"Let doses be 1\.\.20"),
        ({"doses": [0]}, "1 unit or more"),
        ({"doses": [7], "level": "heads"}, r"Let doses be 1\.\.6"),
        ({"random_draws": 19}, "greater than or equal to 20"),
        ({"first": [{**q, "answer": "w11"} for q in FIRST]}, "Ask what the model can answer"),
        ({"first": [{**q, "answer": "w11 w12"} for q in FIRST]}, "single token"),
        ({"first": FIRST[:3]}, "at least 4 items"),
        ({"first": [*FIRST, {"prompt": "<pad>", "answer": "w10"}]}, "Give prompts with words"),
        ({"rule": {"length_difference": float("inf")}}, "finite number"),
        ({"seed": 2**32}, "less than or equal to"),
    ],
)
def test_what_cannot_be_ablated_is_refused_with_the_mend(change, mend):
    raw = {"first": FIRST, "second": SECOND, "allow_unmatched": True, "doses": [1], **change}
    with pytest.raises(ToolError, match=mend):
        ablate_neurons(TWO_TASKS, ablate_neurons.parse(raw))
