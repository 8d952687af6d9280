"""Patching with nodes taken out: what stands in for a part shows there and nowhere else."""

import pytest
import torch
from circuit_models import BACKUP_PAIR, backup_subject
from conftest import make_subject
from vesalius.tools import ToolError, load_tools
from vesalius.tools.patch import PatchArgs, patch

PAIRS = [
    {"base": "w1 w2 w3", "corrupted": "w1 w9 w3", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8", "corrupted": "w6 w10 w8", "answer": "w11", "foil": "w12"},
]


def args(pairs=PAIRS, **more) -> PatchArgs:
    return PatchArgs.model_validate({"pairs": pairs, **more})


def test_a_backup_shows_once_what_it_stands_in_for_is_taken_out():
    whole = patch(backup_subject(), args([BACKUP_PAIR], sites=["mlp_out.0", "mlp_out.1"])).cells
    assert [cell.effect for cell in whole] == pytest.approx([0, 0], abs=1e-5)
    (backup,) = patch(backup_subject(), args([BACKUP_PAIR], sites=["mlp_out.1"], without=["mlp_out.0"])).cells
    (first,) = patch(backup_subject(), args([BACKUP_PAIR], sites=["mlp_out.0"], without=["mlp_out.1"])).cells
    assert (backup.effect, first.effect) == pytest.approx((1, 1), abs=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_it_is_the_patch_of_a_model_with_zeros_written_in_their_place(family):
    """A second road: hooks in the whole model, in place of a copy without these weights."""
    subject, zeros = make_subject(family), {"mlp_out.0": torch.zeros_like, "head.1.2": torch.zeros_like}
    base, other = (subject.tokenise([pair[name] for pair in PAIRS]) for name in ("base", "corrupted"))
    donor = subject.run(other, read=["attn_out.2"], write=zeros).sites["attn_out.2"]

    def put(acts):
        return torch.cat([acts[:, :-1], donor[:, -1:]], 1)

    clean, there = (subject.run(tokens, write=zeros).last_logits for tokens in (base, other))
    patched = subject.run(base, write=zeros | {"attn_out.2": put}).last_logits
    rows = torch.arange(len(PAIRS))
    answers, foils = ([subject.answer_token(p["base"], p[name]) for p in PAIRS] for name in ("answer", "foil"))

    def differences(logits):
        return logits[rows, answers] - logits[rows, foils]

    result = patch(subject, args(sites=["attn_out.2"], without=["mlp_out.0", "blocks.1.attn.hook_z.2"]))
    whole = patch(subject, args(sites=["attn_out.2"]))
    assert torch.allclose(torch.tensor(result.clean), differences(clean), atol=1e-5)
    assert torch.allclose(torch.tensor(result.corrupted), differences(there), atol=1e-5)
    assert torch.allclose(torch.tensor(result.cells[0].drops), differences(clean) - differences(patched), atol=1e-5)
    assert result.gap == pytest.approx(whole.gap, abs=1e-6)
    assert result.cells[0].effect == pytest.approx(sum(result.cells[0].drops) / 2 / whole.gap, abs=1e-6)
    assert result.clean != whole.clean


def test_a_prompt_patched_into_itself_changes_no_bit_and_the_whole_subject_is_left_as_it_was():
    subject = make_subject("llama")
    before = patch(subject, args(sites=["head.2.1"]))
    result = patch(subject, args(sites=["head.2.1", "resid_post.1"], positions=["last", "0"], without=["head.1.2"]))
    assert result.no_op_change == 0.0
    assert patch(subject, args(sites=["head.2.1"])) == before


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"without": ["resid_post.0"]}, r"head\.LAYER\.HEAD"),
        ({"without": ["head.9.0"]}, r"Layers: 0\.\.2"),
        ({"without": ["blocks.1.mlp.hook_post"]}, "cannot be taken out"),
        ({"sites": ["mlp_out.1"], "without": ["mlp_out.1"]}, "Name another site"),
    ],
)
def test_what_cannot_be_taken_out_is_refused_with_the_mend(change, mend):
    tool = load_tools()["patch"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"pairs": PAIRS, "sites": ["resid_post.1"], **change}))


def test_where_nothing_of_the_answer_is_left_there_is_no_effect_to_share_out():
    asked = args([BACKUP_PAIR], sites=["resid_post.1"], without=["mlp_out.0", "mlp_out.1"])
    with pytest.raises(ToolError, match="counterfactuals that change the answer, or take out less"):
        patch(backup_subject(), asked)
