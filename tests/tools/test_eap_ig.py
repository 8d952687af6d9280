"""Integrated gradients: they add up to what they must, and agree with one gradient where the model is linear."""

import pytest
import torch
from circuit_models import FAMILIES, PAIRS, REFUSED, linear_subject
from conftest import make_subject
from vesalius.tools import ToolError
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_methods import Method
from vesalius.tools._circuit_results import out_of
from vesalius.tools._circuit_scores import Asking
from vesalius.tools.eap_ig import EapIgArgs, eap_ig


def asking(subject, families=FAMILIES) -> Asking:
    return Asking.of(subject, [Family.model_validate(family) for family in families])


@pytest.mark.parametrize("along", ["inputs", "activations"])
def test_in_a_linear_model_the_way_does_not_matter(along):
    made = asking(linear_subject())
    for one, other in zip(made.links(Method(along, 3)), made.links(Method()), strict=True):
        assert torch.allclose(one.drops, other.drops, atol=2e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_between_two_embeddings_the_links_of_the_tokens_add_up_to_the_gap(family):
    (scores,) = asking(make_subject(family), FAMILIES[:1]).links(Method("inputs", 4), most_steps=324)
    assert scores.steps in (4, 12, 36, 108, 324)
    assert scores.complete == pytest.approx(1, abs=0.02)


def test_tripled_steps_are_the_finer_steps_themselves():
    made = asking(make_subject("gpt2"), FAMILIES[:1])
    (grown,) = made.links(Method("inputs", 2), most_steps=18)
    (whole,) = made.links(Method("inputs", grown.steps))
    assert grown.steps > 2
    assert torch.allclose(grown.drops, whole.drops, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma3_text", "gpt_neox"])
def test_between_two_activations_the_links_of_an_mlp_add_up_to_what_cutting_it_off_does(family):
    made = asking(make_subject(family), FAMILIES[:1])
    (scores,) = made.links(Method("activations", 40))
    nodes = [f"mlp_out.{layer}" for layer in range(3)]
    (exact,) = made.exact([out_of(made.graph, node) for node in nodes])
    for place, node in enumerate(nodes):
        mine = torch.tensor([source == node for source, _ in made.graph.links])
        size = exact.drops.abs().max().item()
        assert torch.allclose(scores.drops[:, mine].sum(1), exact.drops[:, place], atol=0.02 * size), node


@pytest.mark.parametrize("along", ["inputs", "activations"])
def test_a_pair_without_a_change_has_no_score_to_the_last_bit(along):
    same = {**PAIRS[1], "corrupted": PAIRS[1]["base"]}
    (scores,) = asking(make_subject("qwen3"), [{"name": "both", "pairs": [PAIRS[0], same]}]).links(Method(along, 3))
    assert scores.drops[0].abs().max() > 0
    assert scores.drops[1].abs().max() == 0


def test_the_result_says_how_many_points_were_taken_and_what_they_add_up_to():
    result = eap_ig(make_subject("gpt2"), EapIgArgs(families=FAMILIES, steps=2, most_steps=2, check=0, top=1))
    assert [family.steps for family in result.families] == [2, 2]
    assert all(family.complete is not None for family in result.families)
    assert result.measured_pearson is None
    along = eap_ig(make_subject("gpt2"), EapIgArgs(families=FAMILIES, along="activations", steps=2, check=0, top=1))
    assert all(family.complete is None for family in along.families)


@pytest.mark.parametrize(("change", "mend"), REFUSED[:2])
def test_what_cannot_be_scored_is_refused_with_the_mend(change, mend):
    with pytest.raises(ToolError, match=mend):
        eap_ig(make_subject("gpt2"), eap_ig.parse({"families": [{"name": "one", **change}]}))


def test_fewer_most_steps_than_steps_are_refused():
    with pytest.raises(ToolError, match="fewer than `steps`"):
        eap_ig.parse({"families": FAMILIES, "steps": 5, "most_steps": 4})
