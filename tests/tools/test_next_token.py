"""The subject's own answers, read as they are."""

import pytest
import torch
from conftest import make_subject
from vesalius.tools import ToolError, load_tools
from vesalius.tools.next_token import NextTokenArgs, next_token

PROMPTS = ("w1 w2 w3", "w4 w5")


def test_probability_rank_and_difference_are_those_of_the_models_logits(subject):
    result = next_token(subject, NextTokenArgs(prompts=PROMPTS, answers=("w6", "w7"), foils=("w8", "w9"), top_k=4))
    for row, (prompt, answer, foil) in enumerate(zip(PROMPTS, ("w6", "w7"), ("w8", "w9"), strict=True)):
        ids = torch.tensor([subject.tokenizer(prompt)["input_ids"]])
        logits = subject.model(ids).logits[0, -1]
        target, other = subject.answer_token(prompt, answer), subject.answer_token(prompt, foil)
        got = result.answers[row]
        assert got.probability == pytest.approx(logits.softmax(-1)[target].item(), rel=1e-4)
        assert got.rank == logits.argsort(descending=True).tolist().index(target) + 1
        assert got.logit_difference == pytest.approx((logits[target] - logits[other]).item(), abs=1e-4)
        assert got.n_tokens == ids.shape[1]
        assert [t.strip() for t, _ in got.top] == [
            subject.token_strings([i])[0].strip() for i in logits.topk(4).indices.tolist()
        ]


def test_accuracy_counts_prompts_whose_first_choice_is_the_answer():
    subject = make_subject("gpt2")
    best = next_token(subject, NextTokenArgs(prompts=PROMPTS)).answers[0].top[0][0].strip()
    second = next_token(subject, NextTokenArgs(prompts=PROMPTS)).answers[1].top[1][0].strip()
    result = next_token(subject, NextTokenArgs(prompts=PROMPTS, answers=(best, second)))
    assert (result.n_correct, result.n_prompts, result.accuracy) == (1, 2, 0.5)


def test_without_answers_nothing_is_scored():
    result = next_token(make_subject("gpt2"), NextTokenArgs(prompts=PROMPTS))
    assert result.accuracy is None
    assert result.answers[0].probability is None


def test_a_foil_equal_to_the_answer_differs_by_nothing():
    result = next_token(make_subject("llama"), NextTokenArgs(prompts=("w1",), answers=("w2",), foils=("w2",)))
    assert result.answers[0].logit_difference == 0.0


@pytest.mark.parametrize(
    ("raw", "mend"),
    [
        ({"prompts": []}, "at least 1 item"),
        ({"prompts": ["w1"], "answers": ["w2", "w3"]}, "give one each or none"),
        ({"prompts": ["w1"], "foils": ["w2"]}, "need answers"),
        ({"prompts": ["w1"], "answers": ["w2 w3"]}, "Ask for a single token"),
        ({"prompts": ["zebra"]}, "Use words the model knows"),
        ({"prompts": ["w1"], "top_k": 45}, r"Pass 1\.\.40"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_mend(raw, mend):
    tool = load_tools()["next_token"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse(raw))
