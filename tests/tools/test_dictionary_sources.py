"""Where dictionaries come from and whose they are: our own files, folders, a hub's cache, and other weights."""

import os
from pathlib import Path

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
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
from vesalius.tools import Subject, ToolError, get_tool
from vesalius.tools._dictionary import Dictionary, Transcoder
from vesalius.tools._dictionary_file import dictionary_of, load_dictionary, save_dictionary, source_of
from vesalius.tools._dictionary_formats import hub_path


def own(layer: int, n_layers: int, **changed) -> Transcoder:
    t = tracer_tensors(layer)
    parts = {"activation": "relu", **t, **changed}
    if parts.pop("crosses", False):
        parts["W_dec_later"] = tuple(numbers(F, D, seed=10 * layer + i) for i in range(n_layers - 1 - layer))
    return Transcoder(layer, **parts)


@pytest.mark.parametrize(
    "changed",
    [
        {"W_skip": numbers(D, D)},
        {"crosses": True},
        {"crosses": True, "activation": "topk", "k": 4, "W_skip": numbers(D, D)},
        {"activation": "mp", "k": 3, "reads_at": "resid_post", "writes_at": "resid_post"},
        {"activation": "jumprelu", "threshold": numbers(F), "reads_at": "attn_out", "writes_at": "attn_out"},
    ],
    ids=["skip", "cross-layer", "cross-layer topk skip", "matching pursuit", "attention"],
)
def test_our_own_file_keeps_skips_later_layers_sites_and_pursuit(tmp_path, changed):
    made = Dictionary("mine", "f" * 64, tuple(own(layer, 3, **changed) for layer in range(3)))
    save_dictionary(made, tmp_path / "mine.safetensors")
    back = load_dictionary(tmp_path / "mine.safetensors")
    assert back.digest == made.digest
    values = numbers(3, 5, D)
    assert torch.equal(rebuilt(back.layers, values), rebuilt(made.layers, values))
    assert [(one.reads, one.writes) for one in back.layers] == [(one.reads, one.writes) for one in made.layers]


def test_the_shipped_dictionary_is_what_saving_it_again_writes(atlas, tmp_path):
    shipped = atlas.folder / "dictionaries" / "transcoders.safetensors"
    save_dictionary(load_dictionary(shipped), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == shipped.read_bytes()
    assert not dictionary_of(atlas).forced


def test_a_published_dictionary_is_used_only_where_the_caller_insists(tmp_path):
    subject = make_subject("gpt2")
    folder = str(write_saelens(tmp_path / "sae", {"architecture": "standard"}, saelens_tensors()))
    with pytest.raises(ToolError, match=r"claims gpt2-small and carries no fingerprint.*pass `force_dictionary`"):
        dictionary_of(subject, folder)
    made = dictionary_of(subject, folder, force=True)
    assert (made.forced, made.trained_on, made.name) == (True, "claims gpt2-small", "sae")
    with pytest.raises(ToolError, match="Use `neurons` for the twin"):
        dictionary_of(subject.twin(1), folder, force=True)
    assert dictionary_of(subject.twin(1), folder, on_twin=True, force=True).forced


def test_our_own_dictionary_is_forced_only_on_other_weights(tmp_path):
    subject, path = make_subject("llama"), tmp_path / "one.safetensors"
    save_dictionary(Dictionary("one", "0" * 64, (own(0, 1),)), path)
    with pytest.raises(ToolError, match=r"Train it again .* pass `force_dictionary`"):
        dictionary_of(subject, str(path))
    assert dictionary_of(subject, str(path), force=True).forced
    save_dictionary(Dictionary("one", subject.key.fingerprint, (own(0, 1),)), path)
    assert not dictionary_of(subject, str(path), force=True).forced


def test_an_instrument_says_that_its_dictionary_was_forced(tmp_path):
    subject, reads = make_subject("gpt2"), get_tool("feature_activations")
    folder = write_saelens(tmp_path / "sae", {"architecture": "standard"}, saelens_tensors())
    asked = {"prompts": ["w1 w2"], "dictionary": str(folder)}
    with pytest.raises(ToolError, match="force_dictionary"):
        reads(subject, reads.parse(asked))
    found = reads(subject, reads.parse(asked | {"force_dictionary": True}))
    assert found.dictionary_forced
    assert not reads(subject, reads.parse({"prompts": ["w1 w2"], "dictionary": "neurons"})).dictionary_forced


def test_a_plain_name_may_be_a_published_folder_among_the_models_own(tmp_path):
    subject = Subject(random_model("gpt2"), word_tokenizer(), "mine", tmp_path, None)
    write_saelens(tmp_path / "dictionaries" / "bought", {"architecture": "standard"}, saelens_tensors())
    assert dictionary_of(subject, "bought", force=True).trained_on == "claims gpt2-small"
    save_dictionary(
        Dictionary("own", subject.key.fingerprint, (own(0, 1),)), tmp_path / "dictionaries" / "bought.safetensors"
    )
    assert dictionary_of(subject, "bought").name == "own"


def test_a_half_precision_subject_gets_a_published_dictionary_in_its_type(tmp_path):
    subject = Subject(random_model("gpt2").to(torch.bfloat16), word_tokenizer(), "half", None, None)
    folder = write_saelens(tmp_path / "sae", {"architecture": "standard"}, saelens_tensors())
    assert dictionary_of(subject, str(folder), force=True).at(1).W_enc.dtype == torch.bfloat16


def cached(cache: Path, repo: str, files: Path, revision: str = "main") -> None:
    """A repository as huggingface_hub keeps it: snapshots of links to blobs."""
    commit = "a" * 40
    base = cache / f"models--{repo.replace('/', '--')}"
    (base / "refs").mkdir(parents=True, exist_ok=True)
    (base / "refs" / revision).write_text(commit)
    (base / "blobs").mkdir(exist_ok=True)
    for file in (path for path in files.rglob("*") if path.is_file()):
        there = base / "snapshots" / commit / file.relative_to(files)
        there.parent.mkdir(parents=True, exist_ok=True)
        blob = base / "blobs" / f"{len(list((base / 'blobs').iterdir()))}"
        blob.write_bytes(file.read_bytes())
        there.symlink_to(os.path.relpath(blob, there.parent))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_hub_path_is_read_from_the_cache_alone(tmp_path, cache):
    subject = make_subject("gpt2")
    write_saelens(tmp_path / "made" / "blocks.1", {"architecture": "standard"}, saelens_tensors())
    cached(cache, "some/saes", tmp_path / "made", "v2")
    for name in ("hub:some/saes/blocks.1@v2", "some/saes/blocks.1@v2", "hf://some/saes/blocks.1?revision=v2"):
        assert torch.equal(dictionary_of(subject, name, force=True).at(1).W_dec, saelens_tensors()["W_dec"])
    for absent in ("hub:some/saes/blocks.1", "other/saes", "hub:some/saes/blocks.7@v2"):
        with pytest.raises(ToolError, match=r"`vesalius dictionary show hub:.* --download`"):
            dictionary_of(subject, absent, force=True)
    with pytest.raises(ToolError, match="could not be fetched"):  # HF_HUB_OFFLINE
        dictionary_of(subject, "other/saes", force=True, download=True)


def test_a_set_on_a_hub_refers_to_files_of_other_repositories(tmp_path, cache):
    release = tmp_path / "gemma-scope-2b-pt-transcoders"
    layers = [f"layer_{layer}/width_16k/average_l0_5" for layer in range(2)]
    for seed, layer in enumerate(layers):
        write_npz(release / layer, gemma_tensors(seed))
    cached(cache, "google/gemma-scope-2b-pt-transcoders", release)
    config = {
        **SET,
        "model_name": "google/gemma-2-2b",
        "feature_input_hook": "ln2.hook_normalized",
        "feature_output_hook": "hook_mlp_out",
        "transcoders": [f"hf://google/gemma-scope-2b-pt-transcoders/{layer}/params.npz" for layer in layers],
    }
    cached(cache, "mntss/gemma-scope-transcoders", write_tracer(tmp_path / "set", config, {}))
    made = dictionary_of(make_subject("gemma2"), "mntss/gemma-scope-transcoders", force=True)
    assert made.trained_on == "claims google/gemma-2-2b"
    assert torch.equal(made.at(1).W_dec, gemma_tensors(1)["W_dec"])
    one = source_of(f"hub:google/gemma-scope-2b-pt-transcoders/{layers[1]}")
    assert (one.layers[0].layer, one.layers[0].bends) == (1, ("before_gain",))


@pytest.mark.parametrize(
    "name", ["x" * 5000, "../a/b", "/a/b", "a/b/../../c", "a/b//etc/passwd", "hub:a", "a/b/./c", "hub:../b", ""]
)
def test_no_hub_path_leads_out_of_its_repository(name):
    assert hub_path(name) is None
    with pytest.raises(ToolError, match="hub:ORG/REPO/PATH@REVISION"):
        source_of(name)
