"""A free question that a language model puts into a form: what is taken from its reply, and what it costs."""

import json

import pytest
from scripted_endpoint import calls, says, serving, streamed
from vesalius.agent.budget import Budget, Prices
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.planners.llm_endpoint import BadReply, Endpoint
from vesalius.agent.planners.llm_turns import Turn
from vesalius.agent.purse import Purse
from vesalius.agent.translating import LONGEST, Heard, Said, Understood, read_reply, translate
from vesalius.tools import ToolError

WHY = {"kind": "why", "prompt": "the capital of Texas is", "answer": "Austin"}
PAIR = {"clean": "a b", "corrupted": "a c", "answer": "x", "foil": "y"}
GIVEN = (ContrastPair(clean="e", corrupted="f", answer="g", foil="h"),)
SAID = Said(words="what is Texas ruled from", claims=("c1", "c2"))


def read(content: object, said: Said = SAID) -> Understood | None:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_reply(Turn(number=1, role="reader", mode="text", content=text, model="tiny"), said)


def heard(atlas, *script, said: Said = SAID, purse: Purse | None = None, seed: int = 0) -> tuple[Heard, list[dict]]:
    with serving(*script) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny", retries=0)
        return translate(endpoint, said, atlas.tasks, seed, purse or Purse()), played.asked


def about(asked: dict) -> dict:
    return json.loads(asked["messages"][1]["content"])


def test_each_form_becomes_a_question_put_together_by_code():
    question = "Why does the model answer 'Austin' after 'the capital of Texas is'?"
    assert read(WHY) == Understood(question=question)
    where = read({"kind": "where", "behaviour": "the opposite", "pairs": [PAIR]})
    assert where is not None
    assert (where.question, where.pairs[0].foil) == ("Where is the opposite computed?", "y")
    assert read({"kind": "feature", "feature": "1/92"}) == Understood(question="What does feature 1/92 stand for?")
    assert read('```json\n{"kind": "claim", "claim": "c2"}\n```') == Understood(claim="c2")
    assert read({"kind": "none"}) is None


@pytest.mark.parametrize(
    "reply",
    [
        "Sure! Here is the form.",
        "[]",
        json.dumps({**WHY, "run": "rm -rf /"}),
        json.dumps({**WHY, "feature": "1/92"}),
        json.dumps({**WHY, "pairs": [PAIR]}),
        json.dumps({"kind": "why", "prompt": "x"}),
        json.dumps({"kind": "seal", "prompt": "x", "answer": "y"}),
        json.dumps({"kind": "feature", "feature": "1/92; ls"}),
        json.dumps({"kind": "claim", "claim": "../../etc"}),
        json.dumps({"kind": "claim", "claim": "c3"}),
        json.dumps({"kind": "where", "behaviour": "b"}),
        json.dumps({"kind": "where", "behaviour": "b", "pairs": []}),
        json.dumps({"kind": "where", "behaviour": "b", "pairs": [{**PAIR, "foil": "x"}]}),
        json.dumps({"kind": "where", "behaviour": "b", "pairs": [PAIR] * 61}),
        json.dumps({**WHY, "answer": "it's' 'after"}),
        json.dumps({**WHY, "answer": 5}),
        json.dumps({**WHY, "answer": "\ud800"}),
        "[" * 5000,
    ],
)
def test_a_reply_in_no_form_is_refused_and_nothing_comes_of_it(reply):
    with pytest.raises(BadReply, match="one JSON object"):
        read(reply)


def test_pairs_of_the_person_are_used_and_no_other():
    said = Said(words="where does it turn words round", pairs=GIVEN)
    for form in ({"kind": "where", "behaviour": "b"}, {"kind": "where", "behaviour": "b", "pairs": [PAIR]}):
        assert read(form, said) == Understood(question="Where is b computed?", pairs=GIVEN)
    with pytest.raises(BadReply, match="pairs are given"):
        read(WHY, said)


def test_a_bad_reply_is_asked_for_once_more_with_what_was_wrong_and_another_seed(atlas):
    found, asked = heard(atlas, says("what?"), streamed(says(WHY)), seed=7)
    assert found.understood is not None
    assert "'Austin'" in found.understood.question
    assert [request["seed"] for request in asked] == [7, 8]
    first, second = map(about, asked)
    assert first["message"] == SAID.words
    assert (first["claims"], first["pairs_are_given"]) == (["c1", "c2"], False)
    assert "Invalid JSON" in second.pop("your_reply_before")
    assert first == second


def test_every_reply_is_a_turn_with_what_was_written_and_what_it_cost(atlas):
    found, _ = heard(atlas, calls(("look", {}), content="I look first."), says(WHY))
    assert [(turn.number, turn.role, turn.content) for turn in found.turns] == [
        (1, "reader", "I look first."),
        (2, "reader", json.dumps(WHY)),
    ]
    assert [(turn.tokens_in > 0, turn.estimated) for turn in found.turns] == [(True, False), (True, True)]


def test_what_may_be_spent_is_not_overdrawn(atlas):
    found, asked = heard(atlas, says("what?"), purse=Purse(Budget(calls=1)))
    assert len(asked) == len(found.turns) == 1
    assert found.understood is None
    assert "the budget of 1 calls of the language model is reached" in found.problem
    dear = Purse(Budget(cost=0.001), Prices(per_million_in=1000.0))
    found, asked = heard(atlas, says("what?"), purse=dear)
    assert len(asked) == 1
    assert "cost is reached" in found.problem


def test_an_endpoint_that_fails_talks_nonsense_or_finds_nothing_is_told_as_the_reason(atlas):
    found, asked = heard(atlas, says("what?"))
    assert (len(asked), len(found.turns)) == (2, 2)
    assert "one JSON object" in found.problem
    found, _ = heard(atlas, (500, "{}"))
    assert "500" in found.problem
    assert (found.understood, found.turns) == (None, ())
    found, _ = heard(atlas, says({"kind": "none"}))
    assert "fits none of the forms" in found.problem
    found, _ = heard(atlas, (200, "no completion"))
    assert "cannot be used" in found.problem


def test_words_are_never_cut_short_but_refused(atlas):
    nowhere = Endpoint(base_url="http://127.0.0.1:9/v1", model="tiny", retries=0)
    with pytest.raises(ToolError, match=f"Say it in {LONGEST}"):
        translate(nowhere, Said(words="x" * (LONGEST + 1)), atlas.tasks, 0, Purse())
