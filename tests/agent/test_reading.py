"""Questions: seven forms are read, whatever quotes they use; all else is answered with the forms."""

import pytest
from vesalius.agent.planners.interface import CannotRead, ContrastPair
from vesalius.agent.planners.reading import FORMS, read_question

PAIR = ContrastPair(clean="a", corrupted="b", answer="c", foil="d")


@pytest.mark.parametrize(
    "question",
    [
        "Why does the model answer 'Austin' after 'the capital of the state containing Dallas is'?",
        'why does this model say "Austin" after "the capital of the state containing Dallas is"',
        "Why ‘Austin’ after “the capital of the state containing Dallas is”?",
        "Why does the model answer `Austin` after `the capital of the state containing Dallas is` ?",
    ],
)
def test_why_is_read_whatever_the_quotes(question):
    task = read_question(question, ())
    assert (task.kind, task.answer) == ("why", "Austin")
    assert task.prompt == "the capital of the state containing Dallas is"


def test_a_prompt_may_hold_an_apostrophe_and_a_comma():
    task = read_question("Why does the model answer 'she' after 'It was Lily's day. One day,'?", ())
    assert task.prompt == "It was Lily's day. One day,"


def test_where_needs_pairs():
    assert read_question("Where is agreement computed?", (PAIR,)).behaviour == "agreement"
    with pytest.raises(CannotRead, match="Pass --pairs FILE"):
        read_question("Where is agreement computed?", ())


def test_a_feature_is_read():
    assert read_question("What does feature 1/37 stand for?", ()).feature == "1/37"


@pytest.mark.parametrize("question", ["", "How are you?", "Why is the sky blue?", "What does feature seven mean?"])
def test_what_cannot_be_read_is_answered_with_the_forms(question):
    with pytest.raises(CannotRead) as caught:
        read_question(question, ())
    assert all(form in str(caught.value) for form in FORMS)


@pytest.mark.parametrize(
    "question", ["Does the answer depend on the occupation?", "does the answer hang on the occupation"]
)
def test_whether_the_answer_depends_needs_pairs(question):
    task = read_question(question, (PAIR,))
    assert (task.kind, task.behaviour, task.pairs) == ("depends", "the occupation", (PAIR,))
    with pytest.raises(CannotRead, match="Pass --pairs FILE"):
        read_question(question, ())


def test_a_trigger_is_looked_for_with_pairs_or_without():
    assert read_question("Does a word trigger another answer?", ()).kind == "trigger"
    assert read_question("Does any word trigger another answer", (PAIR,)).pairs == (PAIR,)


def test_whether_it_changes_either_way_is_another_question():
    assert read_question("Does the answer change with the field?", (PAIR,)).kind == "changes"


def test_steering_needs_pairs_of_one_answer_and_one_foil():
    task = read_question("How fragile is steering toward 'c'?", (PAIR,))
    assert (task.kind, task.answer) == ("steering", "c")
    with pytest.raises(CannotRead, match="all need that answer and one foil"):
        read_question("How fragile is steering toward 'x'?", (PAIR,))
    with pytest.raises(CannotRead, match="Pass --pairs FILE"):
        read_question("How fragile is steering toward 'c'?", ())
