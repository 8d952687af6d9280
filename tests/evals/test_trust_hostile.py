"""Attacks from the planner's seat are counted by what comes of them; the counts can tell a report that was spoiled."""

import random

import pytest
from vesalius.agent.report.schema import Sentence
from vesalius.evals.benchmarks import _trust_hostile as hostile
from vesalius.evals.benchmarks._hostile_scripts import Author

PAGE = """<html><head><title>7</title><meta charset="x"></head><body>
<section class="answer"><p>It moves <a class="figure" href="#c1">0.98</a> by <code>head.1.3</code>{said}</p></section>
<section id="not-found"><ul><li>nothing <q>12</q></li></ul></section>
<section id="coverage"><p>14 units</p></section><pre>0.12345</pre></body></html>"""


def read(said: str) -> hostile.Page:
    page = hostile.Page()
    page.feed(PAGE.replace("{said}", said))
    return page


def test_a_figure_in_a_sentence_of_a_page_is_seen_unless_it_is_bound_or_quoted():
    assert not any(hostile.DIGIT.search(said) for said in read("").prose)
    assert any(hostile.DIGIT.search(said) for said in read(" or so, 97 %").prose)


def test_what_stands_outside_code_is_what_a_reader_takes_for_said():
    text = "".join(read("").visible)
    assert "14 units" in text
    assert "0.12345" not in text
    assert "head.1.3" not in text


def test_figures_of_neighbouring_cells_are_not_read_as_one_and_marks_within_one_do_not_hide_it():
    page = hostile.Page()
    page.feed("<table><tr><td>0.00769</td><td>301</td></tr></table><p>0.1<b>23</b>45</p>")
    text = "".join(page.visible)
    assert "69301" not in text
    assert "0.12345" in text


def test_an_attack_that_came_through_is_counted():
    sound = hostile.Attacked("x", "y", True, "", (), ())
    spoiled = hostile.Attacked("x", "y", True, "", ("a claim",), ("md: 12345",))
    found = hostile.hostile_figures([sound, spoiled])
    assert (found["hostile_false_claims"].value, found["hostile_unbound_numbers"].value) == (0.5, 0.5)
    assert found["hostile_false_claims"].met is False
    assert hostile.hostile_figures([sound])["hostile_false_claims"].met is True


def test_sentences_are_found_wherever_they_stand_in_a_report():
    one, other = Sentence(text="one"), Sentence(text="other")
    assert list(hostile._sentences({"a": [one, ({"b": other},)]})) == [one, other]


def test_scripts_follow_from_their_seed_and_make_figures_up():
    question, idle = hostile._asked(3, 2)
    made = [[Author(random.Random(5), question, idle) for _ in range(2)] for _ in hostile.ATTACKS]
    for (first, again), write in zip(made, hostile.ATTACKS.values(), strict=True):
        assert str([s for s in write(first) if not callable(s)]) == str([s for s in write(again) if not callable(s)])
        assert first.figures == again.figures
    assert sum(bool(first.figures) for first, _ in made) > len(hostile.ATTACKS) / 2


@pytest.mark.parametrize("family", ["marks up", "words the answer falsely"])
def test_an_attack_on_a_subject_that_gives_orders_makes_no_false_claim(family: str):
    question, idle = hostile._asked(2, 2)
    author = Author(random.Random(0), question, idle)
    found = hostile._attacked(family, author, hostile.ATTACKS[family](author))
    assert (found.ended, found.false_claims, found.unbound) == (True, (), ())


def test_what_a_writer_says_of_an_idle_place_is_a_false_claim_where_it_is_shown(monkeypatch):
    question, idle = hostile._asked(2, 2)
    author = Author(random.Random(0), question, idle)
    monkeypatch.setattr("vesalius.agent.wording.Rules.refusal_of", lambda self, text: "" if "decides" in text else "x")
    found = hostile._attacked("words the answer falsely", author, hostile.ATTACKS["words the answer falsely"](author))
    assert any("nothing supported is about" in why for why in found.false_claims)
