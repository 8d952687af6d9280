"""Published dictionaries: files made here in each format compute what the format's documentation says they compute."""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from conftest import make_subject
from dictionary_files import (
    SET,
    D,
    F,
    gemma_tensors,
    numbers,
    rebuilt,
    saelens_tensors,
    tracer_tensors,
    write_npz,
    write_saelens,
    write_tracer,
)
from hypothesis import given, settings, strategies as st
from safetensors.torch import save_file
from vesalius.tools import ToolError
from vesalius.tools._dictionary import Transcoder
from vesalius.tools._dictionary_file import dictionary_of, source_of

X = torch.randn(7, D, generator=torch.Generator().manual_seed(99))
AS_DOCUMENTED = settings(max_examples=30, deadline=None, derandomize=True)


def top(values: torch.Tensor, k: int) -> torch.Tensor:
    """The k largest of each row, the rest 0."""
    kept = values.sort(dim=-1, descending=True).values[..., k - 1 : k]
    return values.where(values >= kept, torch.zeros(()))


def close(found: torch.Tensor, due: torch.Tensor) -> bool:
    assert due.abs().max() > 1e-3, "nothing is compared"
    return torch.allclose(found, due, rtol=1e-4, atol=1e-4)


def the_layer(place: Path) -> Transcoder:
    (one,) = source_of(str(place)).layers
    return one.read()


@AS_DOCUMENTED
@given(
    rule=st.sampled_from(["standard", "topk", "jumprelu", "batchtopk"]),
    b_dec_from_input=st.booleans(),
    in_decoder_lengths=st.booleans(),
    scale=st.sampled_from([None, 0.37]),
    flat=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_saelens_autoencoder_computes_what_its_configuration_says(
    rule, b_dec_from_input, in_decoder_lengths, scale, flat, seed
):
    t = saelens_tensors(seed)
    in_decoder_lengths = in_decoder_lengths and rule in ("topk", "batchtopk")
    config = {"architecture": rule, "apply_b_dec_to_input": b_dec_from_input}
    if in_decoder_lengths:
        config["rescale_acts_by_decoder_norm"] = True
    if rule == "topk":
        config |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}} if flat else {"k": 5}
        config["architecture"] = "standard" if flat else "topk"
    if rule == "jumprelu":
        t["threshold"] = numbers(F, seed=seed + 7) * 0.5  # some are negative
    if rule == "batchtopk":
        t["topk_threshold"] = torch.tensor(0.4, dtype=torch.double)
    if scale:
        config["normalize_activations"] = "expected_average_only_in"
    with tempfile.TemporaryDirectory() as name:
        folder = write_saelens(Path(name) / "sae", config, t, flat)
        if scale:
            (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))
        found = the_layer(folder)
    # https://decoderesearch.github.io/SAELens: encode(x) = f((s x - b_dec) W_enc + b_enc), decode(a) = a W_dec + b_dec
    factor, lengths = scale or 1.0, t["W_dec"].norm(dim=-1)
    pre = (X * factor - t["b_dec"] * b_dec_from_input) @ t["W_enc"] + t["b_enc"]
    if in_decoder_lengths:
        pre = pre * lengths
    acts = {
        "standard": lambda: pre.relu(),
        "topk": lambda: top(pre, 5).relu(),
        "jumprelu": lambda: pre.relu() * (pre > t["threshold"]),
        "batchtopk": lambda: pre.relu() * (pre > 0.4),
    }[rule]()
    written = ((acts / lengths if in_decoder_lengths else acts) @ t["W_dec"] + t["b_dec"]) / factor
    assert close(found.encode(X), acts)
    assert close(found.rebuild(X), written)
    assert (found.reads, found.writes) == ("resid_post.1", "resid_post.1")


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("jumps", [False, True])
def test_a_saelens_transcoder_reads_one_place_and_writes_another(tmp_path, skips, jumps):
    t = saelens_tensors()
    if jumps:
        t["threshold"] = numbers(F).abs() * 0.3
    if skips:
        t["W_skip"] = numbers(D, D)
    config = {
        "architecture": f"{'jumprelu_' if jumps else ''}{'skip_' if skips else ''}transcoder",
        "apply_b_dec_to_input": False,
        "d_out": D,
        "hook_name": "blocks.2.hook_resid_mid",
        "hook_name_out": "blocks.2.hook_mlp_out",
    }
    found = the_layer(write_saelens(tmp_path / "one", config, t))
    pre = X @ t["W_enc"] + t["b_enc"]
    acts = pre.relu() * (pre > t["threshold"]) if jumps else pre.relu()
    written = acts @ t["W_dec"] + t["b_dec"]
    if skips:
        written = written + X @ t["W_skip"].T  # stored as [d_out, d_in]
    assert close(found.encode(X), acts)
    assert close(found.rebuild(X), written)
    assert (found.reads, found.writes) == ("resid_mid.2", "mlp_out.2")


def test_a_folder_of_saelens_folders_is_one_dictionary(tmp_path):
    for layer in (2, 0):
        config = {"architecture": "standard", "hook_name": f"blocks.{layer}.hook_attn_out"}
        write_saelens(tmp_path / "set" / f"blocks.{layer}", config, saelens_tensors(layer))
    subject = make_subject("gpt2")
    made = dictionary_of(subject, str(tmp_path / "set"), force=True)
    assert [one.reads for one in made.layers] == ["attn_out.0", "attn_out.2"]
    assert torch.equal(made.at(2).W_dec, saelens_tensors(2)["W_dec"])
    write_saelens(
        tmp_path / "set" / "again",
        {"architecture": "standard", "hook_name": "blocks.2.hook_attn_out"},
        saelens_tensors(),
    )
    with pytest.raises(ToolError, match=r"several dictionaries for layer 2\. Name the folder of one"):
        source_of(str(tmp_path / "set"))


@pytest.mark.parametrize("named", ["folder", "file"])
@pytest.mark.parametrize(
    ("release", "site", "model"),
    [("2b-pt-res", "resid_post.1", "gemma-2-2b"), ("9b-it-mlp", "mlp_out.1", "gemma-2-9b-it")],
)
def test_gemma_scope_is_placed_by_the_names_of_its_folders(tmp_path, release, site, model, named):
    folder = tmp_path / f"gemma-scope-{release}" / "layer_1" / "width_16k" / "average_l0_71"
    t = gemma_tensors()
    t["threshold"][0] = -5.0  # what its feature has below 0 is off, as with any ReLU
    write_npz(folder, t)
    source = source_of(str(folder if named == "folder" else folder / "params.npz"))
    found = source.layers[0].read()
    pre = X @ t["W_enc"] + t["b_enc"]
    acts = pre.relu() * (pre > t["threshold"])
    assert (found.reads, found.writes, source.trained_on) == (site, site, f"claims google/{model}")
    assert close(found.encode(X), acts)
    assert close(found.rebuild(X), acts @ t["W_dec"] + t["b_dec"])


def normalised_input(subject, layer: int, tokens) -> tuple[torch.Tensor, torch.Tensor]:
    """The MLP's input divided by the norm's denominator alone, computed from the stream; and the input itself."""
    run = subject.run(tokens, read=[f"resid_mid.{layer}", f"mlp_in.{layer}"])
    stream, config = run.sites[f"resid_mid.{layer}"][0], subject.model.config
    if hasattr(config, "layer_norm_epsilon"):
        stream = stream - stream.mean(-1, keepdim=True)
    eps = getattr(config, "layer_norm_epsilon", None) or config.rms_norm_eps
    return stream / (stream.pow(2).mean(-1, keepdim=True) + eps).sqrt(), run.sites[f"mlp_in.{layer}"][0]


def test_a_gemma_scope_transcoder_reads_before_the_norms_weight(tmp_path):
    subject = make_subject("gemma2")
    folder = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_1" / "width_16k" / "average_l0_5"
    t = gemma_tensors()
    made = dictionary_of(subject, str(write_npz(folder, t)), force=True)
    before, after = normalised_input(subject, 1, subject.tokenise(["w1 w5 w9 w2"]))
    pre = before @ t["W_enc"] + t["b_enc"]
    assert close(made.at(1).acts(after), pre.relu() * (pre > t["threshold"]))
    assert (made.at(1).reads, made.at(1).writes) == ("mlp_in.1", "mlp_out.1")
    assert not torch.allclose(before, after, atol=0.1)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_norms_weight_and_bias_go_into_a_transcoder_and_its_skip(tmp_path, family):
    t = saelens_tensors() | {"W_skip": numbers(D, D)}
    config = {
        "architecture": "skip_transcoder",
        "apply_b_dec_to_input": False,
        "hook_name": "blocks.1.ln2.hook_normalized",
        "hook_name_out": "blocks.1.hook_mlp_out",
    }
    subject = make_subject(family)
    made = dictionary_of(subject, str(write_saelens(tmp_path / "one", config, t)), force=True).at(1)
    before, after = normalised_input(subject, 1, subject.tokenise(["w1 w5 w9 w2"]))
    acts = (before @ t["W_enc"] + t["b_enc"]).relu()
    assert close(made.acts(after), acts)
    assert close(made.rebuild(after), acts @ t["W_dec"] + t["b_dec"] + before @ t["W_skip"].T)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_was_trained_on_a_centred_stream_sees_and_leaves_its_mean(tmp_path, family):
    config = {"architecture": "standard", "model_from_pretrained_kwargs": {"center_writing_weights": True}}
    t, subject = saelens_tensors(), make_subject(family)
    made = dictionary_of(subject, str(write_saelens(tmp_path / "one", config, t)), force=True).at(1)
    # TransformerLens centres writing weights for LayerNorm alone.
    mean = X.mean(-1, keepdim=True) if family == "gpt2" else torch.zeros(1)
    acts = ((X - mean - t["b_dec"]) @ t["W_enc"] + t["b_enc"]).relu()
    assert close(made.acts(X), acts)
    assert close(made.rebuild(X), acts @ t["W_dec"] + t["b_dec"] + mean)


@pytest.mark.parametrize("affine", [False, True])
def test_gemma_scope_2_says_where_it_reads_and_has_an_affine_skip(tmp_path, affine):
    t = gemma_tensors(lower=True) | ({"affine_skip_connection": numbers(D, D)} if affine else {})
    save_file(t, tmp_path / "params.safetensors")
    config = {
        "hf_hook_point_in": "model.layers.1.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.1.post_feedforward_layernorm.output",
        "model_name": "google/gemma-3-270m-it",
        "architecture": "jump_relu",
        "affine_connection": affine,
        "type": "transcoder",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = source_of(str(tmp_path))
    found = source.layers[0].read()
    pre = X @ t["w_enc"] + t["b_enc"]
    acts = pre.relu() * (pre > t["threshold"])
    assert (found.reads, found.writes, source.trained_on) == ("mlp_in.1", "mlp_out.1", "claims google/gemma-3-270m-it")
    assert close(found.rebuild(X), acts @ t["w_dec"] + t["b_dec"] + (X @ t["affine_skip_connection"] if affine else 0))


def test_a_gemma_scope_2_cross_layer_set_writes_to_its_own_and_later_layers(tmp_path):
    parts = []
    for layer in range(3):
        t = gemma_tensors(layer, lower=True) | {"w_dec": numbers(F, 3, D, seed=layer)}
        t["affine_skip_connection"] = numbers(D, D, seed=layer)
        save_file(t, tmp_path / f"params_layer_{layer}.safetensors")
        parts.append(t)
    values = numbers(3, 5, D)
    layers = dictionary_of(make_subject("gemma3_text"), str(tmp_path), force=True).layers
    pre = [value @ t["w_enc"] + t["b_enc"] for value, t in zip(values, parts, strict=True)]
    acts = [one.relu() * (one > t["threshold"]) for one, t in zip(pre, parts, strict=True)]
    due = [
        sum(acts[i] @ parts[i]["w_dec"][:, layer] for i in range(layer + 1))
        + parts[layer]["b_dec"]
        + values[layer] @ parts[layer]["affine_skip_connection"]
        for layer in range(3)
    ]
    assert close(rebuilt(layers, values), torch.stack(due))


@AS_DOCUMENTED
@given(
    rule=st.sampled_from(["relu", "topk", "topk_in_file", "jumprelu"]),
    skips=st.booleans(),
    listed=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_circuit_tracer_set_computes_what_its_files_say(rule, skips, listed, seed):
    config, files = dict(SET), {}
    for layer in range(2):
        t = tracer_tensors(seed + layer)
        if rule == "jumprelu":
            t["activation_function.threshold"] = numbers(F, seed=seed) * 0.3
        if rule == "topk_in_file":
            t["k"] = torch.tensor(6)
        if skips:
            t["W_skip"] = numbers(D, D, seed=seed + layer)
        files[f"layer_{layer}"] = t
    config |= {"relu": {"activation": "relu"}, "topk": {"activation": "topk", "k": 6}}.get(rule, {})
    config |= {"activation": "topk"} if rule == "topk_in_file" else {}
    config |= {"transcoders": [f"{name}.safetensors" for name in files]} if listed else {}
    with tempfile.TemporaryDirectory() as name:
        source = source_of(str(write_tracer(Path(name) / "set", config, files)))
        found = [one.read() for one in source.layers]
    for one, t in zip(found, files.values(), strict=True):
        pre = X @ t["W_enc"].T + t["b_enc"]
        acts = pre.relu() if rule == "relu" else top(pre, 6)
        if rule == "jumprelu":
            acts = pre * (pre > t["activation_function.threshold"])
        written = acts @ t["W_dec"] + t["b_dec"] + (X @ t["W_skip"].T if skips else 0)
        assert close(one.encode(X), acts)
        assert close(one.rebuild(X), written)
    assert [one.reads for one in found] == ["mlp_in.0", "mlp_in.1"]
    assert source.trained_on == "claims meta-llama/Llama-3.2-1B"


@pytest.mark.parametrize("jumps", [False, True])
def test_a_circuit_tracer_cross_layer_set_writes_to_its_own_and_later_layers(tmp_path, jumps):
    n, files = 3, {}
    for i in range(n):
        t = tracer_tensors(i)
        files[f"W_enc_{i}"] = {f"{name}_{i}": t[name] for name in ("W_enc", "b_enc", "b_dec")}
        files[f"W_enc_{i}"] |= {f"threshold_{i}": numbers(F, seed=i) * 0.3} if jumps else {}
        files[f"W_dec_{i}"] = {f"W_dec_{i}": numbers(F, n - i, D, seed=i)}
    config = {**SET, "model_kind": "cross_layer_transcoder", "feature_input_hook": "hook_resid_mid"}
    folder = write_tracer(tmp_path / "clt", config, files)
    values = numbers(n, 5, D)
    made = dictionary_of(make_subject("llama"), str(folder), force=True)
    acts = []
    for i in range(n):
        pre = values[i] @ files[f"W_enc_{i}"][f"W_enc_{i}"].T + files[f"W_enc_{i}"][f"b_enc_{i}"]
        acts.append(pre * (pre > files[f"W_enc_{i}"][f"threshold_{i}"]) if jumps else pre.relu())
    due = [
        sum(acts[i] @ files[f"W_dec_{i}"][f"W_dec_{i}"][:, layer - i] for i in range(layer + 1))
        + files[f"W_enc_{layer}"][f"b_dec_{layer}"]
        for layer in range(n)
    ]
    assert close(rebuilt(made.layers, values), torch.stack(due))
    assert made.at(0).reads == "resid_mid.0"


def test_a_set_of_gemma_scope_files_is_read_through_circuit_tracers_configuration(tmp_path):
    write_npz(tmp_path / "npz", gemma_tensors())
    config = {**SET, "feature_input_hook": "ln2.hook_normalized", "feature_output_hook": "hook_mlp_out"}
    config["transcoders"] = ["../npz/params.npz"]
    write_tracer(tmp_path / "set", config, {})
    with pytest.raises(ToolError, match="Put the file into the folder"):
        source_of(str(tmp_path / "set"))
    (tmp_path / "set" / "params_0.npz").write_bytes((tmp_path / "npz" / "params.npz").read_bytes())
    write_tracer(tmp_path / "set", config | {"transcoders": ["params_0.npz"]}, {})
    (one,) = source_of(str(tmp_path / "set")).layers
    assert one.bends == ("before_gain",)
    assert torch.equal(one.read().W_enc, gemma_tensors()["W_enc"].T)
