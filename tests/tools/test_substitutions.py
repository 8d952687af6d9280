"""Replacing words: the model's own alternatives, each with the answer it really gives."""

import pytest
import torch
from conftest import make_subject
from vesalius.tools import ToolError, load_tools
from vesalius.tools.next_token import NextTokenArgs, next_token
from vesalius.tools.substitutions import SubstitutionsArgs, substitutions

PROMPT = "w1 w2 w3"


def first_choice(subject) -> str:
    return next_token(subject, NextTokenArgs(prompts=(PROMPT,))).answers[0].top[0][0].strip()


def test_each_replacement_is_answered_as_the_model_answers_that_prompt(subject):
    answer = first_choice(subject)
    result = substitutions(subject, SubstitutionsArgs(prompt=PROMPT, answer=answer))
    assert result.n_words == 3
    for one in result.substitutions:
        words = PROMPT.split()
        words[one.occurrence] = one.replacement
        assert one.prompt == " ".join(words)
        assert PROMPT[one.start :].startswith(one.word)
        asked = next_token(subject, NextTokenArgs(prompts=(one.prompt,), answers=(answer,))).answers[0]
        assert one.answer == asked.top[0][0].strip()
        assert one.kept_probability == pytest.approx(asked.probability, rel=1e-4)
        assert one.keeps == (asked.rank == 1)


def test_replacements_are_what_the_model_would_write_there():
    subject = make_subject("gpt2")
    result = substitutions(subject, SubstitutionsArgs(prompt=PROMPT, answer=first_choice(subject), samples=400))
    probabilities = subject.run(subject.tokenise(["w1"])).last_logits[0].softmax(-1)
    drawn = {one.replacement for one in result.substitutions if one.occurrence == 1}
    likely = {subject.token_strings([i])[0].strip() for i in probabilities.topk(15).indices.tolist()}
    assert len(drawn & likely) >= len(drawn) // 2
    assert "w2" not in drawn


def test_the_draw_repeats_from_its_seed_and_changes_with_it():
    subject = make_subject("llama")
    asked = {"prompt": PROMPT, "answer": first_choice(subject), "samples": 12}
    one, again, other = (substitutions(subject, SubstitutionsArgs(**asked, seed=seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_a_word_put_back_changes_nothing():
    subject = make_subject("llama")
    answer = first_choice(subject)
    result = substitutions(subject, SubstitutionsArgs(prompt=PROMPT, answer=answer))
    plain = subject.run(subject.tokenise([PROMPT])).last_logits[0].softmax(-1).max()
    assert torch.isclose(plain, torch.tensor(result.probability), rtol=1e-4)


@pytest.mark.external
def test_a_prompt_of_one_word_is_taken_apart_into_tokens(external):
    from vesalius.tools import load_subject

    subject = load_subject(str(external / "models" / "gpt-nano-sort-hf"), device="cpu")
    result = substitutions(subject, SubstitutionsArgs(prompt="CBABCAA", answer="A"))
    assert result.n_words == 7
    by_place = {one.occurrence: one for one in result.substitutions}
    assert by_place[0].prompt in ("ABABCAA", "BBABCAA")


@pytest.mark.external
def test_she_hangs_on_girl(external):
    from vesalius.tools import load_subject

    subject = load_subject(str(external / "models" / "stories260k-hf"), device="cpu")
    prompt = "Once upon a time there was a little girl named Lily. One day,"
    result = substitutions(subject, SubstitutionsArgs(prompt=prompt, answer="she"))
    girl = {one.replacement: one for one in result.substitutions if one.word == "girl"}
    assert not girl["boy"].keeps


@pytest.mark.parametrize(
    ("raw", "mend"),
    [
        ({"prompt": "...", "answer": "w1"}, "Use words the model knows"),
        ({"prompt": "w1", "answer": "w2 w3"}, "Ask for a single token"),
        ({"prompt": "w1", "answer": "w2", "samples": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_replaced_is_refused_with_the_mend(raw, mend):
    tool = load_tools()["substitutions"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse(raw))
