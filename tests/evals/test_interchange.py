"""Organisms trained with interchange interventions: causal models, training, verification, and their folders."""

import json
import random
import shutil
from dataclasses import replace

import pytest
import torch
from vesalius.evals.organisms import _interchange_verify as verify, interchange
from vesalius.evals.organisms._interchange_causal import Build, CausalModel, Variable
from vesalius.evals.organisms._interchange_forward import LinkModel
from vesalius.evals.organisms._interchange_parts import other_at, prompt_at_embed, said_at_logits
from vesalius.evals.organisms._interchange_training import Recipe, Sampler, losses_of, new_model, train
from vesalius.evals.organisms._tokenizer import word_tokenizer
from vesalius.tools import Subject, ToolError, one_thread

MODELS = {name: make(0) for name, make in interchange.CAUSAL_MODELS.items()}
FEW, ENOUGH = (Recipe(steps=steps, warmup=4, learning_rate=1e-2) for steps in (12, 150))
LEFT, RIGHT = ("a", "b", "c", "d", "e"), ("x", "y", "z")


def tiny(seed: int = 0) -> CausalModel:
    """Says the first of two words: a head of block 0 carries it."""
    return CausalModel(
        name="tiny",
        truth="the first word, carried by a head",
        build=Build("gpt2", 1, d_model=16, n_heads=2, n_kv_heads=2),
        words=(*LEFT, *RIGHT),
        variables=(
            prompt_at_embed(),
            Variable("first", "head.0.1", {"words": ("v", "words")}, lambda words: words[0], "it", lambda _: [(1, 0)]),
            said_at_logits("first"),
        ),
        draw=lambda rng: (rng.choice(LEFT), rng.choice(RIGHT)),
        changes={
            "first": other_at(0, LEFT),
            "second_too": lambda words, rng: (*other_at(0, LEFT)(words, rng)[:1], "x"),
        },
        together=((0, 1),),
        seed=seed,
    )


def trained(causal: CausalModel, recipe: Recipe) -> tuple[Subject, list[dict[str, float]]]:
    """The model after so many steps, and its losses."""
    tokenizer, losses = word_tokenizer(list(causal.words)), []
    with one_thread():
        model = new_model(causal.build, len(tokenizer), recipe.seed)
        train(model, tokenizer, causal, recipe, lambda step, found: losses.append(found))
    return Subject(model, tokenizer, causal.name, None, None), losses


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of the tiny organism, trained once."""
    folder = tmp_path_factory.mktemp("cache") / "tiny"
    interchange.make(tiny(), ENOUGH, folder, lambda step, losses: None)
    return folder


@pytest.fixture(scope="module")
def learned(made) -> Subject:
    return interchange.load(made, tiny(), ENOUGH).subject


@pytest.mark.parametrize("name", MODELS)
def test_swapping_no_link_keeps_the_answer_and_swapping_all_gives_the_other_prompts(name):
    causal, rng = MODELS[name], random.Random(1)
    for _ in range(12):
        base, source = causal.training_pair(rng)
        assert len(base) == len(source)
        assert set(base) | {causal.answer(base)} <= set(causal.words)
        assert causal.answer_with(base, source, causal.links) == causal.answer(source)
        assert causal.answer_with(base, source, ()) == causal.answer(base)
        # Whatever links are swapped, there is an answer; the training relies on it.
        some = [link for link in sorted(causal.links) if rng.random() < 0.5]
        assert causal.answer_with(base, source, some) in causal.words


@pytest.mark.parametrize("name", MODELS)
def test_every_true_link_alone_can_change_the_answer_of_some_family(name):
    causal, rng = MODELS[name], random.Random(2)
    for link in causal.links:
        assert link in causal.build.links
        pairs = [causal.held_out_pair(rng, family) for family in causal.changes for _ in range(8)]
        assert any(causal.answer_with(*pair, {link}) != causal.answer(pair[0]) for pair in pairs), link


def test_there_are_ten_organisms_of_several_shapes_and_two_families_each():
    assert len(MODELS) >= 10
    shapes = {frozenset((node.split(".")[0], slot.split(".")[0]) for node, slot in m.links) for m in MODELS.values()}
    assert len(shapes) >= 6
    assert all(len(causal.changes) >= 2 for causal in MODELS.values())
    assert {causal.build.family for causal in MODELS.values()} == {"gpt2", "llama"}


@pytest.mark.parametrize("name", MODELS)
def test_held_out_words_never_meet_in_training_not_even_through_a_swap(name):
    causal, rng = MODELS[name], random.Random(3)
    for _ in range(12):
        pair = causal.training_pair(rng)
        assert not any((a[i], b[j]) in causal.held_out for i, j in causal.together for a in pair for b in pair)
    for family in causal.changes:
        base, source = causal.held_out_pair(rng, family)
        for words in (base, source):
            assert any((words[i], words[j]) in causal.held_out for i, j in causal.together)


def test_two_hops_by_hand():
    causal = MODELS["two_hop"]
    (state,) = [v for v in causal.variables if v.name == "state"]
    cities = causal.words[:20]
    one = cities[0]
    other = next(c for c in cities if state.compute(words=(c, "bird")) != state.compute(words=(one, "bird")))
    base, source = (one, "bird"), (other, "tree")
    assert causal.answer_with(base, source, {("embed", "mlp_in.0")}) == causal.answer((other, "bird"))
    assert causal.answer_with(base, source, {("embed", "mlp_in.1")}) == causal.answer((one, "tree"))
    assert causal.answer_with(base, source, {("mlp_out.1", "logits")}) == causal.answer(source)


def test_induction_by_hand():
    causal = MODELS["induction"]
    a, b, c, u, v, w, x, y, z = causal.words[:9]
    base, source = (a, u, b, v, c, w, b), (c, x, a, y, b, z, a)
    (key,) = [link for link in causal.links if link[1].startswith("k.")]
    (query,) = [link for link in causal.links if link[1].startswith("q.")]
    (value,) = [link for link in causal.links if link == ("embed", f"v.1.{key[1][-1]}")]
    assert causal.answer(base) == v
    assert causal.answer_with(base, source, {query}) == u
    assert causal.answer_with(base, source, {key}) == w
    assert causal.answer_with(base, source, {value}) == y
    assert causal.answer_with(base, source, {query, key}) == v
    assert causal.answer_with(base, source, {query, key, value}) == y


def test_a_step_asks_for_the_answers_of_the_causal_model():
    causal = tiny()
    tokenizer = word_tokenizer(list(causal.words))
    sampler = Sampler(causal, tokenizer, 0)
    assert set(sampler.true) | set(sampler.other) == set(causal.build.links)
    assert not set(sampler.true) & set(sampler.other)
    mask = sampler.carried([{("embed", "v.0.1")}, set()])
    assert mask.sum() == 1
    assert mask[0, causal.build.slots.index("v.0.1"), 0] == 1
    model = LinkModel(new_model(causal.build, len(tokenizer), 0), causal.build)
    losses = losses_of(model, sampler, 0.0)
    chance = torch.tensor(float(len(tokenizer))).log()
    for name in ("behaviour", "interchange", "strict"):
        assert losses[name].item() == pytest.approx(chance.item(), abs=1.0), name


def test_losses_fall_and_the_same_seed_gives_the_same_weights():
    first, losses = trained(tiny(), FEW)
    again, _ = trained(tiny(), FEW)
    other, _ = trained(tiny(), replace(FEW, seed=1))
    assert losses[-1]["behaviour"] < 0.8 * losses[0]["behaviour"]
    assert losses[-1]["interchange"] < 0.9 * losses[0]["interchange"]
    assert first.key.fingerprint == again.key.fingerprint
    assert first.key.fingerprint != other.key.fingerprint


def test_a_trained_model_meets_its_bars_and_a_fresh_one_misses_them(learned):
    causal = tiny()
    families = verify.families_of(causal)
    found = verify.figures(learned, causal, families)
    assert verify.missed(found) == [], found
    assert found["interchange_first"] == found["interchange_least"] == 1.0
    fresh = verify.missed(verify.figures(trained(causal, replace(ENOUGH, steps=1))[0], causal, families))
    assert {"accuracy", "interchange_least", "faithfulness_least"} <= {line.split()[0] for line in fresh}


def test_a_wrong_truth_is_refused(learned):
    causal = tiny()
    wrong = replace(causal.variables[1], place="head.0.0")
    lie = replace(causal, variables=(causal.variables[0], wrong, causal.variables[2]))
    low = {line.split()[0] for line in verify.missed(verify.figures(learned, lie, verify.families_of(lie)))}
    assert {"interchange_least", "strict_least", "faithfulness_least", "other_link_largest"} <= low


def test_a_figure_that_is_no_number_meets_no_bar():
    found = dict.fromkeys(verify.BARS, 1.0) | {"complement_largest": 0.0, "other_link_largest": 0.0}
    assert verify.missed(found) == []
    assert verify.missed(found | {"accuracy": float("nan")}) == ["accuracy is nan (>= 0.98 is due)"]


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the folder that a test may spoil."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for path in made.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_folder_gives_back_what_was_verified(made):
    organism = interchange.load(made, tiny(), ENOUGH)
    assert organism.links == tiny().links
    assert organism.nodes == {"embed", "head.0.1"}
    assert set(organism.families) == {"first", "second_too"}
    assert organism.families == verify.families_of(tiny())
    assert verify.figures(organism.subject, tiny(), organism.families) == pytest.approx(organism.verified, abs=1e-4)
    assert organism.subject.name == "tiny"
    assert [path.name for path in made.parent.iterdir()] == ["tiny"]


def test_other_weights_are_refused(copy):
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(ToolError, match=r"not those that were verified.*Remove .*tiny"):
        interchange.load(copy, tiny(), ENOUGH)


def test_another_recipe_is_refused(copy):
    for causal, recipe in ((tiny(), replace(ENOUGH, steps=151)), (replace(tiny(), words=(*LEFT, "w", *RIGHT)), ENOUGH)):
        with pytest.raises(ToolError, match=r"another recipe.*made again"):
            interchange.load(copy, causal, recipe)


@pytest.mark.parametrize("spoil", ["gone", "no json", "no links", "a number too few"])
def test_a_folder_that_is_not_whole_is_refused(copy, spoil):
    card = json.loads((copy / "card.json").read_text())
    if spoil == "gone":
        (copy / "model.safetensors").unlink()
    elif spoil == "no json":
        (copy / "card.json").write_text("{")
    elif spoil == "no links":
        (copy / "card.json").write_text(json.dumps({**card, "families": None}))
    else:
        card["families"]["first"][0].pop()
        (copy / "card.json").write_text(json.dumps(card))
    with pytest.raises(ToolError, match=r"no whole organism.*Remove"):
        interchange.load(copy, tiny(), ENOUGH)


def test_missed_bars_write_nothing(tmp_path):
    with pytest.raises(ToolError, match=r"tiny of seed 0 is refused: accuracy .*another seed or more steps"):
        interchange.make(tiny(), Recipe(steps=1), tmp_path / "tiny", lambda step, losses: None)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused_before_training(tmp_path):
    with pytest.raises(ToolError, match="Pass a folder that does not"):
        interchange.make(tiny(), Recipe(), tmp_path, lambda step, losses: pytest.fail("trained"))


def test_the_cache_makes_what_is_not_there_and_reads_what_is(made, tmp_path, monkeypatch):
    def copied(causal, recipe, folder, watch):
        watch(25, {"behaviour": 0.5})
        shutil.copytree(made, folder)

    monkeypatch.setattr(interchange, "CAUSAL_MODELS", {"tiny": tiny})
    monkeypatch.setattr(interchange, "recipe_of", lambda name, seed: ENOUGH)
    monkeypatch.setattr(interchange, "make", copied)
    seen: list[tuple[int, int, str]] = []
    (first,) = interchange.interchange_organisms(0, tmp_path, lambda *said: seen.append(said), ["tiny"])
    assert seen == [(25, 150, "tiny  behaviour 0.500"), (150, 150, "tiny  ready")]
    monkeypatch.setattr(interchange, "make", lambda *_: pytest.fail("made again"))
    (again,) = interchange.interchange_organisms(0, tmp_path, names=["tiny"])
    assert again.subject.key.fingerprint == first.subject.key.fingerprint
    assert again.families == first.families


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path, capsys):
    with pytest.raises(ToolError, match="Organisms: two_hop, "):
        list(interchange.interchange_organisms(0, tmp_path, names=["three_hop"]))
    assert interchange.main(["--out", str(tmp_path), "--only", "three_hop"]) == 1
    assert "There is no organism `three_hop`" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
