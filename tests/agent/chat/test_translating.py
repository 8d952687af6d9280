import json

import pytest
from scripted_endpoint import says, serving
from vesalius.agent.chat.translating import read_reply, translate
from vesalius.agent.chat.turns import Action
from vesalius.agent.planners.llm_endpoint import BadReply, Endpoint, EndpointError

WHY = {"kind": "why", "prompt": "the capital of Texas is", "answer": "Austin"}
PAIR = {"clean": "a b", "corrupted": "a c", "answer": "x", "foil": "y"}


def test_each_form_becomes_a_question_put_together_by_code():
    question = "Why does the model answer 'Austin' after 'the capital of Texas is'?"
    assert read_reply(json.dumps(WHY)) == Action(do="investigate", question=question)
    where = read_reply(json.dumps({"kind": "where", "behaviour": "the opposite", "pairs": [PAIR]}))
    assert where is not None
    assert (where.question, where.pairs[0].foil) == ("Where is the opposite computed?", "y")
    feature = read_reply(json.dumps({"kind": "feature", "feature": "1/92"}))
    assert feature == Action(do="investigate", question="What does feature 1/92 stand for?")
    assert read_reply('```json\n{"kind": "claim", "claim": "c2"}\n```') == Action(do="show", what="c2")
    assert read_reply('{"kind": "none"}') is None


@pytest.mark.parametrize(
    "reply",
    [
        "Sure! Here is the form.",
        "[]",
        json.dumps({**WHY, "run": "rm -rf /"}),
        json.dumps({**WHY, "feature": "1/92"}),
        json.dumps({"kind": "why", "prompt": "x"}),
        json.dumps({"kind": "seal", "prompt": "x", "answer": "y"}),
        json.dumps({"kind": "feature", "feature": "1/92; ls"}),
        json.dumps({"kind": "claim", "claim": "../../etc"}),
        json.dumps({"kind": "where", "behaviour": "b", "pairs": [{**PAIR, "foil": "x"}]}),
        json.dumps({"kind": "where", "behaviour": "b", "pairs": [PAIR] * 61}),
        json.dumps({**WHY, "answer": "it's' 'after"}),
        json.dumps({**WHY, "answer": 5}),
        "[" * 5000,
    ],
)
def test_a_reply_in_no_form_is_refused_and_nothing_comes_of_it(reply):
    with pytest.raises(BadReply, match="one JSON object"):
        read_reply(reply)


def test_a_bad_reply_is_asked_for_once_more_with_another_seed(atlas):
    with serving(says("what?"), says(WHY)) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny", retries=0)
        action, calls = translate(endpoint, "what is Texas ruled from", "", atlas.tasks, ["c1"], 7)
    assert action is not None
    assert "'Austin'" in action.question
    assert calls == 2
    assert [asked["seed"] for asked in played.asked] == [7, 8]
    assert played.about(0)["message"] == "what is Texas ruled from"
    assert played.about(0)["claims"] == ["c1"]


def test_an_endpoint_that_fails_or_talks_nonsense_is_an_error_that_says_so(atlas):
    with serving(says("what?")) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny", retries=0)
        with pytest.raises(BadReply):
            translate(endpoint, "hello", "", atlas.tasks, (), 0)
    with serving((500, "{}")) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny", retries=0)
        with pytest.raises(EndpointError, match="500"):
            translate(endpoint, "hello", "", atlas.tasks, (), 0)
