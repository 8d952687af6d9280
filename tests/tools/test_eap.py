"""Edge attribution patching: exact where the model is linear, the true gradient everywhere, zero without a change."""

import pytest
import torch
from circuit_models import FAMILIES, PAIRS, REFUSED, linear_subject
from conftest import make_subject
from vesalius.tools import ToolError
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_methods import Method
from vesalius.tools._circuit_runs import CircuitRuns
from vesalius.tools._circuit_scores import Asking
from vesalius.tools.eap import EapArgs, eap


def args(**more) -> EapArgs:
    return EapArgs.model_validate({"families": FAMILIES, **more})


def asking(subject, families=FAMILIES) -> Asking:
    return Asking.of(subject, [Family.model_validate(family) for family in families])


def test_in_a_linear_model_every_score_is_what_cutting_the_link_does():
    made = asking(linear_subject())
    exact = made.exact([[link] for link in made.graph.links])
    for scores, due in zip(made.links(Method()), exact, strict=True):
        assert due.shares.abs().max() > 0.05
        assert torch.allclose(scores.drops, due.drops, atol=2e-5)


def test_the_link_from_tokens_to_logits_is_worked_out_by_hand():
    subject = linear_subject()
    pair = PAIRS[2]
    ids = {word: subject.answer_token("w1", word) for word in ("w3", "w11", "w9", "w1")}
    change = subject.W_E[ids["w3"]] - subject.W_E[ids["w11"]]  # of the last word; positions are the same
    direction = subject.W_U[:, ids[pair["answer"]]] - subject.W_U[:, ids[pair["foil"]]]
    due = ((change - change.mean()) @ direction).item()
    (scores,) = asking(subject, FAMILIES[1:]).links(Method())
    place = scores.runs.places["embed", "logits"]
    assert scores.drops[0, place].item() == pytest.approx(due, abs=1e-5)


def test_each_score_is_the_slope_of_the_answer_in_what_the_link_carries(subject):
    made = asking(subject, FAMILIES[:1])
    (scores,) = made.links(Method())
    runs, step = CircuitRuns(subject, made.asked[0].pairs), 0.01
    some = torch.linspace(0, len(runs.graph.links) - 1, 24).long()
    rows = torch.arange(len(some))
    kept = torch.ones(len(some), len(runs.graph.links))
    kept[rows, some] = 1 + step
    more = runs.answers_of(kept)
    kept[rows, some] = 1 - step
    slope = (more - runs.answers_of(kept)).T / (2 * step)
    assert torch.allclose(scores.drops[:, some], slope, atol=5e-3 * scores.drops.abs().max().item())


def test_scores_into_the_logits_add_up_to_the_gradient_times_the_whole_change(subject):
    made = asking(subject, FAMILIES[:1])
    (scores,) = made.links(Method())
    final = f"resid_post.{subject.shape.n_layers - 1}"
    ends = []
    for which in ("base", "corrupted"):
        tokens = subject.tokenise([pair[which] for pair in PAIRS[:2]])
        ends.append(subject.run(tokens, read=[final]).sites[final][torch.arange(2), tokens.last])
    clean = ends[0].clone().requires_grad_()
    logits = subject.final_norm(clean) @ subject.W_U
    if subject.logit_softcap:
        logits = (logits / subject.logit_softcap).tanh() * subject.logit_softcap
    words = [[subject.answer_token("w1", pair[which]) for pair in PAIRS[:2]] for which in ("answer", "foil")]
    rows = torch.arange(2)
    (logits[rows, words[0]] - logits[rows, words[1]]).sum().backward()
    due = (clean.grad * (ends[0] - ends[1])).sum(-1)
    into = torch.tensor([slot == "logits" for _, slot in made.graph.links])
    assert torch.allclose(scores.drops[:, into].sum(1), due, atol=1e-4)


def test_a_pair_without_a_change_has_no_score_to_the_last_bit(subject):
    same = {**PAIRS[1], "corrupted": PAIRS[1]["base"]}
    (scores,) = asking(subject, [{"name": "both", "pairs": [PAIRS[0], same]}]).links(Method())
    assert scores.drops[0].abs().max() > 0
    assert scores.drops[1].abs().max() == 0


def test_a_shorter_pair_scores_the_same_beside_a_longer_one(subject):
    together = asking(subject, FAMILIES[:1]).links(Method())[0]
    alone = asking(subject, [{"name": "short", "pairs": PAIRS[:1]}]).links(Method())[0]
    assert torch.allclose(together.drops[0], alone.drops[0], atol=1e-5)


def test_pairs_in_many_passes_score_as_in_one(monkeypatch):
    subject = make_subject("llama")
    whole = asking(subject).links(Method("inputs", 3))
    monkeypatch.setattr("vesalius.tools._circuit_families.LARGEST_PASS", 1)
    for one, other in zip(whole, asking(subject).links(Method("inputs", 3)), strict=True):
        assert torch.allclose(one.drops, other.drops, atol=1e-5)


def test_a_link_has_the_score_of_the_family_in_which_it_matters_most():
    result = eap(linear_subject(), args(top=30, check=5))
    assert [family.n_pairs for family in result.families] == [2, 1]
    for one in result.scored:
        best = max(one.families, key=lambda said: abs(said.effect))
        assert (one.score, one.family) == (best.effect, best.family)
        assert best.effect == pytest.approx(sum(best.pairs) / len(best.pairs), abs=1e-6)
    sizes = [abs(one.score) for one in result.scored]
    assert sizes == sorted(sizes, reverse=True)


def test_the_strongest_are_measured_beside_their_score():
    result = eap(linear_subject(), args(top=6, check=5))
    assert result.n_measured == 5
    assert result.measured_pearson == pytest.approx(1, abs=1e-5)
    for one in result.scored[:5]:
        assert all(said.measured == pytest.approx(said.effect, abs=1e-4) for said in one.families)
    assert all(said.measured is None for said in result.scored[5].families)


@pytest.mark.parametrize(("change", "mend"), REFUSED)
def test_what_cannot_be_scored_is_refused_with_the_mend(change, mend):
    with pytest.raises(ToolError, match=mend):
        eap(make_subject("gpt2"), eap.parse({"families": [{"name": "one", **change}]}))


def test_two_families_of_one_name_are_refused():
    with pytest.raises(ToolError, match="Give each its own name"):
        eap(make_subject("gpt2"), args(families=[FAMILIES[0], FAMILIES[0]]))
