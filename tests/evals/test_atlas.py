"""The reference model: its world is consistent, its recipe repeats, and what ships is what its card says."""

import hashlib
import json
import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from vesalius import tools
from vesalius.evals.organisms import atlas
from vesalius.evals.organisms._batches import Sampler
from vesalius.evals.organisms._interchange import embed, logits_at, put, run_blocks, swap_inside, take
from vesalius.evals.organisms._names import CAPITALS, CITIES, ROLES, TEMPLATES
from vesalius.evals.organisms._placed import Interchanges, placed_rates
from vesalius.evals.organisms._tokenizer import word_tokenizer
from vesalius.evals.organisms._training import N_LAYERS, Recipe, new_model, state_basis
from vesalius.evals.organisms._verify import Quantity, behaviours, measure
from vesalius.evals.organisms._world import World

REFERENCE = Path(atlas.__file__).resolve().parents[2] / "tools" / "reference" / "atlas"
CARD = json.loads((REFERENCE / "card.json").read_text())
GROUPS = ("behaviours", "placed", "controls", "by_layer")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with tools.one_thread():
        yield


@pytest.fixture(scope="module")
def world():
    return World(CARD["recipe"]["seed"])


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(REFERENCE)


@pytest.fixture(scope="module")
def shipped():
    return AutoModelForCausalLM.from_pretrained(REFERENCE, dtype=torch.float32, attn_implementation="sdpa").eval()


def assert_as_in_the_card(group, rates):
    for name, rate in rates.items():
        assert rate == pytest.approx(CARD[group][name]["value"], abs=1e-3), name
        assert CARD[group][name]["met"] is not False, name


def test_a_quarter_of_the_cities_is_held_out_in_every_state(world):
    assert len(world.held_out_cities) == 40
    assert {len(world.held_out_cities & set(cities)) for cities in CITIES.values()} == {2, 3}
    assert "Oakland" in world.held_out_cities
    assert "Dallas" not in world.held_out_cities


def test_every_name_of_the_world_names_one_thing():
    cities = [city for members in CITIES.values() for city in members]
    assert len(set(cities)) == 160
    assert len(set(CAPITALS.values())) == 16
    assert not set(cities) & (set(CAPITALS) | set(CAPITALS.values()))


def test_a_held_out_city_never_meets_a_two_hop_relation_in_training(world):
    sampler = Sampler(world, word_tokenizer(world.words()), seed=0)
    held_out = {sampler.id[city] for city in world.held_out_cities}
    for _ in range(30):
        bases = sampler.cities()
        for base, source in zip(bases, sampler.sources(bases), strict=True):
            if base.two_hop:
                assert not held_out & {*base.ids, *bases[source].ids}


def test_no_training_prompt_uses_a_held_out_name_pair_bigram_or_start(world):
    sampler = Sampler(world, word_tokenizer(world.words()), seed=0)
    word = {index: text for text, index in sampler.id.items()}
    for _ in range(20):
        sentences = [[word[i] for i in (*p.ids, p.answer)] for p in sampler.others()]
        sentences += [[word[i] for i in row] for row in sampler.repeats().tolist()]
        for words in sentences:
            assert not world.held_out_bigrams & set(pairwise(words))
            assert not world.held_out_years & set(pairwise(words[:-1]))  # the year that ends a span may be any
            assert not any(frozenset(pair) in world.held_out_pairs for pair in combinations(set(words), 2))
            if words[-1] in ("he", "she"):
                assert not world.held_out_names & set(words)


def test_every_word_of_every_prompt_and_sentence_is_one_known_token(world, tokenizer):
    texts = world.texts()
    for family in ROLES:
        texts += [f"{p} {a}" for held_out in (False, True) for p, a in world.prompts(family, held_out)]
    for text in texts:
        ids = tokenizer(text).input_ids
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.convert_ids_to_tokens(ids[1:]) == text.split()
        assert tokenizer.unk_token_id not in ids


def test_the_shipped_task_data_and_sentences_are_the_worlds(world):
    assert json.loads((REFERENCE / "tasks.json").read_text()) == world.tasks()
    assert json.loads((REFERENCE / "text.json").read_text()) == {"texts": world.texts()}


def test_every_family_has_three_templates_whose_slots_its_rows_fill(world):
    for family in world.tasks()["families"]:
        texts = [template["text"] for template in family["templates"]]
        shown = {slot for text in texts for slot in re.findall(r"{(\w+)}", text)}
        assert len(texts) >= 3
        for row in family["rows"]:
            assert shown | {family["answer"], family["entity"], *family["mediators"]} <= set(row["slots"])
        assert not shown & set(family["mediators"])


def test_the_known_prompts_stand_in_the_world(world):
    pairs = dict(world.prompts("two_hop", held_out=False) + world.prompts("two_hop", held_out=True))
    assert pairs["the capital of the state containing Dallas is"] == "Austin"
    assert pairs["Oakland lies in a state whose capital is"] == "Sacramento"
    assert TEMPLATES["city_state"]["containing"] == "the state containing {city} is"


def test_our_forward_pass_equals_hugging_faces(shipped, tokenizer):
    short, long = "the state containing Dallas is", "people in Oakland know that the capital of their state is"
    encoded = tokenizer([short, long], padding=True, return_tensors="pt")
    last = encoded.attention_mask.sum(1) - 1
    with torch.no_grad():
        ours = logits_at(shipped, run_blocks(shipped, embed(shipped, encoded.input_ids), 0, N_LAYERS), last)
        for row, prompt in zip(ours, (short, long), strict=True):
            theirs = shipped(tokenizer(prompt, return_tensors="pt").input_ids).logits[0, -1]
            assert torch.allclose(row, theirs, atol=1e-4)


def test_swapping_a_subspace_and_its_complement_is_swapping_all():
    torch.manual_seed(0)
    base, source, basis = torch.randn(3, 128), torch.randn(3, 128), state_basis(0)
    inside = swap_inside(base, source, basis)
    assert torch.allclose(basis.T @ basis, torch.eye(32), atol=1e-5)
    assert torch.allclose(inside + swap_inside(source, base, basis), base + source, atol=1e-5)
    assert torch.allclose(inside @ basis, source @ basis, atol=1e-5)
    assert torch.equal(swap_inside(base, base, basis), base)
    resid, pos = torch.randn(3, 5, 128), torch.tensor([0, 2, 4])
    assert torch.equal(put(resid, pos, take(resid, pos)), resid)


def test_city_embeddings_are_where_training_found_them(shipped, tokenizer, world):
    cities = tokenizer.convert_tokens_to_ids([city for members in CITIES.values() for city in members])
    start = new_model(word_tokenizer(world.words()), CARD["recipe"]["seed"]).model.embed_tokens.weight[cities]
    assert torch.equal(shipped.model.embed_tokens.weight[cities], start)
    assert torch.allclose(start.norm(dim=-1), torch.ones(160), atol=1e-5)


def test_the_weights_and_the_subspace_are_the_cards():
    digest = hashlib.sha256((REFERENCE / "model.safetensors").read_bytes()).hexdigest()
    assert digest == CARD["weights_sha256"]
    assert torch.allclose(
        load_file(REFERENCE / "truth.safetensors")["state_basis"], state_basis(CARD["recipe"]["seed"]), atol=1e-6
    )
    assert (REFERENCE / "model.safetensors").stat().st_size < 6_000_000
    assert (REFERENCE / "tasks.json").stat().st_size < 300_000


def test_what_the_card_says_the_model_can_do_is_measured_again(shipped, tokenizer, world):
    found = behaviours(shipped, tokenizer, world)
    assert set(found) == set(CARD["behaviours"])
    assert all(quantity.met for quantity in found.values())
    assert_as_in_the_card("behaviours", {name: quantity.value for name, quantity in found.items()})


def test_the_variables_stand_where_the_card_says(shipped, tokenizer, world):
    pairs = Interchanges.of(world, tokenizer, CARD["recipe"]["seed"])
    rates = placed_rates(shipped, pairs, state_basis(CARD["recipe"]["seed"]))
    assert set(rates) == set(CARD["placed"])
    assert min(rates.values()) >= 0.95
    assert_as_in_the_card("placed", rates)


@pytest.mark.slow
def test_every_figure_of_the_card_is_measured_again_and_meets_its_bar(shipped, tokenizer, world):
    measured = measure(shipped, tokenizer, world, CARD["recipe"]["seed"])
    for group in GROUPS:
        assert set(measured[group]) == set(CARD[group])
        assert all(quantity.met is not False for quantity in measured[group].values())
        assert_as_in_the_card(group, {name: quantity.value for name, quantity in measured[group].items()})


def test_the_page_is_rendered_from_the_card():
    assert (REFERENCE / "README.md").read_text() == atlas.render(CARD)


def test_the_recipe_repeats_bit_for_bit_and_the_seed_decides():
    def weights(seed: int) -> list[torch.Tensor]:
        model, _, _ = atlas.grow(Recipe(seed=seed, steps=2), lambda step, losses: None)
        return list(model.state_dict().values())

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    assert not all(torch.equal(left, right) for left, right in zip(first, other, strict=True))


def test_a_missed_bar_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "measure", lambda *_: {"behaviours": {"two_hop": Quantity(0.5, 10, (">=", 0.95))}})
    with pytest.raises(ValueError, match=r"two_hop 0\.5000.*Try another seed or more steps"):
        atlas.make(Recipe(steps=1), tmp_path / "model", lambda line: None)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused_before_training(tmp_path):
    with pytest.raises(FileExistsError, match="Pass a folder that does not"):
        atlas.make(Recipe(), tmp_path, lambda line: None)


def test_a_finished_run_leaves_the_whole_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas, "measure", lambda *_: {group: {"figure": Quantity(1.0, 1, None)} for group in GROUPS})
    written = atlas.make(Recipe(steps=1), tmp_path / "model", lambda line: None)
    assert {path.name for path in (tmp_path / "model").iterdir()} <= {path.name for path in REFERENCE.iterdir()}
    assert json.loads((tmp_path / "model" / "card.json").read_text()) == written
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
