"""The recipe of the reference model's transcoders: what it reads, what it refuses to write, what it repeats."""

import re
from dataclasses import replace

import pytest
import torch
from vesalius.evals.organisms import _dictionary_card as card, atlas_dictionary as recipe
from vesalius.tools import Dictionary, Subject, Transcoder, dictionary_of, load_subject

TINY = replace(recipe.RECIPE, n_features=16, k=4, steps=3)


@pytest.fixture
def small_world() -> Subject:
    """The reference model with a few rows of one task and a few texts."""
    subject = load_subject("atlas", device="cpu")
    family = next(f for f in subject.tasks if f.name == "two_hop")
    rows = [[row for row in family.rows if row.split == split][:3] for split in ("train", "held_out")]
    subject.__dict__["tasks"] = (family.model_copy(update={"rows": (*rows[0], *rows[1])}),)
    subject.__dict__["texts"] = subject.texts[:12]
    return subject


def zero(subject: Subject) -> Dictionary:
    """Transcoders that write nothing."""
    d_model = subject.shape.d_model
    parts = torch.zeros(2, d_model), torch.zeros(2), torch.zeros(2, d_model), torch.zeros(d_model)
    layers = tuple(Transcoder(layer, *parts, "relu") for layer in range(subject.shape.n_layers))
    return Dictionary("zero", subject.key.fingerprint, layers)


def test_each_split_is_filled_into_every_template(small_world):
    family = small_world.tasks[0]
    for split in ("train", "held_out"):
        pairs = card.filled(small_world, split)
        cities = [row.slots["city"] for row in family.rows if row.split == split]
        assert len(pairs) == len(cities) * len(family.templates)
        assert all(any(city in prompt for city in cities) for prompt, _ in pairs)
    assert card.sentences([("a b", "c")]) == ["a b c"]


def test_accuracy_is_the_share_of_answers_and_a_splice_of_nothing_is_ablation(small_world):
    pairs = card.filled(small_world, "train")
    assert card.accuracy(small_world, pairs) == 1.0
    wrong = [(prompt, "Dallas") for prompt, _ in pairs[:1]]
    assert card.accuracy(small_world, [*pairs[:3], *wrong]) == 0.75
    tokens = small_world.tokenise([prompt for prompt, _ in pairs])
    nothing = {f"mlp_out.{layer}": torch.zeros_like for layer in range(small_world.shape.n_layers)}
    best = small_world.run(tokens, write=nothing).last_logits.argmax(-1)
    by_hand = sum(small_world.answer_token(*pair) == int(i) for pair, i in zip(pairs, best, strict=True)) / len(pairs)
    assert card.accuracy(small_world, pairs, zero(small_world)) == pytest.approx(by_hand)
    assert by_hand < 1


def test_a_layer_that_recovers_too_little_is_not_written(small_world, tmp_path):
    out = tmp_path / "some" / "transcoders.safetensors"
    with pytest.raises(ValueError, match=r"layer 0 recovers .*0\.95 is due"):
        recipe.make(small_world, TINY, out, lambda line: None)
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_read_back_for_the_model_and_repeats(small_world, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "LEAST_RECOVERED", -torch.inf)
    said: list[str] = []
    files = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    made = [recipe.make(small_world, TINY, file, said.append) for file in files]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert dictionary_of(small_world, str(files[0])).digest == made[0].digest
    assert files[0].with_suffix(".md").read_text() in said
    other = recipe.make(small_world, replace(TINY, seed=1), tmp_path / "three.safetensors", said.append)
    assert other.digest != made[0].digest


def test_what_ships_is_for_the_model_that_ships_and_meets_the_bar(atlas):
    shipped = dictionary_of(atlas)
    assert shipped.trained_on == atlas.key.fingerprint
    assert [s.layer for s in shipped.stats] == list(range(atlas.shape.n_layers))
    assert min(s.loss_recovered for s in shipped.stats) >= recipe.LEAST_RECOVERED
    assert all(one.k == recipe.RECIPE.k for one in shipped.layers if isinstance(one, Transcoder))


def test_the_command_says_what_went_wrong(tmp_path, capsys, monkeypatch, small_world):
    monkeypatch.setattr(recipe, "load_subject", lambda *_, **__: small_world)
    monkeypatch.setattr(recipe, "RECIPE", TINY)
    assert recipe.main(["--out", str(tmp_path / "x.safetensors"), "--steps", "2"]) == 1
    assert "is due" in capsys.readouterr().err


@pytest.mark.slow
def test_the_card_beside_what_ships_is_what_its_figures_make(atlas):
    shipped = dictionary_of(atlas)
    page = recipe.OUT.with_suffix(".md").read_text(encoding="utf-8")
    again = card.render(shipped, card.quality_of(atlas, shipped), recipe.command(recipe.RECIPE))
    figure = re.compile(r"-?\d+\.\d+")
    assert figure.sub("#", page) == figure.sub("#", again)
    was, now = ([float(found) for found in figure.findall(text)] for text in (page, again))
    assert was == pytest.approx(now, rel=1e-3, abs=2e-3)  # another machine adds in another order
    assert len(was) == 60
