"""The subject: proved at load, read and written at named sites, honest about what it cannot do."""

from pathlib import Path

import pytest
import torch
from conftest import CONFIGS, FAMILIES, make_subject, random_model, word_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from vesalius.tools import Subject, ToolError, load_subject
from vesalius.tools._architectures import LlamaLike

PROMPTS = ["w1 w2 w3 w4", "w5 w6", "w7 w8 w9"]
KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_in", "mlp_act", "mlp_out")


def every_site(subject: Subject) -> list[str]:
    kinds = [k for k in KINDS if not (k == "resid_mid" and subject.shape.parallel)]
    names = [f"{kind}.{layer}" for kind in kinds for layer in range(subject.shape.n_layers)]
    last = subject.shape.n_kv_heads - 1
    return ["embed", "head.0.0", "head.2.3", "q.1.3", f"k.1.{last}", f"v.2.{last}", *names]


def test_writing_back_what_was_read_changes_no_bit(subject):
    tokens = subject.tokenise(PROMPTS)
    plain = subject.run(tokens, read=every_site(subject))
    for name in every_site(subject):
        written = subject.run(tokens, write={name: lambda value, kept=plain.sites[name]: kept.clone()})
        assert torch.equal(written.logits, plain.logits), name


def test_zeroing_any_site_changes_the_logits(subject):
    tokens = subject.tokenise(PROMPTS)
    plain = subject.run(tokens)
    for name in every_site(subject):
        assert not torch.allclose(subject.run(tokens, write={name: torch.zeros_like}).logits, plain.logits), name


def test_a_read_sees_what_was_written(subject):
    tokens = subject.tokenise(PROMPTS)
    for name in every_site(subject):
        run = subject.run(tokens, read=[name], write={name: torch.ones_like})
        assert torch.allclose(run.sites[name], torch.ones(()), atol=1e-5), name


def test_the_stream_is_the_sum_of_its_parts(subject):
    run = subject.run(subject.tokenise(PROMPTS), read=["resid_pre.1", "attn_out.1", "mlp_out.1", "resid_post.1"])
    total = run.sites["resid_pre.1"] + run.sites["attn_out.1"] + run.sites["mlp_out.1"]
    assert torch.allclose(total, run.sites["resid_post.1"], atol=1e-5)


def test_writing_the_stream_inside_a_block_reaches_attentions_output_and_the_mlp():
    subject = make_subject("llama")
    tokens = subject.tokenise(PROMPTS)
    run = subject.run(tokens, read=["mlp_in.1", "mlp_out.1", "resid_post.1"], write={"resid_mid.1": torch.ones_like})
    ones = torch.ones_like(run.sites["resid_post.1"])
    assert torch.allclose(run.sites["mlp_in.1"], subject.weights(1).norm2(ones), atol=1e-5)
    assert torch.allclose(run.sites["resid_post.1"], ones + run.sites["mlp_out.1"], atol=1e-5)


def test_one_heads_write_leaves_the_others_alone():
    subject = make_subject("qwen2")
    tokens = subject.tokenise(PROMPTS)
    names = [f"head.1.{h}" for h in range(4)]
    plain = subject.run(tokens, read=names).sites
    edited = subject.run(tokens, read=names, write={"head.1.2": torch.zeros_like}).sites
    assert [torch.equal(plain[n], edited[n]) for n in names] == [True, True, False, True]


def test_keys_and_values_that_heads_share_are_counted_by_themselves():
    subject = make_subject("llama")
    with pytest.raises(ToolError, match=r"Heads of keys and values: 0\.\.1"):
        subject.site("k.0.2")
    tokens = subject.tokenise(PROMPTS)
    heads = [f"head.1.{h}" for h in range(4)]
    plain = subject.run(tokens, read=heads).sites
    edited = subject.run(tokens, read=heads, write={"v.1.1": torch.zeros_like}).sites
    assert [torch.equal(plain[h], edited[h]) for h in heads] == [True, True, False, False]
    assert not edited["head.1.2"].any()


def test_a_query_is_read_before_it_is_rotated(subject):
    tokens = subject.tokenise(PROMPTS[:1])
    run = subject.run(tokens, read=["resid_pre.1", "q.1.2"])
    looks = subject.architecture.looks(1)
    due = subject.weights(1).norm1(run.sites["resid_pre.1"]) @ looks.W_Q[2] + looks.b_Q[2]
    assert torch.allclose(run.sites["q.1.2"], due, atol=1e-5)


def test_padding_does_not_change_a_prompts_logits(subject):
    alone = subject.run(subject.tokenise([PROMPTS[1]])).last_logits[0]
    padded = subject.run(subject.tokenise(PROMPTS)).last_logits[1]
    assert torch.allclose(alone, padded, atol=1e-5)


def test_the_last_entry_of_hidden_states_is_normed_and_ours_is_not():
    subject = make_subject("llama")
    tokens = subject.tokenise(PROMPTS[:1])
    ours = subject.run(tokens, read=["resid_post.2"]).sites["resid_post.2"]
    theirs = subject.model(tokens.ids, output_hidden_states=True).hidden_states[-1]
    assert not torch.allclose(ours, theirs, atol=1e-3)
    assert torch.allclose(subject.final_norm(ours), theirs, atol=1e-5)


def test_a_model_whose_parts_do_not_rebuild_it_is_refused_with_the_part(monkeypatch):
    true_weights = LlamaLike.weights

    def wrong_heads(self, layer):
        weights = true_weights(self, layer)
        return type(weights)(**{**vars(weights), "W_V": weights.W_V.flip(0)})

    monkeypatch.setattr(LlamaLike, "weights", wrong_heads)
    with pytest.raises(ToolError, match=r"`v\.0\.0` rebuilt from its parts differs"):
        Subject(random_model("llama"), word_tokenizer(), "wrong", None, None)


def test_the_twin_has_other_weights_and_repeats_from_its_seed():
    subject = make_subject("gpt2")
    tokens = subject.tokenise(PROMPTS)
    logits = [subject.twin(seed).run(tokens).logits for seed in (3, 3, 4)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])
    assert subject.twin(3).key.fingerprint == subject.key.fingerprint
    assert subject.twin(3).key != subject.key


def test_the_twin_of_a_model_in_half_precision_counts_positions_as_the_model_does(tmp_path):
    saved(tmp_path, "llama")
    subject = load_subject(str(tmp_path), device="cpu", dtype=torch.bfloat16)
    of_twin = dict(subject.twin(3).model.named_buffers())
    assert subject.twin(3).model.dtype == torch.bfloat16
    for name, buffer in subject.model.named_buffers():
        assert torch.equal(buffer, of_twin[name]), name


def test_the_fingerprint_sees_one_changed_weight():
    before = Subject(random_model("gpt2"), word_tokenizer(), "a", None, None)
    model = random_model("gpt2")
    with torch.no_grad():
        model.transformer.h[0].attn.c_attn.weight[0, 0] += 1e-3
    after = Subject(model, word_tokenizer(), "a", None, None)
    again = Subject(random_model("gpt2"), word_tokenizer(), "b", None, None)
    assert before.key.fingerprint == again.key.fingerprint != after.key.fingerprint


def test_the_fingerprint_does_not_depend_on_what_was_asked_before():
    before, after = (Subject(random_model("gpt2"), word_tokenizer(), "a", None, None) for _ in range(2))
    after.tokenizer(["w1 w2", "w3"], padding=True, truncation=True, max_length=8)
    after.answer_token("w1", "w2")
    assert before.key == after.key


def test_names_of_other_libraries_are_understood():
    subject = make_subject("gpt2")
    given = ["blocks.1.hook_resid_post", "m2", "a1.h3", "input", "blocks.0.mlp.hook_post", "blocks.2.attn.hook_z.1"]
    given += ["blocks.1.attn.hook_q.2", "blocks.0.attn.hook_k.3"]
    canonical = ["q.1.2", "k.0.3"]
    canonical[:0] = ["resid_post.1", "mlp_out.2", "head.1.3", "embed", "mlp_act.0", "head.2.1"]
    assert [str(subject.site(name)) for name in given] == canonical
    assert str(subject.site("blocks.1.mlp.hook_in")) == "mlp_in.1"


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("resid_post.3", r"Layers: 0\.\.2"),
        ("head.1.4", r"Heads: 0\.\.3"),
        ("head.1", r"head\.LAYER\.HEAD"),
        ("q.1.4", r"Heads: 0\.\.3"),
        ("v.1", r"v\.LAYER\.HEAD"),
        ("wings.1", "Sites: embed"),
        ("blocks.1.hook_mlp_in", r"`mlp_in\.1` for what the norm makes of it, or `resid_mid\.1`"),
    ],
)
def test_a_site_that_does_not_exist_is_refused_with_those_that_do(name, mend):
    with pytest.raises(ToolError, match=mend):
        make_subject("gpt2").site(name)


def test_parallel_blocks_have_no_middle():
    with pytest.raises(ToolError, match="run in parallel"):
        make_subject("gpt_neox").site("resid_mid.1")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("w1 zebra", "lacks 'zebra'"), ("w1 " * 40, "has 41 tokens")],
)
def test_a_prompt_that_cannot_be_read_is_refused(prompt, message):
    with pytest.raises(ToolError, match=message):
        make_subject("gpt2").tokenise([prompt])


def test_an_answer_is_one_token_or_an_error_that_shows_the_pieces():
    subject = make_subject("gpt2")
    assert subject.answer_token("w1 w2", "w3") == 6
    with pytest.raises(ToolError, match="splits 'w3 w4' into 2 tokens"):
        subject.answer_token("w1 w2", "w3 w4")
    with pytest.raises(ToolError, match="lacks 'zebra'"):
        subject.answer_token("w1 w2", "zebra")


def test_a_model_that_is_not_there_is_refused_with_what_may_be_given(tmp_path):
    with pytest.raises(ToolError, match="config.json, tokenizer and safetensors".replace(".", r"\.")):
        load_subject(str(tmp_path / "nothing"))


def saved(folder: Path, family: str) -> Path:
    random_model(family).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder / "model.safetensors"


def test_a_saved_model_loads_with_the_fingerprint_it_had(tmp_path):
    saved(tmp_path, "llama")
    assert load_subject(str(tmp_path), device="cpu").key.fingerprint == make_subject("llama").key.fingerprint


def test_tied_embeddings_are_stored_once_and_no_weights_are_missed(tmp_path):
    config = CONFIGS["gpt2"]()
    assert config.tie_word_embeddings
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    subject = load_subject(str(tmp_path), device="cpu")
    assert torch.equal(subject.W_U.T, subject.W_E)


def test_weights_that_are_not_in_the_file_are_not_drawn_at_random(tmp_path):
    file = saved(tmp_path, "llama")
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ToolError, match=r"lack 1 tensors, the first 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        load_subject(str(tmp_path), device="cpu")


@pytest.mark.parametrize("harm", ["cut", "other size"])
def test_a_damaged_file_of_weights_is_refused_with_what_may_be_given(tmp_path, harm):
    file = saved(tmp_path, "llama")
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:200])
    else:
        save_file(load_file(file) | {"model.norm.weight": torch.ones(3)}, file, metadata={"format": "pt"})
    with pytest.raises(ToolError, match="config.json, tokenizer and safetensors".replace(".", r"\.")):
        load_subject(str(tmp_path), device="cpu")


def test_an_element_type_that_no_tolerance_is_known_for_is_refused():
    with pytest.raises(ToolError, match=r"Load as one of: torch\.float64"):
        Subject(random_model("gpt2").to(torch.float8_e4m3fn), word_tokenizer(), "a", None, None)


def test_attention_beyond_a_sliding_window_is_none():
    subject = make_subject("mistral")
    pattern = subject.run(subject.tokenise(["w1 w2 w3 w4 w5"]), read=["pattern.1"]).sites["pattern.1"]
    looks = pattern[0, 0] > 0
    assert looks.sum(-1).tolist() == [1, 2, 3, 3, 3, 3]


def test_a_batch_in_many_passes_is_answered_as_in_one(subject, monkeypatch):
    tokens = subject.tokenise([*PROMPTS, "w1"])
    at_once = subject.run(tokens).last_logits
    assert torch.equal(subject.last_logits(tokens), at_once)
    monkeypatch.setattr("vesalius.tools._subject.LARGEST_LOGITS", 3 * tokens.ids.shape[1] * subject.shape.n_vocab)
    assert [rows for rows, _ in subject.passes(tokens)] == [slice(0, 3), slice(3, 6)]
    assert torch.allclose(subject.last_logits(tokens), at_once, atol=1e-5)


def test_half_precision_is_proved_and_answers_are_read_in_single():
    model = random_model("llama", spread=0.1).to(torch.bfloat16)
    subject = Subject(model, word_tokenizer(), "half", None, None)
    run = subject.run(subject.tokenise(PROMPTS))
    assert run.logits.dtype == torch.bfloat16
    assert run.last_logits.dtype == torch.float32


@pytest.mark.external
@pytest.mark.parametrize("name", ["stories260k-hf", "gpt-nano-sort-hf", "gpt2basic-gold-v4-hf"])
def test_real_models_prove_themselves(external, name):
    assert load_subject(str(external / "models" / name), device="cpu").shape.n_layers >= 2


def test_all_families_of_the_design_are_covered():
    assert {"gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt_neox"} <= set(FAMILIES)
