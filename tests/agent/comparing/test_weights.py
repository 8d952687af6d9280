"""Changes of weights with answers worked out by hand."""

import re
from copy import deepcopy

import pytest
import torch
from conftest import FAMILIES, make_subject
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from vesalius.agent.comparing.weights import change_of, compared_weights, rank_of
from vesalius.tools import Subject, load_subject


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


def test_a_bias_that_the_family_lacks_is_no_weight():
    parent = load_subject("atlas", "cpu")
    model = deepcopy(parent.model)
    with torch.no_grad():
        model.model.layers[2].self_attn.o_proj.weight[:, :32] *= 0.5
    (group,) = compared_weights(parent, Subject(model, parent.tokenizer, "edited", None, None)).groups
    assert (group.entries, group.changed) == (128 * 128, 0.25)


def test_what_the_configurations_say_otherwise_is_told_though_no_weight_differs():
    def edit(model):
        model.config.hidden_act = "gelu"

    found = compared_weights(*edited("llama", edit))
    assert found.identical
    assert found.settings == ("hidden_act: 'silu' in A, 'gelu' in B",)
    assert found.told.endswith("The configurations differ: hidden_act: 'silu' in A, 'gelu' in B.")


def tokenizer_of(subject, order):
    """The same words under other ids."""
    words = {token: i for i, token in enumerate(order)}
    made = Tokenizer(models.WordLevel(words, unk_token=order[0]))
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token=order[0])


def test_embeddings_are_compared_token_by_token_where_the_vocabularies_differ():
    parent = make_subject("llama")
    vocab = parent.tokenizer.get_vocab()
    by_id = sorted(vocab, key=vocab.get)
    turned = [*by_id[:2], *reversed(by_id[2:])]
    model = deepcopy(parent.model)
    ids = torch.tensor([vocab[token] for token in turned])
    with torch.no_grad():
        for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            table[: len(ids)] = table[ids].clone()
    found = compared_weights(parent, Subject(model, tokenizer_of(parent, turned), "turned", None, None))
    assert not found.same_vocabulary
    assert not found.identical
    assert found.groups == ()
    assert f"token by token, of the {len(by_id)} that both have" in found.told


def test_a_longer_context_and_more_words_leave_the_other_weights_comparable():
    parent = make_subject("llama")
    config = deepcopy(parent.model.config)
    config.max_position_embeddings *= 2
    model = type(parent.model)(config).eval()
    model.load_state_dict(parent.model.state_dict())
    found = compared_weights(parent, Subject(model, parent.tokenizer, "longer", None, None))
    assert not found.same_architecture
    assert found.groups == ()
    assert "n_ctx" in found.told
    assert found.told.startswith("All weights are equal to the last bit. Sizes differ:")
    wider = deepcopy(parent.model)
    wider.resize_token_embeddings(parent.shape.n_vocab + 1)
    found = compared_weights(parent, Subject(wider, parent.tokenizer, "wider", None, None))
    assert found.groups == ()
    assert "n_vocab" in found.told
