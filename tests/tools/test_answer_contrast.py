"""Does the answer hang on what prompts differ in: hand-read shares, an exact no-op, random words, errors."""

import random

import pytest
import torch
from conftest import make_subject
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, put_in
from vesalius.tools._whole_words import whole_words
from vesalius.tools.answer_contrast import AnswerContrastArgs, answer_contrast, differing, drawn_in_place

PAIRS = [{"base": f"w1 w{i} w3", "corrupted": f"w1 w{i + 8} w3", "answer": "w30", "foil": "w31"} for i in range(4, 12)]


def args(**more) -> AnswerContrastArgs:
    return AnswerContrastArgs.model_validate({"pairs": PAIRS, **more})


def share(subject: Subject, prompt: str, answer: str, foil: str) -> float:
    logits = subject.model(torch.tensor([subject.tokenizer(prompt)["input_ids"]])).logits[0, -1].softmax(-1)
    one, other = (logits[subject.answer_token(prompt, word)].item() for word in (answer, foil))
    return one / (one + other)


def test_effects_are_differences_of_hand_read_shares(subject):
    result = answer_contrast(subject, args())
    for i, pair in enumerate(PAIRS):
        here, there = (share(subject, pair[side], "w30", "w31") for side in ("base", "corrupted"))
        assert result.clean[i] == pytest.approx(here, abs=1e-5)
        assert result.cells[0].effects[i] == pytest.approx(here - there, abs=1e-5)
        assert result.cells[0].answers_moved[i] == (here > 0.5 > there)


def test_a_model_that_reads_the_last_word_alone_hangs_on_nothing_before_it():
    subject = Subject(writing_nothing("o_proj", "down_proj"), make_subject("llama").tokenizer, "last", None, None)
    result = answer_contrast(subject, args(random_draws=5))
    assert set(result.cells[0].effects) == {0.0}
    assert set(result.cells[0].random_effects) == {0.0}
    assert result.no_op_change == 0.0


def test_exchanging_both_prompts_turns_the_effect_round():
    subject = make_subject("gpt2")
    other = [{**p, "base": p["corrupted"], "corrupted": p["base"]} for p in PAIRS]
    one, two = (answer_contrast(subject, args(pairs=pairs)).cells[0].effect for pairs in (PAIRS, other))
    assert one == pytest.approx(-two, abs=1e-6)
    assert one != 0


def test_whether_it_chooses_between_both_is_told_by_their_probability():
    subject = make_subject("gpt2")
    result = answer_contrast(subject, args())
    for i, pair in enumerate(PAIRS):
        ids = torch.tensor([subject.tokenizer(pair["base"])["input_ids"]])
        both = subject.model(ids).logits[0, -1].softmax(-1)[[subject.answer_token("w1", w) for w in ("w30", "w31")]]
        assert result.clean_correct[i] == (both.sum().item() >= 0.1)


def test_words_are_drawn_by_the_seed_from_those_named_and_no_answer_among_them():
    subject = make_subject("llama")
    one, again, other = (answer_contrast(subject, args(random_draws=4, seed=s)).cells[0] for s in (0, 0, 1))
    assert one.random_effects == again.random_effects != other.random_effects
    assert answer_contrast(subject, args(random_draws=1)).n_others == 37 - 16 - 2
    with pytest.raises(ToolError, match="Name more in `others`"):
        answer_contrast(subject, args(random_draws=1, others=["w20", "w21"]))


def test_where_two_prompts_differ():
    span = differing("the nurse said that", "the fire fighter said that")
    assert (span.n_before, span.mine, span.theirs) == (1, ("nurse",), ("fire", "fighter"))
    assert span.put("theirs", ("a", "b")) == "the a b said that"
    assert differing("zephyr the cat", "the cat").theirs == ()


def test_the_same_words_are_replaced_by_the_same_words():
    spans = [differing("a x b", "a y b"), differing("c x", "c y"), differing("x d", "d")]
    (one, two), (three, four), (five, six) = drawn_in_place(spans, ["p", "q", "r"], random.Random(0))
    x, y = one.split()[1], two.split()[1]
    assert {x, y} <= {"p", "q", "r"}
    assert (three, four, five, six) == (f"c {x}", f"c {y}", f"{x} d", "d")


def test_line_breaks_stay_where_words_are_exchanged():
    span = differing("one\n\ntwo  three\n", "one\n\nfour  three\n")
    assert (span.put("mine", ("x",)), span.put("theirs", ("y",))) == ("one\n\nx  three\n", "one\n\ny  three\n")
    assert put_in("one\n two", "z", "middle") == "one\n z two"


def test_words_are_whole_tokens_of_the_vocabulary():
    assert whole_words(make_subject("llama")) == tuple(f"w{i}" for i in range(37))


@pytest.mark.parametrize(("place", "made"), [("front", "z a b c d"), ("middle", "a b z c d")])
def test_where_a_word_is_put(place, made):
    assert put_in("a b c d", "z", place) == made
    assert put_in("a b c d", "", place) == "a b c d"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"pairs": [{**PAIRS[0], "corrupted": "w1  w4 w3"}]}, "are the same"),
        ({"pairs": []}, "at least 1 item"),
    ],
)
def test_pairs_that_cannot_differ_are_refused(raw, told):
    with pytest.raises(ValueError, match=told):
        AnswerContrastArgs.model_validate(raw)


def test_a_word_that_the_model_lacks_is_refused():
    with pytest.raises(ToolError, match="vocabulary lacks 'nowhere'"):
        answer_contrast(make_subject("gpt2"), args(pairs=[{**PAIRS[0], "corrupted": "w1 nowhere w3"}]))
