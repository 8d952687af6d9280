"""Nulls carry no true link; dormant pathways turn the answer only along the mixture of two directions that do not."""

from functools import cache

import pytest
import torch
from organism_bits import same_bits
from vesalius.evals.organisms import nulls
from vesalius.tools import one_thread

SEEDS = range(3)


@pytest.fixture(scope="module", autouse=True)
def a_single_thread():
    with one_thread():
        yield


@cache
def pathway(seed):
    return nulls.dormant_pathway(seed)


def effect(found, site, direction):
    """What patching one direction at the last position does to the answer, as a share of the gap."""
    subject = found.organism.subject
    pairs = [pair for family in found.organism.families.values() for pair in family]
    base, other = (subject.tokenise([getattr(p, kind) for p in pairs]) for kind in ("base", "corrupted"))
    yes, no = subject.tokenizer.convert_tokens_to_ids(["yes", "no"])
    sign = torch.tensor([1.0 if p.answer == "yes" else -1.0 for p in pairs])
    run = subject.run(other, read=[site])

    def patched(acts):
        acts = acts.clone()
        acts[:, -1] += ((run.sites[site] - acts)[:, -1] @ direction)[:, None] * direction
        return acts

    def lead(logits):
        return ((logits[:, yes] - logits[:, no]) * sign).mean()

    clean, corrupted = lead(subject.last_logits(base)), lead(run.last_logits)
    moved = lead(subject.run(base, write={site: patched}).last_logits)
    return ((clean - moved) / (clean - corrupted)).item()


def split(found, direction):
    """A direction's parts that the MLP's output matrix reads and that it maps to zero."""
    W_down = found.organism.subject.weights(int(found.site.split(".")[1])).W_down.double()
    left, strengths, _ = torch.linalg.svd(W_down, full_matrices=False)
    read = left[:, strengths > 1e-4 * strengths.max()]
    row = read @ (read.T @ direction.double())
    return row.float(), (direction.double() - row).float()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_illusory_direction_turns_the_answer_and_neither_of_its_parts_does(seed):
    found = pathway(seed)
    row, null = split(found, found.illusory)
    assert effect(found, found.site, found.illusory) == pytest.approx(1, abs=1e-3)
    for part in (row, null):
        assert part.norm().item() == pytest.approx(0.5**0.5, abs=1e-3)
        assert effect(found, found.site, part / part.norm()) == pytest.approx(0, abs=1e-3)
    assert torch.allclose(row, found.dormant / 2**0.5, atol=1e-4)
    assert torch.allclose(null, found.correlated / 2**0.5, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_true_direction_turns_the_answer_by_what_the_output_matrix_reads(seed):
    found = pathway(seed)
    row, null = split(nulls.DormantPathway(**{**vars(found), "site": found.true_site}), found.true)
    assert effect(found, found.true_site, found.true) == pytest.approx(1, abs=1e-3)
    assert effect(found, found.true_site, row) == pytest.approx(1, abs=1e-3)
    assert null.norm().item() == pytest.approx(0, abs=1e-3)


def test_random_directions_turn_little():
    found = pathway(0)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(10, len(found.illusory), generator=generator)
    assert max(abs(effect(found, found.site, d / d.norm())) for d in drawn) < 0.2


def test_all_directions_of_a_pathway_are_unit_vectors():
    found = pathway(0)
    for direction in (found.illusory, found.correlated, found.dormant, found.true):
        assert direction.norm().item() == pytest.approx(1, abs=1e-5)
    assert (found.correlated @ found.dormant).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pathway_is_a_compiled_organism_whose_trap_is_no_part_of_its_links(seed):
    found = pathway(seed)
    layer, true_layer = (site.split(".")[1] for site in (found.site, found.true_site))
    assert layer != true_layer
    assert not any(f"mlp_out.{layer}" in link or f"mlp_in.{layer}" in link for link in found.organism.links)
    assert (f"mlp_out.{true_layer}", "logits") in found.organism.links
    assert found.organism.verified["effect_whole_mlp"] == pytest.approx(0, abs=1e-3)
    assert found.organism.verified["faithfulness"] == pytest.approx(1, abs=1e-4)


def test_the_same_seed_gives_the_same_pathway():
    again = nulls.dormant_pathway(0)
    assert same_bits(pathway(0).organism, again.organism)
    assert torch.equal(pathway(0).illusory, again.illusory)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", nulls.NULLS)
def test_a_null_has_no_link_and_does_not_give_the_answers(name, seed):
    organism = nulls.NULLS[name](seed)
    assert organism.kind == "null"
    assert organism.links == frozenset()
    assert organism.verified["accuracy"] < 0.3
    assert len(organism.families) >= 2
    assert all(len(family) >= 4 for family in organism.families.values())


def test_shuffled_labels_never_name_what_the_model_tells_apart():
    organism = nulls.shuffled_labels(0)
    subject = organism.subject
    for pair in (pair for family in organism.families.values() for pair in family):
        for prompt in (pair.base, pair.corrupted):
            (said,) = subject.last_logits(subject.tokenise([prompt])).argmax(-1).tolist()
            assert subject.token_strings([said])[0] not in (pair.answer, pair.foil)


@pytest.mark.parametrize("name", nulls.NULLS)
def test_nulls_repeat(name):
    assert same_bits(nulls.NULLS[name](1), nulls.NULLS[name](1))
    assert not same_bits(nulls.NULLS[name](1), nulls.NULLS[name](3))


def test_random_weights_are_small_for_even_seeds_and_large_for_odd_ones():
    small, large = (nulls.reinitialised(seed).subject.model.transformer.wte.weight.std().item() for seed in (0, 1))
    assert small == pytest.approx(0.02, rel=0.1)
    assert large == pytest.approx(0.2, rel=0.1)
