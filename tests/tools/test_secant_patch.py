"""Secant patching: exact where it must be, blind to no threshold, and path patching itself with enough runs."""

import pytest
import torch
from circuit_models import BACKUP_PAIR, FAMILIES, PAIRS, REFUSED, backup_subject, linear_subject
from conftest import make_subject
from vesalius.tools import ToolError
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_methods import Method
from vesalius.tools._circuit_rules import GRADIENT
from vesalius.tools._circuit_scores import Asking
from vesalius.tools._circuit_secant_runs import SecantRuns, secant_drops
from vesalius.tools._circuit_secants import Slots, planned, told
from vesalius.tools._path_runs import PathRuns
from vesalius.tools.secant_patch import SecantPatchArgs, secant_patch

ALL = 1000  # more runs than any slot here has nodes
BOTH = ("largest", "whole")


def asking(subject, families=FAMILIES) -> Asking:
    return Asking.of(subject, [Family.model_validate(family) for family in families])


def exact(runs) -> torch.Tensor:
    """What path patching measures, per pair and link."""
    answers = torch.cat([PathRuns(model).answers(runs.graph.links) for model in runs.models], 1)
    return (runs.clean[None] - answers).T


def pearson(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


def slots(moves: list[list[float]], whole: list[float], gram: torch.Tensor | None = None) -> Slots:
    """One slot, one pair, one position: per node what its exchange does, and what all together do."""
    slope = torch.tensor([1.0, 0.5]).reshape(1, 1, 1, 2)
    return Slots(torch.tensor(moves)[None, None, :, None], torch.tensor(whole).reshape(1, 1, 1, 2), slope, gram)


def said(of: Slots, measured: list[float]) -> list[float]:
    """By node, from what the runs did."""
    return told(planned(of, len(measured), "whole"), torch.tensor(measured).reshape(-1, 1, 1), 0.2).flatten().tolist()


def test_by_hand_a_node_has_its_share_of_the_run_and_the_gradient_across_it_as_far_as_it_is_trusted():
    moves = [[3.0, 0.0], [1.0, 2.0]]
    # The gradient says 4 of a run that did 1: of what it says of the second node's (0, 2), three tenths are taken.
    assert said(slots(moves, [4.0, 0.0]), [1.0]) == pytest.approx([0.75, 0.25 + 0.3 * 1])
    assert said(slots(moves, [4.0, 0.0]), [8.0]) == pytest.approx([6.0, 2.0 + 1])
    # A second run exchanges the second node, and says nothing of the first, whose move it does not go along.
    assert said(slots(moves, [4.0, 0.0]), [1.0, 0.9]) == pytest.approx([0.75, 0.9])


def test_shares_are_those_of_what_parts_write_and_never_above_one():
    moves, gram = [[1.0, 0.0], [0.0, 1.0]], torch.tensor([[[3.0, 0.0], [0.0, 1.0]]])
    assert planned(slots(moves, [1.0, 1.0]), 1, "whole").shares.flatten().tolist() == pytest.approx([0.5, 0.5])
    assert planned(slots(moves, [1.0, 1.0], gram), 1, "whole").shares.flatten().tolist() == pytest.approx([0.75, 0.25])
    assert planned(slots(moves, [1.0, 1.0], gram), 1, "largest").shares.flatten().tolist() == [1, 0]
    undone = planned(slots([[5.0, 0.0], [-4.5, 0.0]], [0.5, 0.0]), 1, "whole")
    assert undone.shares.flatten().tolist() == [1, -1]
    assert planned(slots(moves, [0.0, 0.0]), 1, "whole").shares.flatten().tolist() == [0, 0]


def test_what_a_run_finds_of_a_node_that_others_are_nearly_along_is_told_of_it_alone():
    moves = [[2.0, 0.0], [1.0, 1e-3], [0.0, 5e-4]]
    first, second, third = said(slots(moves, [2.0, 0.0]), [1.0, 0.0])
    assert second == pytest.approx(0.0, abs=1e-6)
    assert (first, third) == pytest.approx((1.0, 0.00025 * 0.6), abs=1e-6)


@pytest.mark.parametrize("first", BOTH)
def test_in_a_linear_model_one_run_tells_every_link(first):
    for runs in asking(linear_subject()).runs:
        due = exact(runs)
        assert due.abs().max() > 0.05
        assert torch.allclose(secant_drops(runs, 1, first), due, atol=2e-5)


@pytest.mark.parametrize("first", BOTH)
def test_what_a_backup_makes_good_is_no_effect_where_the_gradient_says_it_is_all(first):
    """By hand: cut off, the first MLP says nothing, and the second says it instead."""
    made = asking(backup_subject(), [{"name": "word", "pairs": [BACKUP_PAIR]}])
    place = made.runs[0].places["embed", "mlp_in.0"]
    (gradient,) = made.links(Method())
    assert gradient.shares[0, place].abs() > 0.5
    found = secant_drops(made.runs[0], 1, first)[0] / made.runs[0].gap
    assert found[place].item() == pytest.approx(0, abs=1e-5)
    assert found[made.runs[0].places["mlp_out.0", "logits"]].item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("first", BOTH)
def test_with_a_run_for_every_node_it_is_path_patching(subject, first):
    for runs in asking(subject).runs:
        due = exact(runs)
        assert torch.allclose(secant_drops(runs, ALL, first), due, atol=1e-4 * max(1, due.abs().max().item()))


def test_links_into_the_logits_and_links_that_were_run_are_what_cutting_them_does(subject):
    """Second road: the model run with all links but one."""
    made = asking(subject, FAMILIES[1:])  # of one pair
    (runs,), links = made.runs, made.graph.links
    found = secant_drops(runs, 1, "largest")[0]
    near = [link for link in links if link[1] == "logits"]
    (due,) = made.exact([[link] for link in near])
    assert torch.allclose(found[[runs.places[link] for link in near]], due.drops[0], atol=1e-4)
    (every,) = made.exact([[link] for link in links])
    same = (found - every.drops[0]).abs() < 1e-4
    for slot in made.graph.slots:
        assert any(same[runs.places[node, slot]] for node in made.graph.read_by(slot)), slot


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_scores_follow_what_links_do_nearer_than_gradients_on_the_way_and_more_runs_bring_them_nearer(family, first):
    made = asking(make_subject(family), FAMILIES[:1])
    (runs,) = made.runs
    due = exact(runs)
    found = [secant_drops(runs, n, first) for n in (1, 4, ALL)]
    far = [(scores - due).norm().item() for scores in found]
    assert far[0] > far[1] > far[2]
    (integrated,) = made.links(Method("inputs", 5), most_steps=45)
    assert pearson(found[0], due) > pearson(integrated.drops, due)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "gpt_neox"])
def test_the_pass_backwards_gives_the_gradients_that_the_model_has(family):
    """Second road: the subject run part by part and taken back by autograd as a whole."""
    made = asking(make_subject(family), FAMILIES[:1])
    (chunk,) = made.asked[0].chunks()
    walk = chunk.part.walk(chunk.clean, chunk.last, GRADIENT)
    due = torch.autograd.grad(chunk.differences(walk.logits).sum(), walk.added)[1:]
    model = made.runs[0].models[0]
    secants = SecantRuns(model, 1, "whole", 1.0)
    for layer, slopes in enumerate(secants._slopes()):
        start = model.needed(layer, model.first_differing)
        for mine, whole in zip(slopes, due[2 * layer : 2 * layer + 2], strict=True):
            assert torch.allclose(mine, whole[:, start:], atol=1e-4 * whole.abs().max().item())


def test_a_pair_without_a_change_has_no_score_but_rounding(subject):
    same = {**PAIRS[1], "corrupted": PAIRS[1]["base"]}
    (runs,) = asking(subject, [{"name": "both", "pairs": [PAIRS[0], same]}]).runs
    found = secant_drops(runs, 2, "largest")
    assert found[0].abs().max() > 1e-2
    assert found[1].abs().max() < 1e-5


def test_a_shorter_pair_scores_the_same_beside_a_longer_one(subject):
    together = secant_drops(asking(subject, FAMILIES[:1]).runs[0], 1, "whole")[0]
    alone = secant_drops(asking(subject, [{"name": "short", "pairs": PAIRS[:1]}]).runs[0], 1, "whole")[0]
    # Of a pair alone, a smaller part of the mean gap counts as negligible or a larger one.
    assert pearson(together, alone) > 0.999


def test_runs_a_few_at_a_time_are_the_same_runs(monkeypatch):
    (runs,) = asking(make_subject("llama"), FAMILIES[:1]).runs
    whole = secant_drops(runs, 2, "largest")
    monkeypatch.setattr("vesalius.tools._circuit_secant_runs.LARGEST_ROWS", 1)
    assert torch.allclose(secant_drops(runs, 2, "largest"), whole, atol=1e-5)


def test_the_strongest_are_measured_beside_their_score():
    result = secant_patch(
        linear_subject(), SecantPatchArgs.model_validate({"families": FAMILIES, "top": 6, "check": 5})
    )
    assert (result.n_scored, result.n_measured) == (262, 5)
    assert result.measured_pearson == pytest.approx(1, abs=1e-5)
    for one in result.scored[:5]:
        assert all(said.measured == pytest.approx(said.effect, abs=1e-4) for said in one.families)


@pytest.mark.parametrize(("change", "mend"), REFUSED)
def test_what_cannot_be_scored_is_refused_with_the_mend(change, mend):
    with pytest.raises(ToolError, match=mend):
        secant_patch(make_subject("gpt2"), secant_patch.parse({"families": [{"name": "one", **change}]}))


def test_no_run_at_all_is_refused():
    with pytest.raises(ToolError, match="greater than or equal to 1"):
        secant_patch.parse({"families": FAMILIES, "runs": 0})
