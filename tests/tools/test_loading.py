"""Models that cannot be had: the message says what was looked for, what there is, and what to do."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from vesalius.tools import REFERENCE_FOLDER, ToolError, load_subject


@pytest.mark.parametrize("name", ["nowhere", "nobody/nothing", "../../no-such-model"])
def test_an_unknown_name_is_answered_with_reference_models_and_without_the_hubs_words(name):
    with pytest.raises(ToolError) as raised:
        load_subject(name)
    assert "no reference model, no folder" in str(raised.value)
    assert "Reference models: atlas." in raised.value.mend
    assert "--download" in raised.value.mend
    assert "huggingface" not in str(raised.value)


def test_a_folder_that_is_no_model_is_told_what_it_lacks(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ToolError, match="the folder lacks a tokenizer and weights as safetensors"):
        load_subject(str(tmp_path))


@pytest.mark.parametrize("device", ["cuda", "abacus"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ToolError, match=rf"no device '{device}' here\. Devices: auto, cpu"):
        load_subject("no model either", device=device)


def fetched(cache, revisions):
    """A hub's cache as it lies after `planted/atlas` was fetched: each revision a snapshot of its own."""
    for number, (revision, change) in enumerate(revisions.items()):
        commit = f"{number:040x}"
        snapshot = cache / "models--planted--atlas" / "snapshots" / commit
        shutil.copytree(REFERENCE_FOLDER / "atlas", snapshot)
        weights = load_file(snapshot / "model.safetensors")
        weights["model.embed_tokens.weight"] *= change
        save_file(weights, snapshot / "model.safetensors", {"format": "pt"})
        (cache / "models--planted--atlas" / "refs").mkdir(exist_ok=True)
        (cache / "models--planted--atlas" / "refs" / revision).write_text(commit)


def test_a_revision_of_a_hub_id_is_a_model_of_its_own(tmp_path):
    fetched(tmp_path, {"main": 1.0, "halved": 0.5})
    script = (
        "from vesalius.tools import ToolError, load_subject\n"
        "for name in ('atlas', 'planted/atlas', 'planted/atlas@main', 'planted/atlas@halved', 'planted/atlas@gone'):\n"
        "    try:\n"
        "        print(load_subject(name, 'cpu').key.fingerprint)\n"
        "    except ToolError as error:\n"
        "        print(error)\n"
    )
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True).stdout
    shipped, newest, main, halved, gone = told.splitlines()
    assert shipped == newest == main != halved
    assert "'planted/atlas@gone'" in gone
    assert "was not fetched before" in gone
    assert "ORG/REPO@REVISION" in gone
