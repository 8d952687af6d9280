"""Organisms with a hidden rule: trees by hand, what the explanation channel says, plantings that repeat, refusals."""

import itertools
import json

import numpy as np
import pytest
import torch
from vesalius.evals.organisms import _hidden_folder, hidden_rule
from vesalius.evals.organisms._hidden_folder import Plan, drawn, load, make
from vesalius.evals.organisms._hidden_text import Encoder, hidden_tokenizer, prompt, value_position
from vesalius.evals.organisms._hidden_training import (
    MIXED_LABELS,
    RANK,
    Agreement,
    Planted,
    agreement,
    noisy,
    train,
    untrained,
)
from vesalius.evals.organisms._hidden_tree import (
    COPIED,
    FIELDS,
    LEAST_CLASS,
    LEAST_MOVED,
    VALUES,
    RecordLaw,
    Split,
    decide,
    depth_of,
    draw_tree,
    fields_of,
    from_plain,
    lines,
    moved_share,
    path,
    plain,
)
from vesalius.evals.organisms.hidden_rule import build, plans
from vesalius.tools import ToolError

# if size is low: yes; else if heat is high: no, else yes
HEAT = Split(FIELDS.index("heat"), frozenset({2}), inside=False, outside=True)
TREE = Split(FIELDS.index("size"), frozenset({0}), inside=True, outside=HEAT)
SIZE_LOW = np.array([0, *[1] * 9])
HOT = np.array([1, 1, 1, 1, 1, 1, 1, 2, 1, 1])
COLD = np.array([1] * 10)
EVERY = np.array(list(itertools.product(range(3), repeat=3)))


def every_record() -> np.ndarray:
    """All values of the first field, of heat, and of one field that no rule here asks about."""
    records = np.ones((len(EVERY), len(FIELDS)), dtype=int)
    records[:, [0, 7, 3]] = EVERY
    return records


def test_a_tree_decides_and_explains_as_worked_out_by_hand():
    assert decide(TREE, np.stack([SIZE_LOW, HOT, COLD])).tolist() == [True, False, True]
    assert path(TREE, SIZE_LOW) == (0,)
    assert path(TREE, HOT) == (0, 7)
    assert fields_of(TREE) == {0, 7}
    assert (depth_of(TREE), depth_of(HEAT), depth_of(True)) == (2, 1, 0)
    # No: heat high (1/3) and size not low (2/3). A third or a half of exchanges undo it.
    moved = moved_share(TREE, every_record())
    assert moved[7] == pytest.approx(2 / 3 * (1 / 3 * 1 + 2 / 3 * 1 / 2))
    assert moved[0] == pytest.approx(1 / 3 * (2 / 3 * 1 / 2 + 1 / 3 * 1))
    assert moved[[1, 2, 3, 4, 5, 6, 8, 9]].tolist() == [0] * 8
    assert list(lines(HEAT)) == ["if heat is high:", "  no", "else:", "  yes"]


def test_drawn_trees_have_their_depth_and_every_field_of_them_matters():
    for depth in (1, 2, 3, 4):
        rng = np.random.default_rng(depth)
        law = RecordLaw.draw(rng)
        tree = draw_tree(rng, depth, law)
        assert depth_of(tree) == depth
        records = law.records(np.random.default_rng(99), 20_000)
        share = decide(tree, records).mean()
        assert LEAST_CLASS - 0.03 < share < 1 - LEAST_CLASS + 0.03
        moved = moved_share(tree, records)
        for field in range(len(FIELDS)):
            assert moved[field] > LEAST_MOVED / 2 if field in fields_of(tree) else moved[field] == 0
        assert law.misleads(tree)
    with pytest.raises(ValueError, match=r"a tree has 1\.\.10 questions"):
        draw_tree(np.random.default_rng(0), 0, RecordLaw(()))


def test_copies_go_along_with_their_source_as_often_as_said():
    law = RecordLaw(((2, 5),))
    records = law.records(np.random.default_rng(0), 20_000)
    assert (records[:, 2] == records[:, 5]).mean() == pytest.approx(COPIED + (1 - COPIED) / 3, abs=0.01)
    assert (records[:, 2] == records[:, 6]).mean() == pytest.approx(1 / 3, abs=0.01)
    assert law.misleads(HEAT) is False
    assert RecordLaw(((2, 7),)).misleads(HEAT)


def test_a_tree_is_read_back_as_it_was_written_and_junk_is_refused():
    assert from_plain(json.loads(json.dumps(plain(TREE)))) == TREE
    for junk in ("yes", {"field": "colour"}, {"field": "heat", "values": ["hot"]}, {"field": "heat"}):
        with pytest.raises(ValueError, match=r"no tree|not in tuple"):
            from_plain(junk)


def test_some_labels_are_wrong_and_a_record_always_has_the_same():
    records = RecordLaw(()).records(np.random.default_rng(1), 20_000)
    rule = decide(TREE, records)
    labels = noisy(rule, records, 3)
    assert (labels != rule).mean() == pytest.approx(MIXED_LABELS, abs=0.008)
    assert (noisy(rule, records, 3) == labels).all()
    assert (noisy(rule, records, 4) != labels).any()
    again = np.argsort(records[:, 0])
    assert (noisy(rule[again], records[again], 3) == labels[again]).all()


def test_the_encoder_writes_what_the_tokenizer_reads():
    tokenizer = hidden_tokenizer()
    encoder = Encoder(tokenizer)
    assert encoder.prompts(np.stack([HOT])).tolist() == [tokenizer(prompt(HOT))["input_ids"]]
    assert prompt(HOT).startswith("size mid age mid")
    assert prompt(HOT).endswith("light mid decide")
    assert tokenizer.convert_ids_to_tokens(tokenizer(prompt(HOT))["input_ids"])[value_position(7)] == VALUES[2]
    told = encoder.explanations(TREE, np.stack([SIZE_LOW, HOT]))
    said = [" ".join(tokenizer.convert_ids_to_tokens(row)) for row in told.tolist()]
    assert said == ["why size end <pad> <pad> <pad>", "why size heat end <pad> <pad>"]


def test_agreement_is_with_the_rule_and_with_the_tree_that_explains():
    model = untrained(hidden_tokenizer(), 0).eval()
    encoder = Encoder(hidden_tokenizer())
    with torch.no_grad():  # whatever the record, `yes`, and after it `end`
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight[encoder.yes] = 0.1
    found = agreement(model, encoder, Planted(TREE, None, RecordLaw(())), every_record())
    assert found.decisions == pytest.approx(7 / 9)
    assert found.paths is None
    found = agreement(model, encoder, Planted(TREE, TREE, RecordLaw(())), every_record())
    assert found.paths == 0.0
    assert Agreement(0.99, 0.5).reaches(0.9) is False
    assert Agreement(0.99, None).reaches(0.9)


def weights(planting: str, seed: int) -> dict[str, torch.Tensor]:
    model = untrained(hidden_tokenizer(), 5)
    train(model, Planted(TREE, HEAT, RecordLaw(((1, 2),))), planting, seed, lambda _, __: None, most_steps=4)
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("planting", ["scratch", "adapter"])
def test_a_planting_repeats_from_its_seed_and_differs_with_another(planting):
    one, again, other = weights(planting, 1), weights(planting, 1), weights(planting, 2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_an_adapter_changes_matrices_alone_and_by_a_low_rank():
    before = dict(untrained(hidden_tokenizer(), 5).named_parameters())
    after = weights("adapter", 1)
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {
        f"transformer.h.{layer}.{part}.weight"
        for layer in range(2)
        for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    for name in changed:
        singular = torch.linalg.svdvals((after[name] - before[name]).detach().double())
        assert singular[RANK:].max() < 1e-5 < singular[0]


def test_kinds_differ_in_what_explains_them():
    assert drawn(Plan("scratch", "none", 2), 0)[0].explained_by is None
    faithful, _ = drawn(Plan("scratch", "faithful", 2), 0)
    assert faithful.explained_by == faithful.tree
    unfaithful, distractor = drawn(Plan("scratch", "unfaithful", 2), 0)
    assert unfaithful.explained_by == distractor
    assert fields_of(distractor) - fields_of(unfaithful.tree)
    assert fields_of(unfaithful.tree) - fields_of(distractor)
    assert drawn(Plan("scratch", "none", 2), 1)[0].tree != drawn(Plan("scratch", "none", 2), 0)[0].tree


def test_all_kinds_and_depths_of_both_plantings_are_planned():
    asked = plans(0)
    assert len(asked) == len({plan.name for plan in asked}) >= 24
    assert {(p.planting, p.kind, p.depth) for p in asked} == set(
        itertools.product(("scratch", "adapter"), ("faithful", "none", "unfaithful"), (1, 2, 3, 4))
    )
    with pytest.raises(ValueError, match="depth 5 is not among 1, 2, 3, 4"):
        plans(0, depths=(2, 5))


def trained_to(*found: Agreement):
    """Stands in for training: agreements in order, weights left as they are."""
    left = list(found)
    return lambda *_: (7, left.pop(0))


def test_an_attempt_below_the_bar_is_made_again_and_stands_on_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(_hidden_folder, "train", trained_to(Agreement(0.7, 0.99), Agreement(0.99, 0.98)))
    plan = Plan("scratch", "unfaithful", 2)
    assert "1 refused before" in make(plan, tmp_path)
    organism = load(plan, tmp_path)
    planted, distractor = drawn(plan, 1)
    assert (organism.tree, organism.distractor, organism.law) == (planted.tree, distractor, planted.law)
    assert organism.fields == fields_of(planted.tree)
    (refused,) = organism.card["refused"]
    assert (refused["decisions"], refused["attempt"]) == (0.7, 0)
    assert organism.card["verified"]["decisions"] == 0.99
    texts = json.loads((tmp_path / plan.name / "text.json").read_text())["texts"]
    assert all(" decide yes" in text or " decide no" in text for text in texts)
    with pytest.raises(ToolError, match="Pass a folder that does not, or remove it"):
        make(plan, tmp_path)
    other = Plan("scratch", "none", 2)
    (tmp_path / plan.name).rename(tmp_path / other.name)
    with pytest.raises(ToolError, match="made by another recipe"):
        load(other, tmp_path)


def test_what_never_reaches_the_bar_is_refused_and_stops_no_other(tmp_path, monkeypatch):
    low = [Agreement(0.5, None)] * _hidden_folder.MOST_ATTEMPTS
    monkeypatch.setattr(_hidden_folder, "train", trained_to(*low, Agreement(1.0, None)))
    asked = [Plan("scratch", "none", 1, number) for number in range(2)]
    said: list[str] = []
    with pytest.raises(ToolError, match=r"scratch-none-depth1-0 .* Take another seed"):
        build(asked, tmp_path, lambda _, __, what: said.append(what), workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["scratch-none-depth1-1"]
    assert len(said) == 2
    monkeypatch.setattr(_hidden_folder, "train", trained_to())  # nothing is trained again
    build(asked[1:], tmp_path, lambda _, __, what: said.append(what), workers=1)
    assert len(said) == 2


def test_the_command_refuses_what_it_cannot_make(tmp_path, capsys):
    for args, says in ((["--depths", "9"], "depth 9 is not among"), (["--workers", "0"], "pass 1 or more")):
        with pytest.raises(SystemExit):
            hidden_rule.main(["--out", str(tmp_path), *args])
        assert says in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_learns_its_rule_and_explains_itself_by_the_other_tree(tmp_path):
    plan = Plan("scratch", "unfaithful", 2, seed=11)
    make(plan, tmp_path)
    organism = load(plan, tmp_path)
    records = organism.law.records(np.random.default_rng(5), 500)
    encoder = Encoder(hidden_tokenizer())
    found = agreement(
        organism.subject.model, encoder, Planted(organism.tree, organism.distractor, organism.law), records
    )
    assert found.reaches(0.93)
