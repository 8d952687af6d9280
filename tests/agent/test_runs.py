"""A run's folder that was damaged, or moved to other files, says so; nothing measured on something else is reused."""

import json
import shutil

import pytest
from finished_runs import DALLAS
from vesalius.agent.asking import Where, ask, desk_for, start_run
from vesalius.agent.bench import Bench
from vesalius.agent.runs import RunFolder, UnreadableFile
from vesalius.tools import ToolError, TranscoderRecipe, load_subject, save_dictionary, silent, train_transcoders


@pytest.fixture
def folder(dallas, tmp_path):
    """A copy of a finished run, to be damaged."""
    copy = tmp_path / "runs" / dallas.folder.name
    shutil.copytree(dallas.folder.path, copy)
    return RunFolder(copy)


def some_measurement(folder):
    return next((folder.path / "measurements").glob("m-*.json"))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"question": "x", "nonsense": 1}'])
def test_a_run_that_lost_its_settings_is_refused(folder, content):
    (folder.path / "run.json").write_text(content)
    with pytest.raises(UnreadableFile, match="not as it was written"):
        _ = folder.info


@pytest.mark.parametrize("change", ["result", "id", "half"])
def test_a_measurement_that_was_changed_is_not_read(folder, change):
    path = some_measurement(folder)
    stored = json.loads(path.read_text())
    stored |= {"result": {**stored["result"], "gap": 9}} if change == "result" else {"id": "m-00000000"}
    path.write_text(path.read_text()[:-50] if change == "half" else json.dumps(stored))
    with pytest.raises(UnreadableFile, match="not as it was written"):
        folder.measurement(path.stem)


def test_a_measurement_that_is_gone_is_named(folder):
    path = some_measurement(folder)
    path.unlink()
    assert folder.kept(path.stem) is None
    with pytest.raises(UnreadableFile, match=rf"{path.name} is missing"):
        folder.measurement(path.stem)


def test_checkpoints_that_are_none_are_refused(folder, atlas):
    folder.state.write_bytes(b"not a database" * 100)
    where = Where(folder.path.parent.parent, use_memory=False)
    with desk_for(where, atlas, folder) as desk, pytest.raises(UnreadableFile, match="holds no checkpoints"):
        ask(desk, lambda event: None)


def test_a_question_that_is_no_text_is_refused_before_anything_is_written(atlas, tmp_path):
    with pytest.raises(ToolError, match=r"no UTF-8"):
        start_run(Where(tmp_path, use_memory=False), atlas, DALLAS + "\udcff", seed=0, device="cpu")
    assert not (tmp_path / "runs").exists()


def test_what_was_measured_with_another_dictionary_is_not_taken_for_this_one(atlas, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(atlas.folder, model, ignore=shutil.ignore_patterns("dictionaries"))
    subject = load_subject(str(model), device="cpu")
    for seed in (0, 1):
        made = train_transcoders(subject, subject.texts[:20], TranscoderRecipe(n_features=16, k=4, steps=2, seed=seed))
        save_dictionary(made, model / "dictionaries" / "transcoders.safetensors")
        bench = Bench(subject, RunFolder(tmp_path / "run"))
        asked = ("feature_activations", {"prompts": ["Dallas is in"]}, None, silent)
        if seed:
            with pytest.raises(ToolError, match="has changed since this run began"):
                bench.measure(*asked)
        else:
            assert [bench.measure(*asked)[1] for _ in range(2)] == [False, True]
