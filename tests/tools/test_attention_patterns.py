"""Attention patterns: shares worked by hand, a model whose pattern is certain, two second roads, errors."""

import math

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from pydantic import ValidationError
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools._attribution_query_key import run_with_looks
from vesalius.tools.attention_patterns import AttentionPatternsArgs, attention_patterns, look_scores

PROMPT = "w1 w2 w3 w1 w2 w5 w6"


def found(subject, **more):
    return attention_patterns(subject, AttentionPatternsArgs.model_validate({"prompt": PROMPT, **more}))


def patterns_of(result) -> torch.Tensor:
    return torch.tensor([head.pattern for head in result.heads])


def test_shares_are_those_worked_by_hand():
    # Tokens a b a b: the third was seen at 0 and followed by 1, the fourth seen at 1 and followed by 2.
    pattern = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.6, 0.1]])
    (scores,) = look_scores(pattern[None], torch.tensor([7, 8, 7, 8]))
    assert scores.to_previous == pytest.approx((0.25 + 0.3 + 0.6) / 3)
    assert scores.to_first == pytest.approx((0.25 + 0.5 + 0.1) / 3)
    assert scores.to_itself == pytest.approx((0.75 + 0.2 + 0.1) / 3)
    assert scores.to_same_token == pytest.approx((0.5 + 0.2) / 2)
    assert scores.induction == pytest.approx((0.3 + 0.6) / 2)
    rows = [(0.25, 0.75), (0.5, 0.3, 0.2), (0.1, 0.2, 0.6, 0.1)]
    assert scores.entropy == pytest.approx(sum(-p * math.log(p) for row in rows for p in row) / 3)


def test_a_token_that_follows_itself_is_not_its_own_follower():
    (scores,) = look_scores(torch.eye(3)[None], torch.tensor([4, 4, 4]))
    assert scores.induction == 0.0  # only the third has a follower before it: the second
    assert scores.to_same_token == 0.0
    assert scores.to_itself == 1.0


def test_without_a_repeated_token_or_a_second_one_there_is_no_such_score():
    (scores,) = look_scores(torch.eye(3)[None], torch.tensor([4, 5, 6]))
    assert (scores.to_same_token, scores.induction) == (None, None)
    (alone,) = look_scores(torch.ones(1, 1, 1), torch.tensor([4]))
    assert set(alone.model_dump().values()) == {None}


def test_rows_sum_to_one_and_nothing_looks_ahead(subject):
    result = found(subject)
    patterns = patterns_of(result)
    n = len(result.tokens)
    assert patterns.shape == (12, n, n)
    assert torch.equal(patterns.triu(1), torch.zeros_like(patterns))
    assert patterns.sum(-1) == pytest.approx(torch.ones(12, n), abs=1e-5)
    assert result.row_sum_error < 1e-5


@pytest.mark.parametrize(("family", "window"), [("llama", 99), ("mistral", 3)])
def test_heads_without_queries_look_at_all_they_may_alike(family, window):
    model = random_model(family)
    with torch.no_grad():
        for block in model.model.layers:
            for parameter in block.self_attn.q_proj.parameters():
                parameter.zero_()
    result = found(Subject(model, word_tokenizer(), "level", None, None))
    for query, row in enumerate(result.heads[5].pattern):
        seen = min(query + 1, window)
        assert row[query + 1 - seen : query + 1] == pytest.approx([1 / seen] * seen, abs=1e-6)
        assert sum(row[: query + 1 - seen]) == 0
    if window > len(result.tokens):
        assert result.heads[5].model_dump(exclude={"head", "pattern"}) == pytest.approx(result.uniform.model_dump())


def test_patterns_are_what_queries_and_keys_make(subject):
    """Second road: the stream through weights, rotations, windows and caps, without the model's own softmax."""
    patterns = patterns_of(found(subject))
    run, looks = run_with_looks(subject, subject.tokenise([PROMPT]))
    for layer, look in enumerate(looks):
        normed = subject.weights(layer).norm1(run.sites[f"resid_pre.{layer}"])
        assert torch.allclose(patterns[4 * layer : 4 * layer + 4], look.pattern(normed)[0], atol=1e-5)


def test_values_weighted_by_a_pattern_are_the_heads_output(subject):
    """Another road: with grouped queries, too, each head is paired with the values that it reads."""
    result = found(subject)
    tokens = subject.tokenise([PROMPT])
    for place, head in enumerate(result.heads):
        layer, number = map(int, head.head.split("."))
        values, output = f"v.{layer}.{number // subject.shared_by}", f"head.{layer}.{number}"
        seen = subject.run(tokens, read=[values, output]).sites
        assert torch.allclose(patterns_of(result)[place] @ seen[values][0], seen[output][0], atol=1e-5), head.head


def test_reading_patterns_moves_nothing_and_one_head_is_as_among_all(subject):
    every = found(subject)
    tokens = subject.tokenise([PROMPT])
    assert torch.equal(subject.run(tokens).logits, subject.run(tokens, read=["pattern.1"]).logits)
    few = found(subject, heads=["2.1", "0.3", "2.1"])
    assert few.heads == (every.heads[3], every.heads[9])
    assert found(subject, heads=["0.3"], layers=[1]).heads == (every.heads[3], *every.heads[4:8])


def test_the_reference_model_has_heads_that_look_at_the_city_to_answer_its_state(atlas):
    args = AttentionPatternsArgs(prompt="the capital of the state containing Dallas is")
    result = attention_patterns(atlas, args)
    city = [token.strip() for token in result.tokens].index("Dallas")
    assert max(head.pattern[-1][city] for head in result.heads) > 0.5


@pytest.mark.parametrize(
    ("more", "mend"),
    [
        ({"heads": ["3.0"]}, "Layers: 0..2."),
        ({"heads": ["0.4"]}, "Heads: 0..3."),
        ({"layers": [9]}, "Layers: 0..2."),
        ({"prompt": " ".join(["w1"] * 40)}, "32"),
        ({"prompt": "w1 nowhere"}, "vocabulary"),
    ],
)
def test_what_the_model_lacks_is_refused_with_the_mend(more, mend):
    with pytest.raises(ToolError, match=mend):
        found(make_subject("gpt2"), **more)


def test_too_many_patterns_are_refused_before_anything_runs(monkeypatch):
    subject = make_subject("llama")
    monkeypatch.setattr("vesalius.tools.attention_patterns.LARGEST", 300)
    monkeypatch.setattr(subject, "run", lambda *_, **__: pytest.fail("ran"))
    n = len(subject.tokenise([PROMPT]).ids[0])
    with pytest.raises(ToolError, match=f"patterns of 12 heads over {n} tokens.*at most {300 // n**2} `heads`"):
        found(subject)
    with pytest.raises(ToolError, match="prompt of at most 17 tokens"):
        found(subject, heads=["0.0"], prompt=" ".join(["w1"] * 20))


@pytest.mark.parametrize("heads", [["1"], ["a.b"], ["-1.0"], ["1.0.0"]])
def test_a_head_is_written_as_layer_and_head(heads):
    with pytest.raises(ValidationError, match="pattern"):
        AttentionPatternsArgs(prompt=PROMPT, heads=heads)


def test_the_same_request_has_the_same_digest():
    tool, subject = load_tools()["attention_patterns"], make_subject("qwen2")
    args = tool.parse({"prompt": PROMPT, "heads": ["0.0"]})
    assert tool.measure(subject, args).digest == tool.measure(subject, args).digest
