"""The logit lens: a stream worked by hand, the model's own last row, errors with their mend."""

import math

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools.logit_lens import LogitLensArgs, lens_logits, logit_lens

PROMPTS = ("w1 w2 w3", "w4 w5")


def args(**more) -> LogitLensArgs:
    return LogitLensArgs.model_validate({"prompts": PROMPTS, **more})


def test_logits_of_a_stream_are_those_worked_by_hand():
    resid = torch.tensor([[[1.0, 2.0], [3.0, -1.0]]])
    W_U = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    got = lens_logits(resid, lambda x: 2 * x, W_U)
    assert got.tolist() == [[[2.0, 4.0, 0.0], [6.0, -2.0, 14.0]]]


def test_a_cap_bends_large_logits_and_leaves_their_order():
    resid, W_U = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[1.0, 0.0, 2.0], [0.0, 100.0, -1.0]])
    got = lens_logits(resid, lambda x: x, W_U, softcap=4.0)
    assert got[0, 0].tolist() == pytest.approx([4 * math.tanh(1 / 4), 4.0, 0.0])


def test_the_last_layer_is_the_models_own_answer(subject):
    result = logit_lens(subject, args(track=("w6",), top_k=4))
    assert result.last_layer_error < 1e-4
    for prompt, lens in zip(PROMPTS, result.prompts, strict=True):
        own = subject.model(torch.tensor([subject.tokenizer(prompt)["input_ids"]])).logits[0, -1]
        token = subject.answer_token(prompt, "w6")
        last = lens.layers[-1]
        assert [text.strip() for text, _ in last.top] == [
            subject.token_strings([i])[0].strip() for i in own.topk(4).indices.tolist()
        ]
        assert [p for _, p in last.top] == pytest.approx(own.softmax(-1).topk(4).values.tolist(), rel=1e-3)
        assert last.tracked[0].logit == pytest.approx(own[token].item(), abs=1e-4)
        assert last.tracked[0].probability == pytest.approx(own.softmax(-1)[token].item(), rel=1e-3)
        assert last.tracked[0].rank == own.argsort(descending=True).tolist().index(token) + 1


def test_a_layer_reads_as_the_model_that_stops_there(subject):
    """Second road: overwriting the last stream with an earlier one makes the model itself answer as that row does."""
    result = logit_lens(subject, args(track=("w7",)))
    tokens = subject.tokenise(PROMPTS)
    for row, site in enumerate(result.sites[:-1]):
        early = subject.run(tokens, read=[site]).sites[site]
        own = subject.run(tokens, write={"resid_post.2": lambda _, early=early: early}).last_logits
        for i, prompt in enumerate(PROMPTS):
            expected = own[i, subject.answer_token(prompt, "w7")].item()
            assert result.prompts[i].layers[row].tracked[0].logit == pytest.approx(expected, abs=1e-4), site


def test_blocks_that_add_nothing_leave_every_row_as_the_embedding():
    model = random_model("llama")
    with torch.no_grad():
        for block in model.model.layers:
            for linear in (block.self_attn.o_proj, block.mlp.down_proj):
                linear.weight.zero_()
                linear.bias.zero_()
    subject = Subject(model, word_tokenizer(), "silent", None, None)
    rows = logit_lens(subject, args(track=("w3",))).prompts[0].layers
    assert len(rows) == 4
    assert len({(row.top, row.tracked) for row in rows}) == 1


def test_the_reference_model_answers_from_the_block_that_training_placed_the_answer_behind(atlas):
    prompt = "the capital of the state containing Dallas is"
    result = logit_lens(atlas, LogitLensArgs(prompts=(prompt,), track=("Austin",)))
    ranks = [layer.tracked[0].rank for layer in result.prompts[0].layers]
    assert ranks[3:] == [1, 1]  # after blocks 2 and 3
    assert min(ranks[:3]) > 1


def test_each_argument_varies_the_result():
    subject = make_subject("gpt2")
    base = logit_lens(subject, args())
    assert (base.prompts[0].position, base.prompts[0].token.strip()) == (3, "w3")
    for change in ({"position": 1}, {"position": -2}, {"top_k": 2}, {"track": ("w1",)}, {"prompts": ("w1 w2",)}):
        assert logit_lens(subject, args(**change)) != base, change
    assert logit_lens(subject, args()) == base
    assert logit_lens(subject, args(position=-1)) == base
    # Under causal attention a token's stream does not know what follows.
    assert logit_lens(subject, args(prompts=("w1 w2 w3",), position=2)).prompts[0].layers[-1].top[0] == (
        pytest.approx(logit_lens(subject, args(prompts=("w1 w2",))).prompts[0].layers[-1].top[0])
    )


def test_the_command_line_may_give_the_position_as_text():
    tool = load_tools()["logit_lens"]
    assert tool.parse({"prompts": ["w1"], "position": "-1"}).position == -1


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"prompts": []}, "at least 1 item"),
        ({"track": ["w1 w2"]}, "Ask for a single token"),
        ({"track": ["zebra"]}, "Ask for a word that it knows|Use words the model knows"),
        ({"prompts": ["zebra"]}, "Use words the model knows"),
        ({"position": 3}, r"0\.\.2"),
        ({"position": "entity"}, "position"),
        ({"top_k": 41}, r"Pass 1\.\.40"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_mend(change, mend):
    tool = load_tools()["logit_lens"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"prompts": PROMPTS, **change}))
