"""Steering cards: every arm by a second road, a sound push and a fragile one told apart, no-ops, errors."""

import pytest
import torch
from conftest import make_subject
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError
from vesalius.tools._dictionary import neurons_of
from vesalius.tools._steering_card import Bystanders, OffTarget
from vesalius.tools._steering_directions import Directions
from vesalius.tools._steering_fragility import FragilityRule, Measured, weaknesses_of
from vesalius.tools._steering_neighbours import neighbours_of
from vesalius.tools.steer import SteerArgs, steer
from vesalius.tools.steering_card import SteeringCardArgs, steering_card

NEUTRAL = ["w9 w8 w7 w6", "w5 w1 w3", "w20 w21 w22 w23 w24"]
CONTRAST = {"positive": ["w10 w11", "w12 w13 w14"], "negative": ["w20 w21", "w22"]}
CONTEXTS = [{"name": "plain", "prompts": ["w1 w2 w3", "w4 w5"]}, {"name": "long", "prompts": ["w8 w8 w1 w2 w3"]}]


def said(subject, prompts: list[str]) -> list[dict[str, str]]:
    """Prompts with what the model answers."""
    words = subject.token_strings(subject.run(subject.tokenise(prompts)).last_logits.argmax(-1).tolist())
    return [{"prompt": prompt, "answer": word} for prompt, word in zip(prompts, words, strict=True)]


def raw(subject, **more):
    return {
        "site": "resid_post.1",
        "contexts": CONTEXTS,
        "answer": "w6",
        "foil": "w7",
        "prompt_only": ["w6 w6", "w30"],
        "off_target": said(subject, ["w15 w16", "w17 w18 w19"]),
        "neutral_texts": NEUTRAL,
        **({} if {"vector", "feature"} & set(more) else CONTRAST),
        **more,
    }


def card(subject, **more):
    return steering_card(subject, SteeringCardArgs.model_validate(raw(subject, **more)))


def steered(subject, **more):
    plain = {"answer": "w6", "foil": "w7", "neutral_texts": NEUTRAL, "site": "resid_post.1", **more}
    plain |= {} if {"vector", "feature"} & set(more) else CONTRAST
    return steer(subject, SteerArgs.model_validate({"strengths": [1.0], "prompts": CONTEXTS[0]["prompts"], **plain}))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_the_judged_setting_is_what_steer_measures(family):
    subject = make_subject(family)
    found = card(subject, strength=0.8, multiples=[0.5, 2.0], layers=[0])
    (judged,) = steered(subject, strengths=[0.8]).points
    assert found.effects == pytest.approx(judged.effects, abs=1e-4)
    assert found.random_effects == pytest.approx(judged.random_effects, abs=1e-4)
    assert found.perplexity_ratio == pytest.approx(judged.perplexity_ratio, rel=1e-4)
    assert found.contexts[0].effect == pytest.approx(found.effect)
    assert found.no_op_change == 0.0


def test_every_other_arm_is_what_steer_measures_alone():
    subject = make_subject("gpt_neox")
    found = card(subject, strength=0.8, multiples=[0.5, 2.0])
    plain = steered(subject, strengths=[0.4, 1.6])
    assert [one.effect for one in found.strengths] == pytest.approx([p.effect for p in plain.points], abs=1e-4)
    assert found.strength_ratios == pytest.approx([p.perplexity_ratio for p in plain.points], rel=1e-4)
    assert [one.name for one in found.layers] == ["resid_post.0", "resid_post.2"]
    for arm in found.layers:
        assert arm.effect == pytest.approx(steered(subject, site=arm.name, strengths=[0.8]).points[0].effect, abs=1e-4)
    other = steered(subject, prompts=CONTEXTS[1]["prompts"], strengths=[0.8])
    assert found.contexts[1].effect == pytest.approx(other.points[0].effect, abs=1e-4)


def test_the_prompt_only_arm_is_the_longer_prompt_with_nothing_steered():
    subject = make_subject("gpt2")

    def difference(prompts):
        logits = subject.run(subject.tokenise(prompts)).last_logits
        return (logits[:, subject.answer_token("w1", "w6")] - logits[:, subject.answer_token("w1", "w7")]).mean()

    due = difference(["w6 w6 w1 w2 w3", "w6 w6 w4 w5"]) - difference(["w1 w2 w3", "w4 w5"])
    found = card(subject)
    assert (found.prompting[0].name, found.prompting[1].name) == ("w6 w6", "w30")
    assert found.prompting[0].effect == pytest.approx(due.item(), abs=1e-4)
    assert len(found.prompting_off_target) == 2


def test_off_target_prompts_that_are_not_pushed_are_not_harmed():
    subject = make_subject("llama")
    gentle, hard = card(subject, strength=1e-6), card(subject, strength=50.0)
    assert (gentle.off_target.lost, gentle.off_target.kl) == (0.0, pytest.approx(0, abs=1e-4))
    assert hard.off_target.kl > 0.1
    assert hard.n_off_target == 2
    assert len(hard.random_off_target) == len(hard.random_effects) == 20


def test_off_target_prompts_are_written_at_as_many_tokens_as_a_delta_has_rows():
    """As the prompts that are steered are: a push at more tokens would be another one."""
    subject = make_subject("llama")
    pairs = {"positive": ["w10 w11", "w12 w13"], "negative": ["w20 w21", "w22 w23"], "method": "delta"}
    found = card(subject, **pairs, strength=2.0)
    rows = Directions(subject, SteeringCardArgs.model_validate(raw(subject, **pairs)), 0)
    aim = rows.aim("resid_post.1", found.unit)
    last = Bystanders(subject, [OffTarget(**one) for one in raw(subject)["off_target"]], "all", n_last=2)
    every = Bystanders(subject, [OffTarget(**one) for one in raw(subject)["off_target"]], "all")
    pushes = {"resid_post.1": aim.push("add", 2.0)}
    assert found.off_target.kl == pytest.approx(last.harm(pushes).kl, abs=1e-5)
    assert last.harm(pushes).kl != pytest.approx(every.harm(pushes).kl, abs=1e-3)


def test_neighbours_are_the_features_that_write_most_nearly_the_same():
    subject = make_subject("qwen2")
    dictionary = neurons_of(subject)
    own = dictionary.layers[1].W_dec[7] / dictionary.layers[1].W_dec[7].norm()
    near = neighbours_of(dictionary, own, 3)
    cosines = torch.cat([one.W_dec / one.W_dec.norm(dim=-1, keepdim=True) for one in dictionary.layers]) @ own
    assert [one.cosine for one in near] == pytest.approx(cosines.topk(4).values[1:].tolist(), abs=1e-5)
    found = card(subject, feature="1/7", dictionary="neurons", n_neighbours=3)
    assert [(one.feature, one.cosine) for one in found.neighbours] == [(n.name, pytest.approx(n.cosine)) for n in near]
    alone = steered(subject, feature=near[0].name, dictionary="neurons")
    assert found.neighbours[0].effect == pytest.approx(alone.points[0].effect, abs=1e-4)


def test_the_answers_own_direction_is_sound_where_nothing_else_could_do_it():
    """Known answer: blocks write nothing, so a push along w6's own row works the same at any layer and context."""
    model = writing_nothing("self_attn", "mlp")
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.eye(40, 24))
    subject = Subject(model, make_subject("llama").tokenizer, "silent", None, None)
    row = [0.0] * 24
    row[subject.answer_token("w1", "w6")] = 1.0
    limits = {"perplexity_ratio": 1e9, "off_target_change": 1.0, "neighbour_share": 2.0}
    sound = card(subject, vector=row, strength=2.0, prompt_only=["w30"], rule=limits)
    assert sound.weaknesses == ()
    assert [arm.effect for arm in sound.layers] == pytest.approx([sound.effect] * 2, rel=1e-4)
    assert sound.prompting[0].effect == pytest.approx(0, abs=1e-5)
    against = card(subject, vector=[-x for x in row], strength=2.0, prompt_only=["w30"], rule=limits)
    assert {"effect", "random", "prompt"} <= set(against.weaknesses)


def test_each_limit_is_broken_by_itself():
    good = Measured(4.0, (1.0, -3.0), (1.5,), (2.0,), (4.0, 2.5), (3.0, 2.0), (2.1, 5.0), 0.05, 1.2)
    assert weaknesses_of(FragilityRule(), good) == ()
    changes = {
        "random": {"random": (4.0,)},
        "neighbour": {"neighbours": (2.1,)},
        "prompt": {"prompting": (4.0,)},
        "context": {"contexts": (4.0, 1.9)},
        "layer": {"near_layers": (1.9,)},
        "strength": {"near_strengths": (1.9, 4.0)},
        "off_target": {"lost": 0.2},
        "fluency": {"perplexity_ratio": 1.6},
    }
    for name, change in changes.items():
        assert weaknesses_of(FragilityRule(), Measured(**{**vars(good), **change})) == (name,)
    assert "layer" not in weaknesses_of(FragilityRule(), Measured(**{**vars(good), "near_layers": ()}))
    assert "effect" in weaknesses_of(FragilityRule(), Measured(**{**vars(good), "effect": 0.4}))


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"site": "embed"}, r"Use resid_pre\.0"),
        ({"site": "head.1.1"}, "Steer where the stream is"),
        ({"site": "pattern.1"}, "Write head outputs"),
        ({"layers": [7]}, r"Layers: 0\.\.2"),
        ({"mode": "clamp"}, "pushes that are added"),
        ({"multiples": [1.0, 2.0]}, "lack 0.5"),
        ({"contexts": CONTEXTS[:1]}, "at least 2 items"),
        ({"contexts": CONTEXTS[:1] * 2}, "give each its own"),
        ({"positions": "entity"}, "needs one each"),
        ({"prompt_only": []}, "at least 1 item"),
        ({"prompt_only": ["zebra"]}, "Use words the model knows"),
        ({"off_target": [{"prompt": "w1", "answer": "w36"}]}, "`off_target` prompts that it answers"),
        ({"strength": 0}, "greater than 0"),
        ({"random_draws": 19}, "greater than or equal to 20"),
        ({"neighbours_from": "transcoders"}, "vesalius dictionary train"),
        ({"positive": CONTRAST["negative"]}, "that differ"),
        ({"rule": {"smallest_effect": float("inf")}}, "finite number"),
        ({"multiples": [0.5, 2.0, -1e300]}, "Use smaller strengths"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_the_mend(change, mend):
    subject = make_subject("gpt2")
    with pytest.raises(ToolError, match=mend):
        steering_card(subject, steering_card.parse(raw(subject, **change)))
