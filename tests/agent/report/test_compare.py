"""A comparison as page and summary: every label told, links that lead somewhere, and no text that becomes markup."""

import re

import pytest
from conftest import make_subject
from vesalius.agent._statistics import Interval
from vesalius.agent.comparing.results import (
    MEANING,
    BehaviourAgain,
    BesideRow,
    CircuitAgain,
    ClaimAgain,
    Compared,
    EarlierClaim,
    Elsewhere,
    GroupChange,
    LinkAgain,
    Lost,
    Retested,
    TokenChange,
    WeightsCompared,
)
from vesalius.agent.report._compare_html import comparison_html
from vesalius.agent.report._compare_markdown import comparison_markdown
from vesalius.agent.report.compare import (
    asked_row,
    claim_row,
    headline,
    interval,
    label_of,
    lost_rows,
    reason_of,
    verify_commands,
    worth_saying,
)

RANK = {"rank_99": 1, "top_1": 1.0, "top_8": 1.0}
EVIL = "<script>alert(1)</script> | a | `tick` ![x](https://evil.example/a) \u202eevil @octocat <img src=x onerror=y>"


def claim(make_judgement, label, text="a place", **changes):
    judgement = make_judgement()
    earlier = EarlierClaim(
        run="run", id="c1", statement=text, verdict="supported", effect=0.9, low=0.8, high=1.0, place=text
    )
    given = {
        "earlier": earlier,
        "label": label,
        "reason": text,
        "prediction": None,
        "claim": "c3",
        "judgement": judgement,
        "less": Interval(mean=-0.001, low=-0.002, high=0.1, n_clusters=9),
        "looked_at": 3,
        "elsewhere": (Elsewhere(place="head.1.1", claim="c4", seen=0.9, made_up=0.9, judgement=judgement),),
    }
    return ClaimAgain(**{**given, **changes})


def whole(claims, text="words", gone=False):
    key = make_subject("gpt2").key.model_copy(update={"model": text})
    asked = BehaviourAgain(
        run="run",
        question=text,
        why=text,
        is_premise=True,
        measurement_a="m-12345678",
        measurement_b="m-12345679",
        n=2,
        right_a=2,
        right_b=1,
        probability_a=0.9,
        probability_b=0.4,
        lost=(Lost(prompt=text, answer="Austin", before=0.9, after=1e-9, now=" "),),
        gone=gone,
    )
    links = (LinkAgain(source="embed", slot=text, a=0.5, b=None, hidden=False),)
    change = GroupChange(
        group="mlp in",
        entries=4,
        changed=1.0,
        relative=0.5,
        cosine=None,
        stable_rank=1.0,
        rank_99=1,
        top_1=1.0,
        top_8=1.0,
    )
    return Compared(
        name="a--b-12345678",
        a=key,
        b=key,
        runs=("run",),
        passed_over=(text,),
        retested=Retested(
            subject=key,
            claims=tuple(claims),
            behaviours=(asked,),
            circuits=(CircuitAgain(run="run", measurement_a="m-1", measurement_b="m-2", links=links),),
            n_tests=1,
            report="b",
        ),
        weights=WeightsCompared(groups=(change,), tokens=(TokenChange(token=text, id=3, relative=0.5),), told=text),
        beside=(BesideRow(place=text, a=text, b="", words=(text,)),),
        correction="Corrected.",
        environment={},
    )


@pytest.mark.parametrize("label", MEANING)
def test_every_label_is_shown_with_its_meaning(make_judgement, label):
    made = whole([claim(make_judgement, label)])
    for text in (comparison_html(made), comparison_markdown(made)):
        assert label in text
    assert f"<strong>{label}</strong>" in comparison_html(made)
    assert headline(made) == f"1 claim: 1 {label}."


def test_text_of_a_model_becomes_no_markup(make_judgement):
    made = whole([claim(make_judgement, "broke", EVIL)], EVIL, gone=True)
    page, summary = comparison_html(made), comparison_markdown(made)
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page + summary
    assert "default-src &#39;none&#39;" in page
    assert "style=" not in page
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", summary)  # what stands in no code span
    assert "<script" not in outside.replace("\\<", "")
    assert "![x](" not in outside
    assert "@octocat" not in outside


def test_every_row_of_the_summary_has_the_cells_of_its_head(make_judgement):
    lines = comparison_markdown(whole([claim(make_judgement, "moved", EVIL)], EVIL)).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    heads = {i: row.count("|") for i, row in enumerate(rows) if i + 1 < len(rows) and "---" in rows[i + 1]}
    expected = 0
    for i, row in enumerate(rows):
        expected = heads.get(i, expected)
        assert len(re.findall(r"(?<!\\)\|", row)) == expected, row


def test_a_claim_leads_to_its_measurements_in_the_report_of_b(make_judgement):
    page = comparison_html(whole([claim(make_judgement, "held")]))
    assert '<a href="report.html#c3">c3</a>' in page
    assert "<pre>vesalius verify a--b-12345678</pre>" in page
    assert "<pre>vesalius verify run</pre>" in page


def test_a_claim_that_was_not_judged_has_no_figures_of_b(make_judgement):
    row = claim_row(claim(make_judgement, "not testable", claim="", judgement=None, less=None, gap_a=5.0))
    assert row == ("c1", "not testable", "a place", "5.0 → –", "0.90 (0.80 to 1.00)", "–", "–", "–")


def test_what_is_next_to_nothing_has_no_sign():
    assert interval(-0.0001, -0.004, 0.004) == "0.00 (0.00 to 0.00)"
    assert interval(0.5, None, None) == "0.50"


def test_what_stops_a_release_is_told_first_and_what_held_not_at_length(make_judgement):
    labels = ("held", "not testable", "broke", "unchanged", "weakened", "moved")
    made = whole([claim(make_judgement, label) for label in labels])
    assert [one.label for one in worth_saying(made)] == ["broke", "weakened", "moved", "not testable"]


def test_a_premise_that_is_gone_is_in_the_first_line_and_flags_the_comparison(make_judgement):
    made = whole([claim(make_judgement, "held")], gone=True)
    assert "is gone: B does not answer that any more" in headline(made)
    assert made.retested.flagged
    assert not whole([claim(make_judgement, "undecided")]).retested.flagged


def test_an_answer_of_nothing_but_a_space_can_be_seen(make_judgement):
    assert lost_rows(whole([claim(make_judgement, "held")]).retested.behaviours)[0][2] == "(a space)"


def test_answers_that_are_fewer_flag_the_comparison_and_stand_in_the_first_line(make_judgement):
    made = whole([claim(make_judgement, "held")])
    assert not made.retested.flagged
    (asked,) = made.retested.behaviours
    fewer = asked.model_copy(update={"fell": True})
    made = made.model_copy(update={"retested": made.retested.model_copy(update={"behaviours": (fewer,)})})
    assert made.retested.flagged
    assert "Of 1 set of prompts B answers surely fewer right." in headline(made)
    assert "1 (fewer)" in asked_row(fewer)


@pytest.mark.parametrize(
    ("label", "cause", "told"),
    [
        ("broke", "behaviour", "broke: the behaviour is gone"),
        ("weakened", "behaviour", "weakened: the behaviour is rarer"),
        ("broke", "mechanism", "broke"),
    ],
)
def test_a_behaviour_that_is_gone_or_rarer_stands_beside_the_label(make_judgement, label, cause, told):
    assert label_of(claim(make_judgement, label, cause=cause)) == told


@pytest.mark.parametrize(("b", "is_told"), [(4.0, False), (10.0, False), (2.0, True), (11.0, True), (-1.0, True)])
def test_a_gap_that_is_another_is_told_also_of_a_claim_that_held(make_judgement, b, is_told):
    held = claim(make_judgement, "held", gap_a=5.0, gap_b=b)
    assert ("equal shares of it are unequal effects" in reason_of(held)) is is_told
    assert (worth_saying(whole([held])) == (held,)) is is_told
    assert f"5.0 → {b:.1f}" in claim_row(held)


def test_commands_name_the_folder_and_the_home_that_are_not_the_usual(make_judgement):
    made = whole([claim(make_judgement, "held")])
    assert verify_commands(made) == ("vesalius verify a--b-12345678", "vesalius verify run")
    elsewhere = verify_commands(made, "my folder/x", "/h")
    assert elsewhere == ("vesalius verify 'my folder/x' --home /h", "vesalius verify run --home /h")
