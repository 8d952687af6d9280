"""Gemma 2 and 3: norms behind attention and MLP, norms stored less one, scaled embeddings, capped logits."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import CONFIGS, make_subject, random_model, word_tokenizer
from einops import einsum
from torch import nn
from vesalius.tools import Subject, ToolError, load_subject
from vesalius.tools._architectures import Gemma
from vesalius.tools._block_parts import Norm

GEMMAS = ("gemma2", "gemma3_text")
PROMPTS = ["w1 w2 w3 w4 w5", "w6 w7", "w8 w9 w1"]


@pytest.fixture(params=GEMMAS)
def gemma(request) -> Subject:
    return make_subject(request.param)


def changed(monkeypatch, family: str, **fields) -> nn.Module:
    """The model of that family with other settings and the same weights."""

    def config():
        made = CONFIGS[family]()
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    monkeypatch.setitem(CONFIGS, "changed", config)
    return random_model("changed")


def loaded(model: nn.Module) -> Subject:
    return Subject(model, word_tokenizer(), "gemma", None, None)


@pytest.mark.parametrize(
    ("family", "cap"), [("gemma2", 4.0), ("gemma3_text", None), ("gemma2", None), ("gemma3_text", 2.0)]
)
def test_the_models_logits_are_the_capped_unembedding_of_the_last_stream(monkeypatch, family, cap):
    model = changed(monkeypatch, family, final_logit_softcapping=cap)
    subject = loaded(model)
    tokens = subject.tokenise(PROMPTS)
    run = subject.run(tokens, read=["resid_post.2"])
    raw = subject.final_norm(run.sites["resid_post.2"]) @ subject.W_U
    due = raw if cap is None else cap * torch.tanh(raw / cap)
    assert subject.logit_softcap == cap
    assert torch.allclose(due, run.logits, atol=1e-5)
    assert torch.equal(run.logits, model(tokens.ids).logits)
    assert torch.equal(subject.W_U, model.lm_head.weight.T)


def test_other_families_have_no_cap_no_scale_and_no_norm_behind():
    subject = make_subject("llama")
    assert subject.logit_softcap is None
    assert subject.W_E is subject.model.model.embed_tokens.weight
    assert subject.weights(0).post_attention is subject.weights(0).post_mlp is None


def test_embedding_attention_and_mlps_add_up_to_the_last_stream(gemma):
    parts = ["embed"] + [f"{kind}.{layer}" for kind in ("attn_out", "mlp_out") for layer in range(3)]
    run = gemma.run(gemma.tokenise(PROMPTS), read=[*parts, "resid_pre.0", "resid_post.2"])
    assert torch.equal(run.sites["embed"], run.sites["resid_pre.0"])
    assert torch.allclose(torch.stack([run.sites[part] for part in parts]).sum(0), run.sites["resid_post.2"], atol=1e-5)


def test_the_embedding_is_scaled_as_the_stream_gets_it(gemma):
    tokens = gemma.tokenise(PROMPTS)
    seen = gemma.run(tokens, read=["embed"]).sites["embed"]
    table = gemma.model.model.embed_tokens.weight
    assert torch.allclose(gemma.W_E, table * math.sqrt(24))
    assert torch.equal(gemma.W_E[tokens.ids], seen)
    assert torch.equal(gemma.embed(tokens.ids), seen)


@pytest.mark.parametrize(("site", "behind"), [("attn_out.1", "resid_mid.1"), ("mlp_out.1", "resid_post.1")])
def test_what_an_edit_adds_to_a_part_is_what_the_stream_gains(gemma, site, behind):
    tokens = gemma.tokenise(PROMPTS)
    plain = gemma.run(tokens, read=[site, behind]).sites
    push = torch.randn(24, generator=torch.Generator().manual_seed(0))
    edited = gemma.run(tokens, read=[site, behind], write={site: lambda value: value + push}).sites
    for name in (site, behind):
        assert torch.allclose(edited[name] - plain[name], push.expand_as(plain[name]), atol=1e-5), name


def test_writing_the_stream_inside_a_block_reaches_the_mlp_through_its_own_norm(gemma):
    run = gemma.run(
        gemma.tokenise(PROMPTS), read=["mlp_in.1", "mlp_out.1", "resid_post.1"], write={"resid_mid.1": torch.ones_like}
    )
    ones = torch.ones_like(run.sites["resid_post.1"])
    weight = 1 + gemma.model.model.layers[1].pre_feedforward_layernorm.weight
    assert torch.allclose(run.sites["mlp_in.1"], weight.expand_as(ones), atol=1e-5)
    assert torch.allclose(run.sites["resid_post.1"], ones + run.sites["mlp_out.1"], atol=1e-5)


def test_a_head_adds_its_part_of_the_sum_over_the_denominator_that_all_share(gemma):
    names, tokens = [f"head.1.{head}" for head in range(4)], gemma.tokenise(PROMPTS)
    weights = gemma.weights(1)
    norm = weights.post_attention
    assert isinstance(norm, Norm)
    for write in ({}, {"head.1.2": torch.zeros_like}):
        seen = gemma.run(tokens, read=[*names, "attn_out.1"], write=write).sites
        heads = torch.stack([seen[name] for name in names])
        parts = einsum(heads, weights.W_O, "head batch pos dim, head dim model -> head batch pos model")
        added = parts * norm.weight / norm.scale(parts.sum(0))
        assert torch.allclose(added.sum(0), seen["attn_out.1"], atol=1e-5)
        assert (added[2].abs().max() == 0) == bool(write)


def test_ablating_one_head_leaves_the_other_heads_values_and_rescales_what_they_add(gemma):
    names, tokens = [f"head.1.{head}" for head in range(4)], gemma.tokenise(PROMPTS)
    plain = gemma.run(tokens, read=[*names, "attn_out.1"]).sites
    edited = gemma.run(tokens, read=[*names, "attn_out.1"], write={"head.1.2": torch.zeros_like}).sites
    assert [torch.equal(plain[n], edited[n]) for n in names] == [True, True, False, True]
    weights = gemma.weights(1)
    assert isinstance(weights.post_attention, Norm)
    alone = plain["head.1.2"] @ weights.W_O[2]
    rest = sum(plain[n] @ weights.W_O[h] for h, n in enumerate(names)) - alone
    assert torch.allclose(edited["attn_out.1"], weights.post_attention(rest), atol=1e-5)
    fixed_scale = plain["attn_out.1"] - alone * weights.post_attention.weight / weights.post_attention.scale(
        rest + alone
    )
    assert not torch.allclose(edited["attn_out.1"], fixed_scale, atol=1e-2)


def weights_with(**wrong):
    true = Gemma.weights
    return lambda self, layer: replace(true(self, layer), **{k: make(self, layer) for k, make in wrong.items()})


@pytest.mark.parametrize(
    ("attribute", "wrong", "part"),
    [
        ("norm", lambda self, module: Norm(module.weight, None, module.eps, centred=False), r"q\.0\.0"),
        ("final_norm", lambda self: Norm(self.body.norm.weight, None, self.body.norm.eps, centred=False), "logits"),
        ("weights", weights_with(post_attention=lambda *_: None), r"attn_out\.0"),
        ("weights", weights_with(post_mlp=lambda *_: None), r"mlp_out\.0"),
        (
            "weights",  # the norm that has this name in Llama
            weights_with(norm2=lambda self, layer: self.norm(self.body.layers[layer].post_attention_layernorm)),
            r"mlp_in\.0",
        ),
    ],
)
def test_an_adapter_that_forgets_what_gemma_does_is_refused_with_the_part(monkeypatch, gemma, attribute, wrong, part):
    monkeypatch.setattr(Gemma, attribute, wrong)
    with pytest.raises(ToolError, match=rf"`{part}` rebuilt from its parts differs"):
        loaded(gemma.model)


@pytest.mark.parametrize(
    ("attribute", "wrong", "part"), [("logit_softcap", None, "logits"), ("embedding_scale", 1.0, "embed")]
)
def test_a_forgotten_cap_or_scale_is_refused_with_the_part(monkeypatch, attribute, wrong, part):
    def forget(self, model):
        started(self, model)
        setattr(self, attribute, wrong)

    started = Gemma.__init__
    monkeypatch.setattr(Gemma, "__init__", forget)
    with pytest.raises(ToolError, match=rf"`{part}` rebuilt from its parts differs"):
        loaded(random_model("gemma2"))


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        *((family, "query_pre_attn_scalar", 8) for family in GEMMAS),
        *((family, "sliding_window", 4) for family in GEMMAS),
        *((family, "layer_types", ["full_attention"] * 3) for family in GEMMAS),
        ("gemma2", "attn_logit_softcapping", None),
        ("gemma2", "final_logit_softcapping", None),
    ],
)
def test_every_setting_of_the_random_models_matters_and_needs_no_adapter_of_its_own(monkeypatch, family, field, value):
    subject, other = make_subject(family), loaded(changed(monkeypatch, family, **{field: value}))
    tokens = subject.tokenise(PROMPTS)
    assert torch.equal(subject.W_U, other.W_U)
    assert (subject.run(tokens).logits - other.run(tokens).logits).abs().max() > 1e-2


def test_some_layers_look_back_a_few_tokens_and_others_all_the_way(gemma):
    names = [f"pattern.{layer}" for layer in range(3)]
    patterns = gemma.run(gemma.tokenise(PROMPTS[:1]), read=names).sites
    looks = [(patterns[name][0, 0] > 0).sum(-1).tolist() for name in names]
    assert looks == [[1, 2, 3, 3, 3, 3], [1, 2, 3, 4, 5, 6], [1, 2, 3, 3, 3, 3]]


def test_the_twin_is_a_gemma_of_other_weights_and_repeats_from_its_seed(gemma):
    tokens = gemma.tokenise(PROMPTS)
    twins = [gemma.twin(seed) for seed in (3, 3, 4)]
    logits = [twin.run(tokens).logits for twin in twins]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])
    assert not torch.allclose(logits[0], gemma.run(tokens).logits)
    assert twins[0].logit_softcap == gemma.logit_softcap
    assert torch.allclose(twins[0].W_E, twins[0].model.model.embed_tokens.weight * math.sqrt(24))
    assert twins[0].key.fingerprint == gemma.key.fingerprint


@pytest.mark.parametrize("family", GEMMAS)
def test_a_saved_model_with_tied_embeddings_loads_with_the_fingerprint_it_had(tmp_path, monkeypatch, family):
    model = changed(monkeypatch, family)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    before = loaded(model)
    model.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    after = load_subject(str(tmp_path), device="cpu")
    assert after.key.fingerprint == before.key.fingerprint
    assert torch.equal(after.W_U.T, after.model.model.embed_tokens.weight)
    assert torch.allclose(after.W_E, after.W_U.T * math.sqrt(24))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("family", GEMMAS)
def test_every_precision_is_proved_and_norms_keep_the_digits_of_their_weights(family, dtype):
    subject = loaded(random_model(family, spread=0.1).to(dtype))
    tokens = subject.tokenise(PROMPTS)
    run = subject.run(tokens, read=["embed", "attn_out.1"])
    norm, stored = subject.weights(1).post_mlp, subject.model.model.layers[1].post_feedforward_layernorm.weight
    assert isinstance(norm, Norm)
    assert torch.equal((norm.weight - 1).to(dtype), stored)
    assert norm.weight.dtype == norm.scale(run.sites["attn_out.1"]).dtype == torch.promote_types(dtype, torch.float32)
    assert run.logits.dtype == norm(run.sites["attn_out.1"]).dtype == dtype
    assert torch.equal(subject.embed(tokens.ids), run.sites["embed"])


def test_a_model_that_looks_ahead_is_refused_with_what_may_be_given(monkeypatch):
    for family in GEMMAS:
        with pytest.raises(ToolError, match="Give a causal language model"):
            loaded(changed(monkeypatch, family, use_bidirectional_attention=True))
