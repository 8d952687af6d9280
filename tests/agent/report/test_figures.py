"""Figures: every number of a report's prose is read from a measurement, and prose cannot hold any other."""

import pytest
from pydantic import ValidationError
from vesalius.agent.report._sentence import number_at
from vesalius.agent.report.figures import (
    Lookup,
    UnboundFigure,
    check_bound,
    render_html,
    render_markdown,
    render_plain,
)
from vesalius.agent.report.schema import Sentence
from vesalius.tools import Measurement, SubjectKey

RESULT = {
    "gap": 2.5,
    "n": 3,
    "cells": [{"effect": 0.984, "effects": [1.0, 0.5, -0.25], "flags": [True, False]}],
    "label": "0.5",
    "found": None,
    "sure": True,
    "tiny": -0.0004,
}
MEASUREMENT = Measurement(
    id="m-1a2b3c4d",
    tool="patch",
    subject=SubjectKey(model="m", fingerprint="f"),
    args={},
    result=RESULT,
    digest="d",
    seconds=0.0,
)
KNOWN = {MEASUREMENT.id: MEASUREMENT}


def said(path: str) -> str:
    return render_plain(Sentence(text=f"It is {{{{m-1a2b3c4d:{path}}}}}."), KNOWN)


@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("cells.0.effect|.2f", "0.98"),
        ("cells.-1.effect|.0%", "98%"),
        ("n|d", "3"),
        ("gap", "2.5"),
        ("cells.0.effects.mean|.3f", "0.417"),
        ("cells.0.effects.max|.1f", "1.0"),
        ("cells.0.effects.min|+.2f", "-0.25"),
        ("cells.0.flags.sum|d", "1"),
        ("cells.len|d", "1"),
        ("tiny|.2f", "0.00"),
    ],
)
def test_a_reference_becomes_the_number_it_names(path, printed):
    assert said(path) == f"It is {printed} [m-1a2b3c4d]."


@pytest.mark.parametrize(
    ("path", "mend"),
    [
        ("nothing", "There is: gap, n"),
        ("cells.7.effect", "no entry 7 in a list of 1"),
        ("cells.first", "is no index"),
        ("gap.more", "nothing below"),
        ("found", "is nothing, not a number"),
        ("label", "not a number"),
        ("sure", "not a number"),
        ("cells", "not a number"),
        ("gap|d", "not a whole number"),
    ],
)
def test_a_reference_to_no_number_is_an_error_and_never_empty(path, mend):
    with pytest.raises(UnboundFigure, match=mend):
        said(path)


def test_a_reference_to_an_unknown_measurement_is_an_error():
    with pytest.raises(UnboundFigure, match="not known here"):
        render_plain(Sentence(text="It is {{m-ffffffff:gap}}."), KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "The effect is 0.98.",
        "About 3 of them.",
        "Half (½) of them.",
        "It is ٣.",
        "Layer²",
        "It is {{m-1a2b3c4d:gap}} or 7.",
        "A `name` and 5",
        'He said "98 %" of them',
        'He said "0.98"',
    ],
)
def test_prose_with_a_figure_of_its_own_is_refused(text):
    with pytest.raises(UnboundFigure, match="Refer to the measurement"):
        check_bound(text)
    with pytest.raises(ValidationError, match="Refer to the measurement"):
        Sentence(text=text)


@pytest.mark.parametrize("text", ["{{", "{{m-xyz:gap}}", "{{gap}}", "a }} b", "{{m-1a2b3c4d}}"])
def test_braces_that_are_no_reference_are_refused(text):
    with pytest.raises(UnboundFigure, match=r"Write \{\{m-1a2b3c4d"):
        check_bound(text)


@pytest.mark.parametrize("form", ["s", "x", ">10", "{}", ".999f", "!r"])
def test_a_format_that_could_print_something_else_is_refused(form):
    with pytest.raises(UnboundFigure, match=r"\.2f|Write"):
        check_bound(f"It is {{{{m-1a2b3c4d:gap|{form}}}}}.")


def test_names_and_prompts_may_hold_digits_where_they_are_marked():
    check_bound('`resid_post.1` after "the year 1999 was" and “7 of 9”')


def test_text_between_backticks_is_literal_even_where_it_looks_like_a_reference():
    sentence = Sentence(text="It says `{{m-1a2b3c4d:gap}}` here.")
    assert sentence.references == ()
    assert render_plain(sentence, {}) == "It says `{{m-1a2b3c4d:gap}}` here."


def test_figures_in_a_row_from_one_source_share_a_citation():
    text = "Effect {{m-1a2b3c4d:gap|.1f}}, {{m-1a2b3c4d:n|d}} pairs."
    assert render_plain(Sentence(text=text), KNOWN) == "Effect 2.5, 3 [m-1a2b3c4d] pairs."


def test_a_figure_of_a_claim_cites_its_confirmations_and_not_its_controls(report):
    claim = report.claims[0]
    sentence = render_plain(claim.sentence, Lookup.of(report))
    assert sentence == f"At `resid_post.1` the patch has effect 0.98 [{claim.measurements[0]}]."


def test_html_links_a_figure_to_its_measurement_and_names_the_path():
    html = render_html(Sentence(text="`<b>` is {{m-1a2b3c4d:gap|.1f}}"), KNOWN)
    assert html == (
        '<code dir="auto">&lt;b&gt;</code> is <a class="figure" href="#m-1a2b3c4d" title="m-1a2b3c4d: gap">2.5</a>'
    )


def test_markdown_shows_prose_as_it_is():
    text = "*a* [b](c) <i> @you | `x``y`"
    assert render_markdown(Sentence(text=text), {}) == "\\*a\\* \\[b\\](c) \\<i\\> @\u2060you \\| `x``y`"
    assert render_markdown(Sentence(text="- no list"), {}) == "\\- no list"


def test_a_terminal_gets_no_control_character():
    assert render_plain(Sentence(text="`a\x1b[31m\u202eb\nc`"), {}) == "`a\\u001b[31m\\u202eb⏎c`"


def test_number_at_keeps_whole_numbers_whole():
    reference = Sentence(text="{{m-1a2b3c4d:n|d}}").references[0]
    assert number_at(RESULT, reference) == 3
