"""Steering: pushes worked by hand, bit-exact no-ops, a manual hook and an independent perplexity, errors."""

import math

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools._linear_probe import fit_probe
from vesalius.tools._steering import Push, coefficient
from vesalius.tools.steer import SteerArgs, steer

PROMPTS = ("w1 w2 w3", "w4 w5")
NEUTRAL = ("w9 w8 w7 w6", "w5 w1 w3", "w20 w21 w22 w23 w24")
POSITIVE, NEGATIVE = ("w10 w11", "w12 w13 w14"), ("w20 w21", "w22")
MODES = ("add", "clamp", "ablate")


def args(**more) -> SteerArgs:
    raw = {
        "site": "resid_post.1",
        "prompts": PROMPTS,
        "answer": "w6",
        "foil": "w7",
        "neutral_texts": NEUTRAL,
        "strengths": (1.0,),
    }
    if not {"vector", "feature"} & set(more):
        raw |= {"positive": POSITIVE, "negative": NEGATIVE}
    return SteerArgs.model_validate({**raw, **more})


def values(subject, text: str, site: str) -> torch.Tensor:
    """The site's values at all tokens but `<bos>`."""
    return subject.run(subject.tokenise([text]), read=[site]).sites[site][0, 1:]


def unit_at(subject, site: str) -> float:
    return torch.cat([values(subject, text, site) for text in NEUTRAL]).norm(dim=-1).mean().item()


def logit_difference(subject, logits: torch.Tensor) -> torch.Tensor:
    return logits[:, subject.answer_token("w1", "w6")] - logits[:, subject.answer_token("w1", "w7")]


def own_perplexity(subject, write=None) -> float:
    losses = []
    for text in NEUTRAL:
        ids = torch.tensor([subject.tokenizer(text)["input_ids"]])
        logp = subject.run(subject.tokenise([text]), write=write).logits[0].log_softmax(-1)
        losses += [-logp[i, ids[0, i + 1]].item() for i in range(ids.shape[1] - 1)]
    return math.exp(sum(losses) / len(losses))


@pytest.mark.parametrize(
    ("mode", "strength", "expected"),
    [
        ("add", 0.5, [[4.0, 4.0], [-1.0, 2.0]]),  # 0.5 of 2 units along the first axis
        ("clamp", 0.5, [[1.0, 4.0], [1.0, 2.0]]),
        ("ablate", 1.0, [[0.0, 4.0], [0.0, 2.0]]),
        ("ablate", 0.5, [[1.5, 4.0], [-1.0, 2.0]]),
    ],
)
def test_a_push_does_to_numbers_what_its_mode_says(mode, strength, expected):
    axis = torch.tensor([1.0, 0.0])
    value = torch.tensor([[[3.0, 4.0], [-2.0, 2.0], [5.0, 5.0]]])
    pushed = Push(axis, axis, coefficient(mode, strength, 2.0))(value, torch.tensor([[True, True, False]]))
    assert pushed.tolist() == [[*expected, [5.0, 5.0]]]


def test_a_control_moves_each_token_as_far_as_the_intervention_does():
    axis, other = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    value, mask = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3, dtype=torch.bool)
    for mode in MODES:
        how_far = coefficient(mode, 0.7, 2.0)
        one, two = (Push(axis, d, how_far)(value, mask) - value for d in (axis, other))
        assert torch.allclose(one.norm(dim=-1), two.norm(dim=-1), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_pushed_changes_no_bit(subject, mode):
    for site in ("resid_post.1", "embed"):
        result = steer(subject, args(mode=mode, site=site, strengths=(0.0, 1.0)))
        assert result.no_op_change == 0.0
        if mode != "clamp":
            assert result.points[0].effects == (0.0, 0.0)
            assert result.points[0].perplexity_ratio == 1.0
            assert set(result.points[0].random_effects) == {0.0}
        assert result.points[1].effects != (0.0, 0.0)


def test_a_difference_of_means_steers_as_a_hook_written_by_hand(subject):
    site = "resid_post.1"
    means = [torch.stack([values(subject, t, site).mean(0) for t in texts]).mean(0) for texts in (POSITIVE, NEGATIVE)]
    direction = means[0] - means[1]
    step = direction / direction.norm() * unit_at(subject, site) * 1.5

    def add(value):
        value = value.clone()
        value[:, 1:] += step
        return value

    tokens = subject.tokenise(PROMPTS)
    expected = logit_difference(subject, subject.run(tokens, write={site: add}).last_logits)
    clean = logit_difference(subject, subject.run(tokens).last_logits)
    result = steer(subject, args(strengths=(1.5,)))
    (point,) = result.points
    assert torch.allclose(torch.tensor(point.effects), expected - clean, atol=1e-4)
    assert point.effect == pytest.approx((expected - clean).mean().item(), abs=1e-4)
    assert result.direction_length == pytest.approx(direction.norm().item() / unit_at(subject, site), rel=1e-4)
    ratio = own_perplexity(subject, {site: add}) / own_perplexity(subject)
    assert point.perplexity_ratio == pytest.approx(ratio, rel=1e-3)


def test_the_clean_figures_are_those_of_the_model_itself(subject):
    result = steer(subject, args(strengths=(0.0,)))
    logits = torch.stack(
        [subject.model(torch.tensor([subject.tokenizer(p)["input_ids"]])).logits[0, -1] for p in PROMPTS]
    )
    assert torch.allclose(torch.tensor(result.clean), logit_difference(subject, logits), atol=1e-4)
    assert result.clean_perplexity == pytest.approx(own_perplexity(subject), rel=1e-4)
    assert result.clean_perplexity * result.points[0].perplexity_ratio == result.clean_perplexity
    assert (result.n_prompts, result.n_neutral_texts, result.n_neutral_tokens) == (2, 3, 12)


def test_ablating_a_vector_equals_projecting_it_out_by_hand():
    subject, site = make_subject("llama"), "resid_pre.1"
    vector = torch.arange(24.0)
    unit = vector / vector.norm()

    def project_out(value):
        value = value.clone()
        for row, place in enumerate((3, 2)):
            value[row, place] -= value[row, place] @ unit * unit
        return value

    tokens = subject.tokenise(PROMPTS)
    expected = logit_difference(subject, subject.run(tokens, write={site: project_out}).last_logits)
    result = steer(subject, args(site=site, vector=vector.tolist(), mode="ablate", strengths=(1.0,), positions="last"))
    assert torch.allclose(torch.tensor(result.points[0].effects), expected - torch.tensor(result.clean), atol=1e-4)


def test_ablating_all_is_clamping_to_zero(subject):
    ablated = steer(subject, args(mode="ablate", strengths=(1.0,))).points[0]
    clamped = steer(subject, args(mode="clamp", strengths=(0.0,))).points[0]
    assert ablated.effects == clamped.effects
    assert ablated.random_effects == clamped.random_effects


def test_pushing_the_last_stream_along_an_unembedding_difference_raises_the_answer():
    """Known answer: with the final norm's weights at 1, no other direction moves this difference more."""
    subject = make_subject("llama")
    token = {word: subject.answer_token("w1", word) for word in ("w6", "w7")}
    vector = subject.W_U[:, token["w6"]] - subject.W_U[:, token["w7"]]
    result = steer(
        subject, args(site="resid_post.2", vector=vector.tolist(), strengths=(-3.0, 0.3, 3.0), positions="last")
    )
    down, little, much = result.points
    assert down.effect < 0 < little.effect < much.effect
    assert much.effect > max(much.random_effects)
    assert max(map(max, ([abs(e) for e in p.random_effects] for p in (down, much)))) < much.effect
    assert len(much.random_effects) == len(much.random_perplexity_ratios) == 20


def test_the_entitys_tokens_alone_are_written():
    subject, site = make_subject("gpt2"), "resid_post.0"
    vector, unit = [1.0] + [0.0] * 23, unit_at(subject, site)

    def add(value):
        value = value.clone()
        value[[0, 1], [2, 1], 0] += unit
        return value

    tokens = subject.tokenise(PROMPTS)
    expected = logit_difference(subject, subject.run(tokens, write={site: add}).last_logits)
    result = steer(subject, args(site=site, vector=vector, strengths=(1.0,), positions="entity", entities=("w2", "w4")))
    assert torch.allclose(torch.tensor(result.points[0].effects), expected - torch.tensor(result.clean), atol=1e-4)


def test_a_feature_steers_along_the_row_it_writes():
    subject = make_subject("qwen2")
    row = subject.weights(1).W_down[7]
    one = steer(subject, args(feature="1/7", dictionary="neurons"))
    two = steer(subject, args(vector=row.tolist()))
    assert one.points == two.points
    assert (one.direction, two.direction) == ("feature", "vector")


@pytest.mark.parametrize("size", [1e-40, 1e38])
def test_a_vector_points_where_it_does_however_long_it_is(size):
    plain, other = (
        steer(make_subject("gpt2"), args(vector=(one,) * 12 + (-one,) * 12)).points[0] for one in (1.0, size)
    )
    assert other.effects == pytest.approx(plain.effects, abs=1e-5)


def test_a_site_where_the_model_writes_nothing_has_no_unit_to_steer_by():
    subject = Subject(writing_nothing("down_proj"), word_tokenizer(), "", None, None)
    with pytest.raises(ToolError, match="where the model writes something"):
        steer(subject, args(vector=(1.0,) * 24, site="mlp_out.1"))


def test_narrow_sites_are_steered_in_their_own_space():
    subject = make_subject("gpt2")
    for site, width in (("head.1.2", 6), ("mlp_act.1", 96)):
        assert steer(subject, args(site=site, vector=[1.0] * width)).points[0].effect != 0


def test_a_delta_adds_each_tokens_mean_difference_at_the_prompts_end():
    """Second road: the rows worked out and added by hand."""
    subject, site = make_subject("gpt2"), "resid_pre.1"
    pairs = {"positive": ("w10 w11", "w12 w13"), "negative": ("w20 w21", "w22 w23")}
    rows = torch.stack([values(subject, t, site) for t in pairs["positive"]]).mean(0)
    rows = rows - torch.stack([values(subject, t, site) for t in pairs["negative"]]).mean(0)
    step = rows / rows.norm(dim=-1).mean() * unit_at(subject, site) * 0.5

    def add(value):
        value = value.clone()
        value[0, 2:4] += step  # of <bos> w1 w2 w3
        value[1, 1:3] += step  # of <bos> w4 w5
        return value

    tokens = subject.tokenise(PROMPTS)
    expected = logit_difference(subject, subject.run(tokens, write={site: add}).last_logits)
    result = steer(subject, args(site=site, strengths=(0.5,), method="delta", **pairs))
    assert torch.allclose(torch.tensor(result.points[0].effects), expected - torch.tensor(result.clean), atol=1e-4)
    assert (result.direction, result.n_rows, result.no_op_change) == ("delta", 2, 0.0)
    assert result.direction_length == pytest.approx(rows.norm(dim=-1).mean().item() / unit_at(subject, site), rel=1e-4)


def test_rows_of_a_delta_end_at_the_last_token_and_begin_anew_before_the_first():
    rows = torch.tensor([[1.0], [10.0]])
    mask = torch.tensor([[True] * 5 + [False], [False, True, True, False, True, False]])
    pushed = Push(torch.ones(1), rows, lambda seen: torch.ones_like(seen))(torch.zeros(2, 6, 1), mask)
    assert pushed[..., 0].tolist() == [[10, 1, 10, 1, 10, 0], [0, 10, 1, 0, 10, 0]]


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "gpt_neox"])
def test_several_sites_are_steered_together_each_along_its_own_direction(family):
    """Second road: both differences added by hand in one run."""
    subject = make_subject(family)
    sites, steps = ("resid_post.0", "attn_out.2"), {}
    for site in sites:
        means = [torch.stack([values(subject, t, site).mean(0) for t in ts]).mean(0) for ts in (POSITIVE, NEGATIVE)]
        difference = means[0] - means[1]
        steps[site] = difference / difference.norm() * unit_at(subject, site) * 0.7

    def adding(step):
        def add(value):
            value = value.clone()
            value[:, 1:] += step
            return value

        return add

    tokens = subject.tokenise(PROMPTS)
    by_hand = subject.run(tokens, write={site: adding(step) for site, step in steps.items()}).last_logits
    result = steer(subject, args(site=sites[0], also_at=sites[1:], strengths=(0.7,)))
    expected = logit_difference(subject, by_hand) - torch.tensor(result.clean)
    assert torch.allclose(torch.tensor(result.points[0].effects), expected, atol=2e-4)
    assert [place.site for place in result.places] == list(sites)
    assert [place.unit for place in result.places] == pytest.approx([unit_at(subject, s) for s in sites], rel=1e-5)
    assert result.no_op_change == 0.0


def test_a_clamp_of_several_sites_to_what_they_are_changes_no_bit():
    result = steer(make_subject("gemma2"), args(also_at=("mlp_out.2",), mode="clamp", strengths=(0.5,)))
    assert result.no_op_change == 0.0


def test_a_probe_finds_the_line_that_parts_its_classes_and_says_how_well():
    """Known answer: classes that differ along one axis, in noise along the others."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 40, 6, generator=generator)
    apart = torch.tensor([4.0, 0, 0, 0, 0, 0])
    probe = fit_probe(noise[0] + apart, noise[1] - apart, seed=0)
    assert probe.weights[0] / probe.weights.norm() > 0.95
    assert probe.fit.held_out_accuracy == 1.0
    assert abs(probe.fit.shuffled_accuracy - 0.5) < 0.2
    assert (probe.fit.n_fitted, probe.fit.n_held_out) == (60, 20)
    blind = fit_probe(noise[0], noise[1], seed=0)
    assert blind.fit.held_out_accuracy < 0.8


def test_steering_along_a_probe_is_steering_along_its_weights():
    subject, site = make_subject("llama"), "resid_post.1"
    contrast = {"positive": [f"w10 w{i}" for i in range(5, 11)], "negative": [f"w20 w{i}" for i in range(5, 11)]}
    have, lack = (
        torch.stack([values(subject, text, site).mean(0) for text in contrast[key]]) for key in ("positive", "negative")
    )
    probe = fit_probe(have, lack, seed=3)
    one = steer(subject, args(method="probe", seed=3, **contrast))
    two = steer(subject, args(vector=probe.weights.tolist(), seed=3))
    assert one.points[0].effects == pytest.approx(two.points[0].effects, abs=1e-4)
    assert one.places[0].probe == probe.fit
    assert two.places[0].probe is None


def test_the_reference_models_state_steers_its_answer_and_random_directions_do_not(atlas):
    """Known answer: training placed the state of a city at the city, after block 1."""
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    cities = {
        state: [r.slots["city"] for r in family.rows if r.slots["state"] == state and r.split == "train"]
        for state in ("Texas", "California")
    }
    prompts = {state: [family.templates[0].fill({"city": city}) for city in cities[state]] for state in cities}
    result = steer(
        atlas,
        SteerArgs(
            site="resid_post.1",
            prompts=tuple(prompts["Texas"][:4]),
            entities=tuple(cities["Texas"][:4]),
            answer="Sacramento",
            foil="Austin",
            positive=tuple(prompts["California"]),
            positive_entities=tuple(cities["California"]),
            negative=tuple(prompts["Texas"][4:]),
            negative_entities=tuple(cities["Texas"][4:]),
            positions="entity",
            mode="clamp",
            strengths=(0.5,),
            n_neutral=16,
        ),
    )
    (point,) = result.points
    assert not any(result.clean_answered)
    assert all(point.answered)
    assert point.effect > 2 * max(map(abs, point.random_effects))
    assert result.no_op_change == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"site": "resid_post.0"},
        {"prompts": ("w1 w2",)},
        {"answer": "w8"},
        {"foil": "w8"},
        {"positive": ("w10",)},
        {"negative": ("w10",)},
        {"mode": "clamp"},
        {"strengths": (2.0,)},
        {"positions": "last"},
        {"read_at": "last"},
        {"positions": "entity", "entities": ("w2", "w4"), "read_at": "all"},
        {"read_at": "entity", "positive_entities": ("w10", "w12"), "negative_entities": ("w20", "w22")},
        {"read_at": "entity", "positive_entities": ("w11", "w12"), "negative_entities": ("w20", "w22")},
        {"neutral_texts": ("w1 w2",)},
        {"n_neutral": 1},
        {"random_draws": 21},
        {"seed": 1},
    ],
)
def test_each_argument_varies_the_result(change):
    subject = make_subject("gpt2")
    assert steer(subject, args(**change)) != steer(subject, args())
    assert steer(subject, args(**change)) == steer(subject, args(**change))


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"site": "pattern.1"}, "Write head outputs"),
        ({"site": "wings.1"}, "Sites: embed"),
        ({"positive": (), "negative": ()}, "exactly one direction"),
        ({"feature": "1/3"}, "exactly one direction"),
        ({"negative": ()}, "both positive and negative"),
        ({"positive": POSITIVE, "negative": POSITIVE}, "Give prompts, or numbers, that differ"),
        ({"positive": (), "negative": (), "vector": (0.0,) * 24}, "numbers, that differ"),
        ({"positive": (), "negative": (), "vector": (1.0,)}, "Give 24 numbers"),
        ({"positive": (), "negative": (), "feature": "1/96", "dictionary": "neurons"}, r"Features: 0\.\.95"),
        ({"positive": (), "negative": (), "feature": "9/1", "dictionary": "neurons"}, "Its layers: 0, 1, 2"),
        ({"positive": (), "negative": (), "feature": "1/1"}, "vesalius dictionary train"),
        (
            {"positive": (), "negative": (), "feature": "1/1", "dictionary": "neurons", "site": "head.1.1"},
            "use resid_pre",
        ),
        ({"positions": "entity"}, "needs one each"),
        ({"positions": "entity", "entities": ("w2", "w9"), "read_at": "all"}, "Name a word of the prompt"),
        ({"read_at": "entity"}, "needs one each"),
        ({"answer": "w1 w2"}, "Ask for a single token"),
        ({"foil": "w6"}, "Give two different words"),
        ({"neutral_texts": ()}, "Pass some in `neutral_texts`"),
        ({"neutral_texts": ("zebra",)}, "Use words the model knows"),
        ({"random_draws": 19}, "greater than or equal to 20"),
        ({"strengths": ()}, "at least 1 item"),
        ({"strengths": (float("inf"),)}, "finite number"),
        ({"also_at": ("resid_post.1",)}, "Name each site once"),
        ({"also_at": ("pattern.1",)}, "Write head outputs"),
        ({"positive": (), "negative": (), "vector": (1.0,) * 24, "also_at": ("head.1.1",)}, "Give 6 numbers"),
        ({"method": "probe"}, "at least 4 of each"),
        ({"method": "delta"}, "equally many tokens, or read them at `last`"),
        ({"method": "delta", "positive": ("w10",)}, "a delta takes pairs"),
        ({"method": "delta", "mode": "clamp"}, "can be added alone"),
        (
            {"method": "delta", "positive": ("w1 w2 w3",), "negative": ("w4 w5 w6",)},
            "shorter contrast pairs, or longer prompts",
        ),
        ({"positive": (), "negative": (), "vector": (1.0,) * 24, "method": "probe"}, "made of positive and negative"),
        ({"positive": (), "negative": (), "vector": (1e300,) * 24}, "Give smaller numbers"),
        ({"strengths": (1e39,)}, "Use smaller strengths"),
        ({"mode": "clamp", "strengths": (-1e300,)}, "Use smaller strengths"),
        ({"positive": ("<pad>", "w1")}, "Give texts with words"),
        ({"neutral_texts": ("<pad>",)}, "Give texts with words"),
        ({"prompts": ("w1", "<pad> <pad>")}, "Give texts with words"),
        ({"seed": 2**32}, "less than or equal to"),
    ],
)
def test_what_cannot_be_steered_is_refused_with_the_mend(change, mend):
    tool = load_tools()["steer"]
    raw = {"site": "resid_post.1", "prompts": PROMPTS, "answer": "w6", "foil": "w7", "neutral_texts": NEUTRAL}
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({**raw, "positive": POSITIVE, "negative": NEGATIVE, **change}))
