"""Unknown words: the message says which words would fit in their place."""

from vesalius.agent.commands.vocabulary import with_known_words
from vesalius.tools import ToolError

LACKS = ToolError("The model's vocabulary lacks 'Provo'.", mend="Use words the model knows.")


def test_the_words_that_fit_the_prompt_are_named_and_near_ones_first(atlas):
    error = with_known_words(LACKS, "the capital of the state containing Dalas is", atlas.tasks)
    assert "as city Dallas, " in error.mend
    assert "as answer Austin, Sacramento" in error.mend
    assert "more" in error.mend
    assert str(error).startswith("The model's vocabulary lacks 'Provo'.")


def test_a_word_that_is_known_is_not_called_unknown(atlas):
    error = with_known_words(LACKS, "the capital of the state containing Dallas is", atlas.tasks)
    assert "as city" not in error.mend


def test_a_prompt_of_no_known_form_and_another_error_stay_as_they_are(atlas):
    assert with_known_words(LACKS, "a prompt of no form", atlas.tasks) is LACKS
    other = ToolError("A prompt is empty.", mend="Pass one.")
    assert with_known_words(other, "the capital of the state containing Dallas is", atlas.tasks) is other
