"""Published dictionaries that cannot be used here: damaged, contradictory, too large, or of another meaning."""

import numpy as np
import pytest
import torch
from conftest import make_subject
from dictionary_files import (
    SET,
    D,
    F,
    gemma_tensors,
    numbers,
    saelens_tensors,
    tracer_tensors,
    write_npz,
    write_saelens,
    write_tracer,
)
from vesalius.tools import ToolError
from vesalius.tools._dictionary_file import dictionary_of, source_of

TO_MLP_OUT = {"architecture": "transcoder", "hook_name_out": "blocks.1.hook_mlp_out"}


def refused_saelens(tmp_path, config=None, tensors=None, without=(), mend=""):
    t = {name: part for name, part in (saelens_tensors() | (tensors or {})).items() if name not in without}
    folder = write_saelens(tmp_path / "sae", {"architecture": "standard"} | (config or {}), t)
    with pytest.raises(ToolError, match=mend):
        dictionary_of(make_subject("gpt2"), str(folder), force=True)


@pytest.mark.parametrize(
    ("config", "mend"),
    [
        ({"architecture": "gated"}, "These can: standard, topk, jumprelu"),
        ({"architecture": ["standard"]}, "These can: standard"),
        ({"activation_fn": "tanh-relu"}, "Known: relu, topk"),
        ({"architecture": "topk"}, r"Write the k it was trained with, 1\.\.40"),
        ({"architecture": "topk", "k": 41}, "Write the k it was trained with"),
        ({"architecture": "topk", "k": 2.5}, "Write the k it was trained with"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {}}, "Write the k it was trained with"),
        ({"normalize_activations": "layer_norm"}, "`normalize_activations` none"),
        ({"normalize_activations": "expected_average_only_in"}, "activation_scaler.json as"),
        ({"hook_name": None}, "Write it into cfg.json"),
        ({"hook_name": "blocks.1.attn.hook_z"}, "These can: hook_resid_pre"),
        ({"hook_name": "blocks.1.hook_mlp_in"}, r"Write hook_resid_mid or mlp\.hook_in"),
        ({"hook_name": "blocks.1.ln2.hook_normalized"}, "Give one trained on the stream"),
        ({"hook_name": "hook_resid_post"}, "the same layer"),
        ({"hook_head_index": 2}, "reads the stream"),
        ({"hook_name_out": "blocks.1.hook_mlp_out"}, "Write `transcoder` as `architecture`"),
        ({"hook_name": "blocks.3.hook_resid_post"}, "Train it again for this model"),
        ({"apply_b_dec_to_input": True, **TO_MLP_OUT}, "set it to false"),
        ({"architecture": "transcoder"}, "`hook_name_out` is missing"),
        ({"d_sae": 41}, "Fetch the folder again"),
    ],
)
def test_what_a_saelens_configuration_cannot_mean_here_is_refused(tmp_path, config, mend):
    refused_saelens(tmp_path, config, mend=mend)


@pytest.mark.parametrize(
    ("tensors", "without", "mend"),
    [
        (
            {"W_dec": saelens_tensors()["W_dec"].index_fill(0, torch.tensor([3]), torch.nan)},
            (),
            "24 entries that are NaN",
        ),
        ({"b_enc": torch.full((F,), torch.inf)}, (), "NaN or infinite"),
        ({}, ("b_dec",), "lacks the tensor `b_dec`"),
        ({"b_dec": torch.zeros(D + 1)}, (), r"\(24,\) is due"),
        ({"W_enc": torch.ones(D, F, dtype=torch.int32)}, (), "Give tensors of type F64, F32"),
        ({"W_enc": torch.ones(D)}, (), "is no matrix"),
        ({"b_dec_out": torch.ones(D)}, (), "`b_dec_out`, which means nothing here"),
        ({"W_skip": torch.ones(D, D)}, (), "`W_skip`, which means nothing here"),
        ({"scaling_factor": torch.full((F,), 2.0)}, (), "Fold the factors"),
    ],
)
def test_tensors_that_are_damaged_or_unknown_are_refused(tmp_path, tensors, without, mend):
    refused_saelens(tmp_path, tensors=tensors, without=without, mend=mend)


def test_jumprelu_without_thresholds_is_not_read_as_relu(tmp_path):
    refused_saelens(tmp_path, {"architecture": "jumprelu"}, mend="lacks the tensor `threshold`")


def test_another_width_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("vesalius.tools._dictionary_tensors.TensorFile.read", None)
    t = {"W_enc": torch.ones(12, F), "b_enc": torch.ones(F), "W_dec": torch.ones(F, 12), "b_dec": torch.ones(12)}
    refused_saelens(tmp_path, {"d_in": 12}, t, mend="12 wide, the model's stream 24. Train it again for this model")


@pytest.mark.parametrize(
    ("config", "tensors", "mend"),
    [
        ({"activation": "topk"}, {}, r"Write the k it was trained with, 1\.\.40, as `k`"),
        ({"activation": "topk", "k": 4}, {"k": torch.tensor(5)}, "Write the k it was trained with"),
        ({"activation": "topk", "k": 0}, {}, "Write the k it was trained with"),
        ({}, {"k": torch.tensor(5)}, "Write `activation: topk`"),
        ({"k": 5}, {}, "Write `activation: topk`"),
        ({"activation": "relu", "k": 5}, {}, "Write `activation: topk`"),
        ({"activation": "topk", "k": 5}, {"activation_function.threshold": numbers(F)}, "Correct `activation`"),
        ({"activation": "relu"}, {"activation_function.threshold": numbers(F)}, "Take `activation` away"),
        ({"activation": "jump_relu"}, {}, "Fetch the files again"),
        ({"activation": "gelu"}, {}, "Known: relu, topk, jumprelu"),
        ({"activation": ["relu"]}, {}, "Known: relu, topk, jumprelu"),
        ({"k": "five"}, {}, "Write the k"),
        ({"model_kind": "sae"}, {}, "Known: transcoder_set, cross_layer_transcoder"),
        ({"feature_input_hook": None}, {}, "feature_input_hook"),
        ({"transcoders": ["layer_0.safetensors", "layer_1.safetensors"]}, {}, "Complete the folder"),
        ({"transcoders": "layer_0.safetensors"}, {}, "Write one file per layer"),
        ({"transcoders": ["/etc/passwd"]}, {}, "Put the file into the folder"),
        ({"transcoders": ["a/../../layer_0.safetensors"]}, {}, "Put the file into the folder"),
        ({"transcoders": ["..\\layer_0.safetensors"]}, {}, "Put the file into the folder"),
        ({"transcoders": ["hf://org"]}, {}, "Write hf://ORG/REPO/FILE"),
        ({"transcoders": ["hf://org/repo/../../x.npz"]}, {}, "Write hf://ORG/REPO/FILE"),
        ({"feature_output_hook": "attn.hook_z"}, {}, "These can: hook_resid_pre"),
        ({"feature_output_hook": "ln2.hook_normalized"}, {}, "Give one that writes the stream"),
        ({}, {"W_enc": torch.ones(F, D + 1)}, "is due"),
        ({}, {"b_enc": torch.full((F,), torch.nan)}, "NaN or infinite"),
    ],
)
def test_what_a_circuit_tracer_set_cannot_mean_is_refused(tmp_path, config, tensors, mend):
    folder = write_tracer(tmp_path / "set", SET | config, {"layer_0": tracer_tensors() | tensors})
    with pytest.raises(ToolError, match=mend):
        dictionary_of(make_subject("llama"), str(folder), force=True)


def test_a_set_with_a_layer_missing_is_refused(tmp_path):
    folder = write_tracer(tmp_path / "set", SET, {"layer_0": tracer_tensors(), "layer_2": tracer_tensors()})
    with pytest.raises(ToolError, match="Every layer from 0 on needs one"):
        source_of(str(folder))


def test_what_the_mlp_returns_before_a_norm_behind_it_is_no_site_of_gemma(tmp_path):
    folder = write_tracer(tmp_path / "set", SET, {"layer_0": tracer_tensors()})
    assert dictionary_of(make_subject("llama"), str(folder), force=True).at(0).writes == "mlp_out.0"
    with pytest.raises(ToolError, match="Give one that was trained on hook_mlp_out"):
        dictionary_of(make_subject("gemma2"), str(folder), force=True)


def test_a_site_that_the_model_lacks_is_refused(tmp_path):
    config = {**SET, "feature_input_hook": "hook_resid_mid"}
    folder = write_tracer(tmp_path / "set", config, {"layer_0": tracer_tensors()})
    with pytest.raises(ToolError, match="Use resid_pre, resid_post"):
        dictionary_of(make_subject("gpt_neox"), str(folder), force=True)


def test_pickled_objects_and_damaged_archives_are_not_opened(tmp_path):
    folder = tmp_path / "gemma-scope-2b-pt-res" / "layer_1" / "width" / "l0"
    folder.mkdir(parents=True)
    objects = {"W_enc": np.array([{"a": print}], dtype=object)}
    np.savez(folder / "params.npz", **objects)
    with pytest.raises(ToolError, match="is damaged or of another format"):
        source_of(str(folder))
    write_npz(folder, gemma_tensors() | {"W_dec": torch.ones(F, D, dtype=torch.int64)})
    with pytest.raises(ToolError, match="Give tensors of type F64, F32"):
        source_of(str(folder))
    (folder / "params.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ToolError, match="is damaged or of another format"):
        source_of(str(folder))


def test_gemma_scope_in_folders_of_other_names_or_on_heads_is_refused(tmp_path):
    with pytest.raises(ToolError, match="Keep their names as published"):
        source_of(str(write_npz(tmp_path / "layer_1", gemma_tensors())))
    with pytest.raises(ToolError, match="-res, -mlp or -transcoders"):
        source_of(str(write_npz(tmp_path / "gemma-scope-2b-pt-att" / "layer_1" / "x", gemma_tensors())))


def test_what_does_not_fit_in_memory_is_refused_with_its_size(tmp_path, monkeypatch):
    subject = make_subject("gpt2")
    folder = write_saelens(tmp_path / "sae", {"architecture": "standard"}, saelens_tensors())
    read = []
    monkeypatch.setattr("vesalius.tools._dictionary_tensors.TensorFile.read", lambda self, name: read.append(name))
    monkeypatch.setattr("vesalius.tools._dictionary_tensors.room", lambda device: 20_000)
    # 2·24·40 + 24 + 40 numbers of 4 bytes, and twice as much while a layer is changed
    with pytest.raises(
        ToolError, match=r"takes 2\.22e-05 GiB in memory, and 1\.86e-05 GiB are free on cpu.*fewer layers"
    ):
        dictionary_of(subject, str(folder), force=True)
    assert not read


@pytest.mark.parametrize("files", [{}, {"notes.txt": "x"}, {"model.safetensors": "x"}])
def test_a_folder_of_no_known_format_is_refused_with_those_that_are(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ToolError, match=r"cfg\.json and sae_weights\.safetensors \(SAELens\), config\.yaml"):
        source_of(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text"), [("cfg.json", "{"), ("cfg.json", "[]"), ("config.yaml", "a: [b"), ("config.yaml", "- a")]
)
def test_a_configuration_that_is_none_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ToolError, match=name):
        source_of(str(tmp_path))


def test_a_transcoder_whose_inputs_were_scaled_is_refused(tmp_path):
    config = {"normalize_activations": "expected_average_only_in", **TO_MLP_OUT, "hook_name": "blocks.1.hook_resid_mid"}
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "activation_scaler.json").write_text('{"scaling_factor": 0.5}')
    refused_saelens(tmp_path, config, mend="Fold the scale into its weights")
