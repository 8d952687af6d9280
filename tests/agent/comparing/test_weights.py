"""Changes of weights with answers worked out by hand."""

import re
from copy import deepcopy

import pytest
import torch
from conftest import FAMILIES, make_subject
from vesalius.agent.comparing.weights import change_of, compared_weights, rank_of
from vesalius.tools import Subject


def edited(family, edit):
    """A copy of a random subject, and the subject itself."""
    parent = make_subject(family)
    model = deepcopy(parent.model)
    edit(model)
    return parent, Subject(model, parent.tokenizer, "edited", None, None)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_beside_itself_is_equal_to_the_last_bit(family):
    subject = make_subject(family)
    found = compared_weights(subject, subject)
    assert found.identical
    assert found.told == "All weights are equal to the last bit."
    assert (found.groups, found.tokens, found.n_tokens) == ((), (), 0)
    assert found.same_architecture
    assert found.same_vocabulary


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_some_group(family):
    parent = make_subject(family)
    for name, parameter in parent.model.named_parameters():
        if re.search(r"\.[1-9]\.", name):  # blocks are alike
            continue

        def edit(model, name=name, shape=parameter.shape):
            model.get_parameter(name).view(-1)[0] += 1
            assert model.get_parameter(name).shape == shape

        parent, child = edited(family, edit)
        found = compared_weights(parent, child)
        assert len(found.groups) == 1, name
        assert "Not compared" not in found.told, name


def test_a_rank_one_edit_is_found_where_it_is_and_its_rank_is_one():
    def edit(model):
        down = model.model.layers[1].mlp.down_proj.weight
        down += torch.outer(torch.linspace(-1, 1, down.shape[0]), torch.linspace(0, 2, down.shape[1]))

    found = compared_weights(*edited("llama", edit))
    (group,) = found.groups
    assert group.group == "mlp out of block 1"
    assert group.rank_99 == 1
    assert group.top_1 == pytest.approx(1)
    assert group.stable_rank == pytest.approx(1)
    assert found.told == "Changed: mlp out of block 1; all else is equal to the last bit."


def test_three_orthogonal_edits_of_known_size_have_their_rank_and_shares():
    # Singular values 2, 2 and 1: energies 4, 4 and 1 of 9.
    delta = torch.zeros(7, 5, dtype=torch.float64)
    delta[0, 0], delta[3, 2], delta[6, 4] = 2, -2, 1
    found = rank_of(delta)
    assert found.stable_rank == pytest.approx(9 / 4)
    assert found.rank_99 == 3
    assert found.top_1 == pytest.approx(4 / 9)
    assert found.top_8 == pytest.approx(1)


def test_the_smallest_singular_values_do_not_count_below_a_hundredth_of_the_energy():
    delta = torch.diag(torch.tensor([10.0, 1.0, 0.01], dtype=torch.float64))  # energies 100, 1 and .0001
    assert rank_of(delta).rank_99 == 1
    assert rank_of(torch.diag(torch.tensor([9.0, 1.0], dtype=torch.float64))).rank_99 == 2  # 81 and 1: .9878 in one


def test_sizes_of_a_change_are_those_worked_out_by_hand():
    was, now = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    found = change_of("w", [was], [now])
    assert found.relative == pytest.approx(1)  # the difference is (0, 0; 3, -4), of norm 5 over 5
    assert found.cosine == pytest.approx(9 / (5 * 18**0.5))
    assert found.changed == pytest.approx(0.5)
    assert found.entries == 4


def test_weights_that_are_zero_on_one_side_have_no_cosine():
    found = change_of("w", [torch.zeros(2, 2)], [torch.ones(2, 2)])
    assert found.cosine is None


def test_the_tokens_whose_embedding_changed_are_named():
    def edit(model):
        table = model.get_input_embeddings().weight
        table[5] *= 2
        table[9] *= 1.5

    found = compared_weights(*edited("llama", edit))
    assert [(one.token.strip(), one.id) for one in found.tokens] == [("w2", 5), ("w6", 9)]
    assert [one.relative for one in found.tokens] == [pytest.approx(1), pytest.approx(0.5)]
    assert found.n_tokens == 2
    assert found.told.startswith("Changed: embedding;")


def test_keys_that_heads_share_count_once():
    def edit(model):
        model.model.layers[0].self_attn.k_proj.weight += 1

    (group,) = compared_weights(*edited("llama", edit)).groups
    keys = make_subject("llama").model.model.layers[0].self_attn.k_proj
    assert group.entries == keys.weight.numel() + keys.bias.numel()


def test_models_of_other_shapes_are_not_compared_and_say_how_they_differ():
    found = compared_weights(make_subject("llama"), make_subject("gpt2"))
    assert not found.same_architecture
    assert not found.identical
    assert "llama and gpt2" in found.told
    assert any(line.startswith("n_kv_heads: 2 in A, 4 in B") for line in found.sizes)
    assert found.groups == ()
