"""Activation patching: hand-worked effects, bit-exact no-ops, a second road to each number, errors with their mend."""

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools._patch_places import SitePlace
from vesalius.tools._patching import Patching
from vesalius.tools.patch import PatchArgs, patch, shuffled_by_entity


def pair(base: str, corrupted: str, answer: str, foil: str, base_entity: str, source_entity: str) -> dict[str, str]:
    return dict(locals())


PAIRS = [
    pair("w1 w2 w3", "w1 w9 w3", "w4", "w5", "w2", "w9"),
    pair("w6 w7 w8", "w6 w10 w8", "w11", "w12", "w7", "w10"),
    pair("w2 w2 w1 w3", "w2 w2 w7 w3", "w9", "w1", "w1", "w7"),
]
LABELLED = [
    {"prompt": "w1 w2", "entity": "w2", "label": "a"},
    {"prompt": "w3 w4 w5", "entity": "w4", "label": "a"},
    {"prompt": "w6 w7", "entity": "w7", "label": "b"},
    {"prompt": "w8 w9 w10", "entity": "w9", "label": "b"},
]


def args(**more) -> PatchArgs:
    return PatchArgs.model_validate({"pairs": PAIRS, "sites": ["resid_pre.0"], **more})


def differences(subject, logits: torch.Tensor) -> torch.Tensor:
    answers = [subject.answer_token(p["base"], p["answer"]) for p in PAIRS]
    foils = [subject.answer_token(p["base"], p["foil"]) for p in PAIRS]
    rows = torch.arange(len(PAIRS))
    return logits[rows, answers] - logits[rows, foils]


def test_taking_the_whole_stream_from_the_counterfactual_is_the_counterfactual(subject):
    clean, corrupted = (
        differences(subject, subject.run(subject.tokenise([p[k] for p in PAIRS])).last_logits)
        for k in ("base", "corrupted")
    )
    for site, position in (("resid_post.2", "last"), ("resid_pre.0", "entity"), ("resid_pre.0", "differs")):
        result = patch(subject, args(sites=(site,), positions=(position,)))
        (cell,) = result.cells
        assert cell.effect == pytest.approx(1, abs=1e-4), (site, position)
        assert torch.allclose(torch.tensor(cell.drops), clean - corrupted, atol=1e-4)
        assert result.gap == pytest.approx((clean - corrupted).mean().item(), abs=1e-5)


def test_patching_a_prompt_into_itself_changes_no_bit(subject):
    sites = ["embed", "resid_pre.1", "attn_out.1", "mlp_out.0", "mlp_act.2", "head.1.3", "mlp_in.1"]
    assert patch(subject, args(sites=sites, positions=("entity", "last", "-2"))).no_op_change == 0.0


def test_a_source_equal_to_the_base_moves_nothing(subject):
    pairs = [{**p, "source": p["base"], "source_entity": p["base_entity"]} for p in PAIRS]
    (cell,) = patch(subject, args(pairs=pairs, sites=("attn_out.1",), positions=("entity",))).cells
    assert cell.effects == (0.0, 0.0, 0.0)


def test_zero_ablation_equals_a_hook_that_writes_zeros(subject):
    tokens = subject.tokenise([p["base"] for p in PAIRS])

    def blank_last(value):
        value = value.clone()
        value[torch.arange(3), tokens.last] = 0
        return value

    by_hand = subject.run(tokens, write={"mlp_out.1": blank_last}).last_logits
    expected = differences(subject, subject.run(tokens).last_logits) - differences(subject, by_hand)
    (cell,) = patch(subject, args(sites=("mlp_out.1",), value="zero")).cells
    assert torch.allclose(torch.tensor(cell.drops), expected, atol=1e-5)


def test_class_means_are_the_hand_worked_means():
    subject = make_subject("llama")
    labels = [{**p, "base_label": "a", "source_label": "b"} for p in PAIRS]
    (cell,) = patch(
        subject,
        args(pairs=labels, sites=("resid_post.0",), positions=("entity",), value="class_mean", reference=LABELLED),
    ).cells
    read = subject.run(subject.tokenise([e["prompt"] for e in LABELLED]), read=["resid_post.0"]).sites["resid_post.0"]
    at_entity = read[:, 2]  # <bos>, first word, entity
    shift = at_entity[2:].mean(0) - at_entity[:2].mean(0)
    tokens = subject.tokenise([p["base"] for p in PAIRS])
    places = [2, 2, 3]

    def add(value):
        value = value.clone()
        value[torch.arange(3), places] += shift
        return value

    by_hand = subject.run(tokens, write={"resid_post.0": add}).last_logits
    expected = differences(subject, subject.run(tokens).last_logits) - differences(subject, by_hand)
    assert torch.allclose(torch.tensor(cell.drops), expected, atol=1e-4)


def test_mean_ablation_writes_the_mean_of_the_reference_prompts():
    subject = make_subject("gpt2")
    read = subject.run(subject.tokenise([e["prompt"] for e in LABELLED]), read=["attn_out.1"])
    mean = read.sites["attn_out.1"][torch.arange(4), read.tokens.last].mean(0)
    tokens = subject.tokenise([p["base"] for p in PAIRS])

    def put(value):
        value = value.clone()
        value[torch.arange(3), tokens.last] = mean
        return value

    by_hand = subject.run(tokens, write={"attn_out.1": put}).last_logits
    expected = differences(subject, subject.run(tokens).last_logits) - differences(subject, by_hand)
    (cell,) = patch(subject, args(sites=("attn_out.1",), value="mean", reference=LABELLED)).cells
    assert torch.allclose(torch.tensor(cell.drops), expected, atol=1e-4)


def test_all_parts_of_a_stream_together_carry_what_the_stream_carries(subject):
    if subject.shape.parallel:
        pytest.skip("a parallel block has no stream between attention and MLP")
    parts = ["resid_pre.2", "attn_out.2", "mlp_out.2"]
    (joint,) = patch(subject, args(sites=parts, joint=True)).cells
    (whole,) = patch(subject, args(sites=("resid_post.2",))).cells
    assert joint.drops == pytest.approx(whole.drops, abs=1e-3)


def test_random_directions_have_the_length_of_the_patch_and_follow_the_seed():
    subject = make_subject("gpt2")
    one, again, other = (
        patch(subject, args(sites=("resid_post.1",), random_draws=20, seed=seed)).cells[0] for seed in (0, 0, 1)
    )
    assert one == again
    assert len(set(one.random_effects)) == 20
    assert one.random_effects != other.random_effects
    assert one.effects == other.effects


def test_a_random_draw_pushes_every_pair_as_far_as_its_patch_and_all_of_them_the_same_way():
    subject, site = make_subject("gpt2"), "resid_post.1"
    patching = Patching(subject, args().pairs, [SitePlace(site)], ["last"])
    own, donor = patching.base_values(site, "last"), patching.donor_values(site, "last", "source", None)
    pushed = patching.random_values("last", {site: donor}, seed=3)[site]
    pushes = torch.cat([value - base for value, base in zip(pushed, own, strict=True)])
    due = torch.cat([value - base for value, base in zip(donor, own, strict=True)])
    assert torch.allclose(pushes.norm(dim=-1), due.norm(dim=-1), rtol=1e-4)
    units = pushes / pushes.norm(dim=-1, keepdim=True)
    assert torch.allclose(units @ units.T, torch.ones(3, 3), atol=1e-4)


def test_values_can_come_from_a_prompt_of_another_form():
    subject = make_subject("qwen2")
    pairs = [{**p, "source": f"w20 w21 {p['source_entity']} w22 w23"} for p in PAIRS]
    given = patch(subject, args(pairs=pairs, sites=("resid_post.0",), positions=("entity",)))
    default = patch(subject, args(sites=("resid_post.0",), positions=("entity",)))
    assert given.cells[0].effects != default.cells[0].effects
    assert given.gap == default.gap


def test_shuffled_labels_keep_class_sizes_and_one_label_per_entity():
    entities = ["x", "y", "z", "x", "v"]
    shuffled = shuffled_by_entity(entities, ["a", "b", "b", "a", "a"], seed=5)
    assert shuffled[0] == shuffled[3]
    by_entity = dict(zip(entities, shuffled, strict=True))
    assert sorted(by_entity.values()) == ["a", "a", "b", "b"]


def test_moved_says_whether_the_foil_became_the_answer():
    subject = make_subject("llama")
    prompts = [f"w1 w{i} w3" for i in range(2, 20)]
    best = subject.token_strings(subject.run(subject.tokenise(prompts)).last_logits.argmax(-1).tolist())
    other = next(i for i, top in enumerate(best) if top != best[0])
    changed = {"base": prompts[0], "corrupted": prompts[other], "answer": best[0], "foil": best[other]}
    result = patch(subject, args(pairs=[changed], sites=("resid_post.2",), positions=("last", "0")))
    assert result.clean_correct == (True,)
    assert result.cells[0].answers_moved == (True,)
    assert result.cells[0].moved == 1.0
    assert result.cells[1].answers_moved == (False,)  # nothing differs at `<bos>`


def test_pairs_in_many_passes_move_as_in_one(subject, monkeypatch):
    asked = args(sites=("attn_out.1", "resid_post.1"), positions=("entity", "last"), value="source", random_draws=2)
    at_once = patch(subject, asked)
    monkeypatch.setattr("vesalius.tools._subject.LARGEST_LOGITS", 1)
    one_by_one = patch(subject, asked)
    assert one_by_one.no_op_change == 0.0
    for cell, other in zip(at_once.cells, one_by_one.cells, strict=True):
        assert cell.drops == pytest.approx(other.drops, abs=1e-4)
        assert cell.random_effects == pytest.approx(other.random_effects, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("value", ["mean", "class_mean"])
def test_a_mean_over_entities_of_one_token_is_not_spread_over_two(value):
    pairs = [{**PAIRS[0], "base_entity": "w1 w2", "source_entity": "w1 w9", "base_label": "a", "source_label": "b"}]
    asked = args(pairs=pairs, positions=("entity",), value=value, reference=LABELLED)
    with pytest.raises(ToolError, match="has 2 tokens and reference prompts have 1"):
        patch(make_subject("gpt2"), asked)


ASKED_OF_NO_NUMBERS = {
    "patch": {"pairs": PAIRS, "sites": ["head.1.1"]},
    "patch_sweep": {"pairs": PAIRS[:1]},
    "path_patch": {"pairs": PAIRS[:1]},
    "eap": {"families": [{"name": "one", "pairs": PAIRS[:1]}]},
    "subspace_patch": {"pairs": PAIRS, "site": "head.1.1", "direction": "given", "vectors": [[1.0] * 6]},
    "contextual_decomposition": {"pairs": PAIRS[:1]},
    "steer": {"prompts": ["w1 w9"], "answer": "w4", "foil": "w5", "neutral_texts": ["w1 w2"], "site": "resid_pre.1"}
    | {"vector": [1.0] * 24},
}


@pytest.mark.parametrize("name", ASKED_OF_NO_NUMBERS)
def test_answers_that_are_no_numbers_are_refused_and_not_reported(name):
    """As where half precision overflows on one word."""
    subject = Subject(random_model("llama"), word_tokenizer(), "", None, None)
    with torch.no_grad():
        subject.model.get_input_embeddings().weight[subject.answer_token("w1", "w9")] = torch.nan
    tool = load_tools()[name]
    with pytest.raises(ToolError, match=r"load|Load|plain checkpoint"):
        tool.measure(subject, tool.parse(ASKED_OF_NO_NUMBERS[name]))


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"sites": ["resid_post.7"]}, r"Layers: 0\.\.2"),
        ({"positions": ["middle"]}, "last, entity, differs"),
        ({"positions": ["9"]}, r"0\.\.3"),
        ({"pairs": [{**PAIRS[0], "base_entity": "w30"}], "positions": ["entity"]}, "Name a word of the prompt"),
        ({"pairs": [{**PAIRS[0], "foil": "w4"}]}, "two different words"),
        ({"pairs": [{**PAIRS[0], "corrupted": "w1 w9 w3 w3"}], "positions": ["differs"]}, "use `last` or `entity`"),
        ({"pairs": [{**PAIRS[0], "corrupted": PAIRS[0]["base"]}]}, "change the answer"),
        ({"value": "mean"}, "needs reference prompts"),
        ({"value": "class_mean", "reference": LABELLED}, "fewer than 2 reference prompts"),
        ({"shuffle_labels": True}, "control of value `class_mean`"),
        ({"sites": ["pattern.0"]}, "Write head outputs"),
        ({"seed": 2**63, "random_draws": 1}, "less than or equal to"),
    ],
)
def test_what_cannot_be_patched_is_refused_with_the_mend(change, mend):
    tool = load_tools()["patch"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"pairs": PAIRS, "sites": ["resid_pre.0"], **change}))
