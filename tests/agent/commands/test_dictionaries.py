"""`vesalius dictionary show`: what files say of a dictionary, and whether it may be used on a model."""

import json

import pytest
import torch
from dictionary_files import SET, numbers, saelens_tensors, tracer_tensors, write_saelens, write_tracer
from vesalius.agent.commands.dictionaries import show_command
from vesalius.tools import ToolError


def shown(capsys, name, model=None) -> dict:
    show_command(str(name), model, "cpu", download=False, as_json=True)
    return json.loads(capsys.readouterr().out)


def test_our_own_dictionary_shows_its_weights_and_its_figures(capsys):
    told = shown(capsys, "transcoders", "atlas")
    assert (told["format"], told["use"]) == ("Vesalius", "trained on these weights.")
    assert told["layers"][0] | {"features": 512, "activation": "topk", "k": 12} == told["layers"][0]
    assert {one["layer"] for one in told["stats"]} == {0, 1, 2, 3}
    show_command("transcoders", "atlas", "cpu", download=False, as_json=False)
    printed = capsys.readouterr().out
    for part in ("Trained on: weights with fingerprint", "topk, k=12", "loss_recovered", "mlp_in.3"):
        assert part in printed


def test_a_published_one_shows_its_claim_and_where_it_reads(tmp_path, capsys):
    config = {**SET, "feature_input_hook": "ln2.hook_normalized", "activation": "topk", "k": 5}
    folder = write_tracer(tmp_path / "set", config, {"layer_0": tracer_tensors() | {"W_skip": numbers(24, 24)}})
    told = shown(capsys, folder)
    assert (told["claimed_model"], told["fingerprint"]) == ("meta-llama/Llama-3.2-1B", None)
    (layer,) = told["layers"]
    assert (layer["reads"], layer["before_gain"], layer["skip"], layer["k"]) == ("mlp_in.0", True, True, 5)
    show_command(str(folder), None, "cpu", download=False, as_json=False)
    printed = capsys.readouterr().out
    assert "by its own word; it carries no fingerprint" in printed
    assert "mlp_in.0 before the norm's weight" in printed
    assert "is not recorded" in printed


def test_it_says_what_stands_in_the_way_of_its_use(tmp_path, capsys):
    folder = write_saelens(tmp_path / "narrow", {"architecture": "standard"}, saelens_tensors())
    assert "24 wide, the model's stream 128" in shown(capsys, folder, "atlas")["use"]
    t = {"W_enc": torch.ones(128, 3), "b_enc": torch.ones(3), "W_dec": torch.ones(3, 128), "b_dec": torch.ones(128)}
    folder = write_saelens(tmp_path / "fits", {"architecture": "standard", "d_in": 128, "d_sae": 3}, t)
    assert "pass `force_dictionary` to use it" in shown(capsys, folder, "atlas")["use"]


@pytest.mark.parametrize(
    ("name", "model", "mend"),
    [
        ("transcoders", None, "Say whose with --model"),
        ("neurons", "atlas", "Name another dictionary"),
        ("absent", "atlas", "Train one with `vesalius dictionary train atlas"),
        ("./absent", None, "hub:ORG/REPO/PATH@REVISION"),
    ],
)
def test_what_names_no_dictionary_is_refused(name, model, mend):
    with pytest.raises(ToolError, match=mend):
        show_command(name, model, "cpu", download=False, as_json=False)
