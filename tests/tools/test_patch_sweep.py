"""Every part at every position: known answers, the model's own hooks as second road, what cannot move, and errors."""

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools._sweep_runs import SweepRuns
from vesalius.tools.patch import PatchArgs, patch
from vesalius.tools.patch_sweep import PatchSweepArgs, patch_sweep

PAIRS = [
    {"base": "w1 w2 w3 w4", "corrupted": "w1 w9 w3 w8", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8 w9", "corrupted": "w6 w7 w5 w1", "answer": "w11", "foil": "w12"},
]
KINDS = ("resid_pre", "attn_out", "mlp_out", "head", "q", "k", "v")


def sweep(subject, **more):
    return patch_sweep(
        subject, PatchSweepArgs.model_validate({"pairs": PAIRS, "kinds": KINDS, "spot_checks": 1, **more})
    )


def by_kind(result):
    return {grid.kind: torch.tensor(grid.effects) for grid in result.grids}  # [layer, head, position, pair]


def of_hooks(subject, site: str, positions, **more) -> torch.Tensor:
    asked = PatchArgs.model_validate({"pairs": PAIRS, "sites": [site], "positions": tuple(map(str, positions)), **more})
    return torch.tensor([cell.effects for cell in patch(subject, asked).cells])


def test_cells_are_what_the_model_itself_does(subject):
    result = sweep(subject, spot_checks=2, direction="denoising")
    assert result.spot_checked == 2 * len(KINDS)
    assert result.spot_difference * abs(result.gap) < 1e-4
    assert result.no_op_change < 1e-4


@pytest.mark.parametrize(("family", "direction"), [("gpt2", "noising"), ("gemma2", "denoising"), ("llama", "noising")])
def test_whole_grids_are_those_of_patch(family, direction):
    subject = make_subject(family)
    found = by_kind(sweep(subject, direction=direction))
    for kind, site in (("head", "head.1.2"), ("k", "k.0.1"), ("mlp_out", "mlp_out.2"), ("resid_pre", "resid_pre.1")):
        layer, head = int(site.split(".")[1]), int(site.split(".")[2]) if site.count(".") > 1 else 0
        due = of_hooks(subject, site, range(5), direction=direction)
        assert torch.allclose(found[kind][layer, head], due, atol=1e-4, rtol=1e-4), site
        assert found[kind][layer, head].any(), site


def test_a_silent_models_answer_stands_in_the_stream_at_the_last_token():
    """Heads and MLPs write nothing: only the last token's own stream matters, in every block alike."""
    subject = Subject(writing_nothing("o_proj", "down_proj"), word_tokenizer(), "silent", None, None)
    pairs = [{"base": "w1 w2 w3", "corrupted": "w1 w4 w5", "answer": "w6", "foil": "w7"}]
    found = by_kind(sweep(subject, pairs=pairs))
    due = torch.zeros(3, 1, 4, 1)
    due[:, :, -1] = 1
    assert torch.allclose(found["resid_pre"], due, atol=1e-5)
    assert not any(found[kind].any() for kind in ("attn_out", "mlp_out", "head", "q", "k", "v"))


def test_one_differing_token_carries_the_whole_effect_at_the_start(subject):
    pairs = [{**PAIRS[0], "corrupted": "w1 w9 w3 w4"}]
    (grid,) = sweep(subject, pairs=pairs, kinds=["resid_pre"], positions=[2]).grids
    assert grid.effect[0][0][0] == pytest.approx(1, abs=1e-4)


def test_where_nothing_can_move_nothing_moves():
    subject = make_subject("gpt2")
    found = by_kind(sweep(subject))
    assert not any(effects[:, :, :2].any() for effects in found.values())  # both prompts are one there
    for kind in ("attn_out", "mlp_out", "head", "q"):
        assert not found[kind][-1, :, :-1].any()
        assert found[kind][-1, :, -1].any()
    assert found["v"][-1, :, 2:-1].any()
    assert of_hooks(subject, "head.2.1", range(4)).abs().max() == 0


def test_values_come_from_the_source_where_a_pair_names_one():
    subject = make_subject("qwen3")
    pairs = [{**pair, "source": "w20 w21 w22 w23"} for pair in PAIRS]
    found = by_kind(sweep(subject, pairs=pairs))
    due = of_hooks(subject, "v.1.1", range(5), pairs=pairs)
    assert torch.allclose(found["v"][1, 1], due, atol=1e-4)
    assert not torch.allclose(found["v"][1, 1], by_kind(sweep(subject))["v"][1, 1], atol=1e-3)


def test_the_mean_is_that_of_the_pairs_and_positions_count_from_either_end():
    subject = make_subject("llama")
    whole, end = sweep(subject), sweep(subject, positions=[-1, 4])
    assert whole.positions == (0, 1, 2, 3, 4)
    assert end.positions == (4,)
    assert end.tokens == ("w4",)
    assert whole.n_cells == 3 * 5 * (3 + 4 + 4 + 2 + 2)
    for grid, last in zip(whole.grids, end.grids, strict=True):
        assert torch.allclose(torch.tensor(grid.effect), torch.tensor(grid.effects).mean(-1))
        assert torch.allclose(torch.tensor(grid.effects)[:, :, -1:], torch.tensor(last.effects), atol=1e-5)


def test_cells_and_pairs_in_many_passes_are_those_of_one(monkeypatch):
    subject = make_subject("gemma3_text")
    at_once = sweep(subject)
    monkeypatch.setattr("vesalius.tools._sweep_runs.LARGEST_SWEEP", 1)
    monkeypatch.setattr("vesalius.tools.patch_sweep.LARGEST_KEPT", 1)
    monkeypatch.setattr("vesalius.tools._block_maps.CACHED", 200)
    one_by_one = sweep(subject)
    for one, other in zip(at_once.grids, one_by_one.grids, strict=True):
        assert torch.allclose(torch.tensor(one.effects), torch.tensor(other.effects), atol=1e-4)
    assert one_by_one.gap == at_once.gap


def test_a_sweep_that_is_not_the_models_own_is_refused(monkeypatch):
    right = SweepRuns.answers
    monkeypatch.setattr(SweepRuns, "answers", lambda *asked: right(*asked) + 0.01)
    with pytest.raises(ToolError, match="use `patch`, which runs the model itself"):
        sweep(make_subject("gpt2"))


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"pairs": [PAIRS[0], {**PAIRS[1], "base": "w1 w2", "corrupted": "w1 w3"}]}, "of one length at a time"),
        ({"pairs": [{**PAIRS[0], "corrupted": "w1 w2 w3"}]}, "of one length at a time"),
        ({"pairs": [{**PAIRS[0], "corrupted": PAIRS[0]["base"]}]}, "change the answer"),
        ({"pairs": [{**PAIRS[0], "source": "w1 w1 w1 w1"}], "direction": "denoising"}, "Leave `source` empty"),
        ({"pairs": [{**PAIRS[0], "foil": "w4"}]}, "two different words"),
        ({"positions": [5]}, r"tokens 0\.\.4"),
        ({"positions": [-6]}, r"tokens 0\.\.4"),
        ({"kinds": ["pattern"]}, "'resid_pre', 'attn_out'"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_mend(change, mend):
    tool = load_tools()["patch_sweep"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"pairs": PAIRS, **change}))
