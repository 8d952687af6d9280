import pytest
from vesalius.agent.chat.reading import read_said
from vesalius.agent.chat.turns import Action


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ("and for Oakland?", Action(do="swap", what="Oakland")),
        ("What about 'Oakland'?", Action(do="swap", what="Oakland")),
        ("the same for Oakland", Action(do="swap", what="Oakland")),
        ("why?", Action(do="why")),
        ("Why c2?", Action(do="why", what="c2")),
        ("and where is the state held?", Action(do="held", what="state")),
        ("what about layer 1?", Action(do="layer", what="1")),
        ("and feature 1/92?", None),
        ("what about feature 1/92?", Action(do="feature", what="1/92")),
        ("What about head.2.0?", Action(do="site", what="head.2.0")),
        ("how sure are you?", Action(do="sure")),
        ("show me c2", Action(do="show", what="c2")),
        ("C2", Action(do="show", what="c2")),
        ("show me m-1a2b3c4d", Action(do="show", what="m-1a2b3c4d")),
        ("show me the report", Action(do="report")),
        ("what did you measure?", Action(do="measured")),
        ("What did you not find?", Action(do="missing")),
        ("what would prompting alone have told?", Action(do="prompting")),
        ("what do you remember about the state?", Action(do="recall", what="the state")),
        ("how sure are you in the first run?", Action(do="sure", run="first")),
        ("show me c2 of the last one", Action(do="show", what="c2", run="last")),
        ("show me c2 of the Dallas one", Action(do="show", what="c2", run="dallas")),
        ("what did you measure in run 2026-x?", Action(do="measured", run="2026-x")),
        ("tell me a story", None),
        ("show me the money", None),
    ],
)
def test_a_message_means_what_its_form_says_and_nothing_where_it_has_none(said, action):
    assert read_said(said) == action


def test_a_question_of_ask_is_taken_whole_and_its_file_of_pairs_apart():
    why = "Why does the model answer 'Austin' after 'the capital of the state containing Dallas is'?"
    assert read_said(why) == Action(do="investigate", question=why)
    where = "Where is the opposite computed?"
    assert read_said(f"{where} --pairs /tmp/a b.json") == Action(
        do="investigate", question=where, pairs_from="/tmp/a b.json"
    )
    assert read_said("what does feature 1/92 stand for?") == Action(
        do="investigate", question="what does feature 1/92 stand for?"
    )
