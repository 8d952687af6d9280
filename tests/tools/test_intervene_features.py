"""Interventions on features: the direct effect is the link, the live effect is the model's own, controls are fair."""

from itertools import product

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from held_hugging_face import HeldModel
from random_dictionaries import N_FEATURES, all_links, random_dictionary
from vesalius.tools import Subject, ToolError, _rerun, get_tool
from vesalius.tools._attribution_local import frozen_run, local_model
from vesalius.tools._dictionary import Dictionary, Transcoder
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools._interventions import Plan, change_of, place_of, readings
from vesalius.tools._rerun import Held, Rerun
from vesalius.tools.intervene_features import InterveneFeaturesArgs, intervene_features

PROMPT = "w3 w11 w7 w3 w20"
ALL_HELD, ALL_LIVE = Held(True, True, True), Held(False, False, False)
EVERY_HOLD = [Held(*parts) for parts in product((False, True), repeat=3)]


def rerun_of(subject: Subject, dictionary: Dictionary) -> Rerun:
    skips = {one.layer: one.W_skip for one in dictionary.layers if one.W_skip is not None}
    return Rerun(subject, subject.tokenise([PROMPT]), {one.reads for one in dictionary.layers}, skips)


def plan_of(rerun: Rerun, dictionary: Dictionary, names, mode="scale", value=2.5, seed=0) -> Plan:
    tokens = rerun.subject.tokenise([PROMPT])
    places = [place_of(rerun.subject, dictionary, name, tokens) for name in names]
    return Plan(rerun, [change_of(rerun, place, mode, value) for place in places], 20, seed)


@pytest.mark.parametrize("kind", ["jumprelu", "skip", "cross-layer", "neurons"])
def test_with_everything_held_every_target_moves_by_its_link_times_the_share_of_the_change(subject, kind):
    dictionary = random_dictionary(subject, kind)
    local, rerun = local_model(subject, dictionary, PROMPT), rerun_of(subject, dictionary)
    vectors = (local.W_U[:, [5, 9, 17]] - local.W_U.mean(-1, keepdim=True)).T
    _, due = all_links(local, vectors)
    names = [f"{x}/{f}@{p}" for x, f, p in zip(local.layer, local.feature, local.position, strict=True)]
    first_of_last = int((local.layer < 2).sum())
    tokens = subject.tokenise([PROMPT])
    read = [place_of(subject, dictionary, name, tokens) for name in names[first_of_last :: 1 + len(names) // 15]]
    compared = 0
    for source in range(0, first_of_last, 1 + first_of_last // 4):
        plan = plan_of(rerun, dictionary, [names[source]])
        outcome = rerun.run(ALL_HELD, plan.added, plan.in_front, {2})
        moved = torch.stack([found.moved[1] for found in readings(rerun, outcome, read)])
        scale = due[:, source].abs().max()
        expected = 1.5 * due[first_of_last : local.n_active : 1 + len(names) // 15, source]
        assert (moved - expected).abs().max() < 1e-4 * scale
        logits = (outcome.final[1] - outcome.final[0]) @ vectors.T
        assert (logits - 1.5 * due[-3:, source]).abs().max() < 1e-4 * scale
        compared += int((expected != 0).sum())
    assert compared > 3


@pytest.mark.parametrize("kind", ["skip", "cross-layer"])
def test_with_everything_held_it_is_the_engines_own_local_model(subject, kind):
    dictionary = random_dictionary(subject, kind)
    local, rerun = local_model(subject, dictionary, PROMPT), rerun_of(subject, dictionary)
    plan = plan_of(rerun, dictionary, [f"0/{int(local.feature[0])}@{int(local.position[0])}"])
    mlps = local.written().repeat(22, 1, 1, 1)
    for layer, written in plan.added.items():
        mlps[:, layer] += written
    due = frozen_run(local, local.embedding.repeat(22, 1, 1), mlps)
    outcome = rerun.run(ALL_HELD, plan.added, read=range(3))
    assert torch.allclose(outcome.final, due.final[:, -1], atol=1e-4)
    assert torch.allclose(torch.stack([outcome.mlp_in[layer] for layer in range(3)], 1), due.mlp_in, atol=1e-4)


@pytest.mark.parametrize("held", EVERY_HOLD, ids=lambda held: "".join("fl"[not part] for part in vars(held).values()))
@pytest.mark.parametrize("kind", ["cross-layer", "neurons"])
def test_whatever_is_held_it_is_the_models_own_modules_with_that_held(subject, held, kind):
    dictionary = random_dictionary(subject, kind)
    rerun = rerun_of(subject, dictionary)
    plan = plan_of(rerun, dictionary, ["0/3", "1/7@2"], "set", 4.0)
    outcome = rerun.run(held, plan.added, plan.in_front, range(3))
    skips = [one.W_skip for one in dictionary.layers]
    mlp_in, logits = HeldModel(subject, PROMPT).run(**vars(held), added=plan.added, in_front=plan.in_front, skips=skips)
    assert torch.allclose(outcome.logits, logits, atol=1e-4)
    assert torch.allclose(torch.stack([outcome.mlp_in[layer] for layer in range(3)], 1), mlp_in, atol=1e-4)
    assert (logits[1] - logits[0]).abs().max() > 0.1


def test_a_neuron_set_with_everything_live_is_the_neuron_set_in_the_model(subject):
    def write(value):
        value = value.clone()
        value[:, 3, 7] = 4.0
        return value

    due = subject.run(subject.tokenise([PROMPT]), write={"mlp_act.1": write}).last_logits[0]
    found = measured(subject, "neurons", features=("1/7@3",), mode="set", value=4.0, answers=("w4", "w9"), top_k=0)
    assert [one.changed_logit for one in found.tokens] == pytest.approx(due[[7, 12]].tolist(), abs=1e-4)


def measured(subject, dictionary, **args):
    return intervene_features(subject, InterveneFeaturesArgs(prompt=PROMPT, dictionary=str(dictionary), **args))


@pytest.fixture
def saved(tmp_path):
    """Writes a random dictionary to a file."""

    def save(subject, kind="topk"):
        path = tmp_path / f"{kind}.safetensors"
        save_dictionary(random_dictionary(subject, kind), path)
        return path

    return save


def active(subject, kind="topk", layer=0, at=3) -> str:
    """A feature that is active at a token."""
    local = local_model(subject, random_dictionary(subject, kind), PROMPT)
    here = (local.layer == layer) & (local.position == at)
    return f"{layer}/{int(local.feature[here][0])}@{at}"


@pytest.mark.parametrize("held", [{}, {"attention": "frozen", "norms": "frozen", "mlps": "frozen"}])
def test_a_factor_of_one_changes_nothing(subject, saved, held):
    name = active(subject)
    found = measured(subject, saved(subject), features=(name,), mode="scale", value=1.0, read=("2/3@5",), **held)
    assert found.kl == found.added_length == 0
    assert {*found.random_kl} == {0.0}
    assert all(one.clean_logit == one.changed_logit for one in found.tokens)
    assert found.read[0].clean == found.read[0].changed
    assert 0 < found.no_op_change < 1e-4, "rounding alone"


def test_read_features_are_those_of_the_changed_run(subject, saved):
    """The dictionary's own reading of what the model's modules read, after the change."""
    dictionary = random_dictionary(subject)
    ids = [f"2/{feature}@5" for feature in range(N_FEATURES)]
    found = measured(subject, saved(subject), features=("0/3", "1/4@2"), mode="set", value=3.0, read=ids)
    rerun = rerun_of(subject, dictionary)
    plan = plan_of(rerun, dictionary, ["0/3", "1/4@2"], "set", 3.0)
    mlp_in, _ = HeldModel(subject, PROMPT).run(False, False, False, plan.added)
    due = dictionary.at(2).acts(mlp_in[:, 2, 5])
    assert [one.clean for one in found.read] == pytest.approx(due[0].tolist(), abs=1e-4)
    assert [one.changed for one in found.read] == pytest.approx(due[1].tolist(), abs=1e-4)
    controls = torch.tensor([one.random_changes for one in found.read]).T
    assert torch.allclose(controls, due[2:] - due[0], atol=1e-4)
    assert (due[1] - due[0]).abs().max() > 0.1


def hand_made_subject() -> Subject:
    """Attention and MLPs write nothing, w3 is three times the first unit vector, and logits are the stream's first."""
    model = writing_nothing("o_proj", "down_proj")
    with torch.no_grad():
        model.model.embed_tokens.weight[6] = 3 * torch.eye(24)[0]
        model.lm_head.weight.zero_()
        model.lm_head.weight[:24] = torch.eye(24)
    return Subject(model, word_tokenizer(), "hand-made", None, None)


def test_a_hand_worked_intervention(tmp_path):
    subject, zero = hand_made_subject(), torch.zeros(24)
    encoder, decoder = torch.zeros(N_FEATURES, 24), torch.eye(24).repeat(2, 1)[:N_FEATURES]
    encoder[1, 0] = 1.0  # feature 1 reads the first dimension and writes the second; the others are never active
    layers = tuple(Transcoder(i, encoder, torch.zeros(N_FEATURES), decoder, zero, "relu") for i in range(3))
    path = tmp_path / "by_hand.safetensors"
    save_dictionary(Dictionary("by hand", subject.key.fingerprint, layers), path)
    args = {"prompt": "w3", "dictionary": str(path), "features": ("1/1@1",), "mode": "set", "value": 4.0, "top_k": 1}
    root = 24**0.5  # the norm divides by length / root
    live = intervene_features(subject, InterveneFeaturesArgs(**args, read=("2/1@1",)))
    assert live.changed[0].clean == pytest.approx(root, rel=1e-4)
    more = 4 - root
    length = (9 + more**2) ** 0.5
    assert [(one.token_id, one.asked) for one in live.tokens] == [(0, False)]
    assert live.tokens[0].clean_logit == pytest.approx(root, rel=1e-4)
    assert live.tokens[0].changed_logit == pytest.approx(3 * root / length, rel=1e-4)
    assert live.read[0].changed == pytest.approx(3 * root / length, rel=1e-4)
    assert live.added_length == pytest.approx(abs(more), rel=1e-4)
    frozen = intervene_features(subject, InterveneFeaturesArgs(**args, norms="frozen", answers=("w3",)))
    assert frozen.tokens[1].changed_logit == pytest.approx(root, rel=1e-4)
    # The vector of length `more` lands on one of 24 logits of 40, behind a denominator of 3 / root.
    assert frozen.tokens[0].moved == pytest.approx(-more * root / 3 / 40, rel=1e-4)


def test_several_features_together_add_up_where_all_is_held(subject, saved):
    path, names = saved(subject, "cross-layer"), ("0/3@2", "0/5@2", "1/4@4")
    args = {"mode": "set", "value": 2.0, "attention": "frozen", "norms": "frozen", "mlps": "frozen"}
    each = [measured(subject, path, features=(name,), answers=("w5",), **args).tokens[0].moved for name in names]
    together = measured(subject, path, features=names, answers=("w5",), **args).tokens[0].moved
    assert together == pytest.approx(sum(each), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", ["cross-layer", "neurons"])
def test_controls_are_other_features_of_the_layers_that_add_as_much_at_the_same_tokens(subject, kind):
    dictionary = random_dictionary(subject, kind)
    rerun = rerun_of(subject, dictionary)
    names = ["0/3@2", "0/5@2", "1/4"]
    plan, other = (plan_of(rerun, dictionary, names, "set", 2.0, seed) for seed in (0, 1))
    for layer, written in plan.added.items():
        lengths = written.norm(dim=-1)
        assert torch.equal(written[0], torch.zeros_like(written[0]))
        assert torch.allclose(lengths[2:], lengths[1:2].expand(20, -1), rtol=1e-4)
        assert torch.equal(written, plan_of(rerun, dictionary, names, "set", 2.0).added[layer])
        assert not torch.equal(written[2:], other.added[layer][2:])
    alone = plan_of(rerun, dictionary, ["2/4@3"], "set", 2.0)
    decoder = rerun.subject.weights(2).W_down if kind == "neurons" else dictionary.at(2).W_dec
    likeness = torch.nn.functional.normalize(alone.added[2][:, 3]) @ torch.nn.functional.normalize(decoder).T
    drawn = likeness[2:].abs().argmax(-1).tolist()
    assert likeness[2:].abs().amax(-1).min() > 0.999
    assert len({*drawn}) == 20
    assert 4 not in drawn


def test_the_same_request_gives_the_same_digest_and_says_what_was_done(saved):
    subject = make_subject("gemma2")
    name = active(subject)
    tool = get_tool("intervene_features")
    args = InterveneFeaturesArgs(prompt=PROMPT, dictionary=str(saved(subject)), features=(name,), answers=("w4",))
    one, other = (tool.measure(subject, args) for _ in range(2))
    assert one.digest == other.digest
    found = tool.result_model.model_validate(one.result)
    assert found.model_dump(mode="json") == one.result
    assert (found.changed[0].id, found.changed[0].new) == (name, 0.0)
    assert found.changed[0].clean > 0
    assert found.as_strong == sum(kl >= found.kl for kl in found.random_kl) / 20
    rerun = rerun_of(subject, random_dictionary(subject))
    added = plan_of(rerun, random_dictionary(subject), [name], "ablate").added
    clean, changed = (logits.log_softmax(-1) for logits in (rerun.logits, rerun.run(ALL_LIVE, added).logits[1]))
    assert found.kl == pytest.approx((clean.exp() * (clean - changed)).sum().item(), rel=1e-2)
    assert len(found.tokens) >= 4


@pytest.mark.parametrize(
    ("args", "mend"),
    [
        ({"features": ("x/1",)}, "Write it as LAYER/FEATURE or LAYER/FEATURE@POS"),
        ({"features": ("0/30",)}, r"Features: 0\.\.29"),
        ({"features": ("7/1",)}, "Its layers: 0, 1, 2"),
        ({"features": ("0/1@6",)}, r"It has 6 tokens: 0\.\.5"),
        ({"features": ("0/1", "0/1@2"), "mode": "set", "value": 1.0}, "Name it once"),
        ({"features": ("0/1",), "read": ("1/2",)}, "LAYER/FEATURE@POS"),
        ({"features": ("0/1",), "mode": "set", "value": 1e30}, "Use a smaller `value`"),
        ({"features": ("0/1",), "answers": ("zebra",)}, "Use words the model knows"),
        ({"features": ("0/1",), "prompt": "w1 " * 40}, "At most 32 fit"),
        ({"features": ("0/1",), "dictionary": "no such/name"}, "`neurons`"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_mend(saved, args, mend):
    subject = make_subject("llama")
    with pytest.raises(ToolError, match=mend):
        intervene_features(
            subject, InterveneFeaturesArgs(**({"prompt": PROMPT, "dictionary": str(saved(subject))} | args))
        )


def test_a_feature_that_is_not_active_is_refused_with_the_tokens_at_which_it_is(saved):
    subject, path = make_subject("llama"), saved(make_subject("llama"))
    acts = random_dictionary(subject).at(1).acts(rerun_of(subject, random_dictionary(subject)).sites["mlp_in.1"])
    feature = next(f for f in range(N_FEATURES) if acts[:, f].any() and not acts[2, f])
    where = ", ".join(str(at) for at in acts[:, feature].nonzero()[:, 0].tolist())
    with pytest.raises(ToolError, match=f"active at {where}. Name such a token: `1/{feature}@POS`"):
        measured(subject, path, features=(f"1/{feature}@2",))
    never = next(f for f in range(N_FEATURES) if not acts[:, f].any())
    with pytest.raises(ToolError, match="active nowhere"):
        measured(subject, path, features=(f"1/{never}",), mode="scale", value=2.0)
    assert measured(subject, path, features=(f"1/{never}",), mode="set", value=2.0).changed[0].clean == 0


@pytest.mark.parametrize("raw", [{"mode": "set"}, {"value": 1.0}, {"top_k": 0}, {"features": ()}])
def test_arguments_that_contradict_each_other_are_refused(raw):
    with pytest.raises(ToolError, match="It takes: prompt"):
        get_tool("intervene_features").parse({"prompt": PROMPT, "features": ["0/1"]} | raw)


def test_a_run_that_is_not_the_models_is_refused(saved, monkeypatch):
    subject = make_subject("llama")
    monkeypatch.setattr(_rerun, "TOLERANCE", {torch.float32: 1e-9})
    with pytest.raises(ToolError, match="Load the model in float32"):
        measured(subject, saved(subject), features=("0/1",), mode="set", value=1.0)


def test_bad_input_is_refused_before_the_model_runs(saved, monkeypatch):
    subject = make_subject("llama")
    path = saved(subject)
    monkeypatch.setattr(subject, "run", lambda *_, **__: pytest.fail("it ran"))
    for args in ({"features": ("0/30",)}, {"features": ("0/1@6",)}, {"features": ("0/1",), "read": ("9/1@0",)}):
        with pytest.raises(ToolError):
            measured(subject, path, **args)
