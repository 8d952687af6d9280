"""Each edit changes the groups that it says, and does what it says."""

from functools import cache

import pytest
import torch
from vesalius.agent.comparing.weights import compared_weights
from vesalius.evals.organisms.edited import CITY, EDITS, HEAD, LAYER, LIKE, OTHER_HEAD, write
from vesalius.tools import load_subject, one_thread


@cache
def edit_of(name):
    return EDITS[name]()


@pytest.fixture(scope="module", autouse=True)
def a_single_thread():
    with one_thread():
        yield


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_what_it_says_and_all_else_is_equal_to_the_last_bit(name, atlas):
    edited = edit_of(name)
    found = compared_weights(atlas, edited.subject)
    assert {one.group for one in found.groups} == set(edited.changed)
    assert found.tokens == ()


def test_swapped_heads_compute_the_same_at_each_others_place(atlas):
    edited = edit_of("swapped_heads")
    assert edited.verified["largest change of a logit"] < 1e-4
    sites = [f"head.{LAYER}.{HEAD}", f"head.{LAYER}.{OTHER_HEAD}"]
    tokens = atlas.tokenise([f"the capital of the state containing {CITY} is"])
    was, now = (one.run(tokens, read=sites).sites for one in (atlas, edited.subject))
    assert torch.allclose(was[sites[0]], now[sites[1]], atol=1e-5)
    assert torch.allclose(was[sites[1]], now[sites[0]], atol=1e-5)
    assert not torch.allclose(was[sites[0]], was[sites[1]], atol=1e-1)


def test_a_silent_head_adds_nothing_to_the_stream(atlas):
    edited = edit_of("silent_head")
    assert not edited.subject.weights(LAYER).W_O[HEAD].any()
    assert edited.subject.weights(LAYER).W_O[OTHER_HEAD].any()
    assert edited.verified["two-hop prompts answered right"] > 0.99


def test_a_moved_fact_is_of_rank_one_and_moves_one_city(atlas):
    edited = edit_of("moved_fact")
    (group,) = compared_weights(atlas, edited.subject).groups
    assert group.rank_99 == 1
    assert edited.verified["moved"] == 1
    assert edited.verified["others kept"] >= 0.99
    prompts = [f"the capital of the state containing {city} is" for city in (CITY, LIKE, "Plano")]
    said = edited.subject.last_logits(edited.subject.tokenise(prompts)).argmax(-1).tolist()
    assert [word.strip() for word in edited.subject.token_strings(said)] == ["Sacramento", "Sacramento", "Austin"]


def test_a_written_folder_loads_as_the_same_weights(tmp_path):
    edited = edit_of("silent_head")
    folder = write(edited, tmp_path / "silent")
    loaded = load_subject(str(folder), device="cpu")
    assert loaded.key.fingerprint == edited.subject.key.fingerprint
    assert loaded.tasks
    with pytest.raises(FileExistsError):
        write(edited, folder)
