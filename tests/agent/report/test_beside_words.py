"""What a report says of the run with names hidden: what both claim, and whether hiding names changed anything."""

from typing import Any

import pytest
from drawn_pages import Page
from vesalius.agent.planners.llm_turns import Planning
from vesalius.agent.report._beside import Brief, Half
from vesalius.agent.report._beside_words import beside_of, rows_of
from vesalius.agent.report.figures import Lookup, render_plain
from vesalius.agent.report.html import render_report_html
from vesalius.agent.report.markdown import render_report_markdown
from vesalius.agent.report.schema import Report

HERE = "resid_post.1 at last"  # of the only claim of the report, which is supported and controlled


@pytest.fixture(scope="module")
def planned(report: Report) -> Report:
    """A report of a run that a language model planned."""
    planning = Planning(model="tiny", turns=1, useless=0, tokens=1, ended="it finished", finished_by_protocol=False)
    return report.model_copy(update={"planning": planning})


def brief(**changes: Any) -> Brief:
    given: dict[str, Any] = {
        "id": "c1",
        "kind": "mediation",
        "site": "resid_post.1",
        "position": "last",
        "without": (),
        "verdict": "supported",
        "tier": "controlled",
        "effect": 0.5,
        "low": 0.25,
        "high": 0.75,
    }
    return Brief(**(given | changes))


def with_beside(report: Report, *claims: Brief, cut_short: str = "", **changes: Any) -> Report:
    given = {"premise_holds": True, "planned": True, "by_protocol": False, "stopped": "", "ledger_digest": "ab" * 32}
    hidden = Half(**(given | changes), claims=claims)
    return Report.model_validate({**dict(report), "beside": beside_of(report, cut_short, "other", hidden)})


def said(report: Report) -> list[str]:
    assert report.beside is not None
    return [render_plain(sentence, Lookup.of(report)) for sentence in report.beside.sentences]


def test_claims_about_the_same_place_stand_in_one_line(planned):
    other = brief(id="c2", site="head.1.2", position="entity", without=("head.0.0", "mlp_out.1"))
    rows = rows_of(with_beside(planned, other, brief(verdict="inconclusive", tier="observed")))
    assert [(row.place, row.hidden and row.hidden.id, row.shown and row.shown.id) for row in rows] == [
        (HERE, "c1", "c1"),
        ("head.1.2 at entity without head.0.0, mlp_out.1", "c2", None),
    ]


@pytest.mark.parametrize("changes", [{"position": "0"}, {"kind": "variable"}, {"without": ("head.0.0",)}])
def test_claims_that_differ_in_position_kind_or_what_is_taken_out_are_two(planned, changes):
    assert len(rows_of(with_beside(planned, brief(**changes)))) == 2


def test_the_same_supported_in_both_is_no_change(planned):
    told = said(with_beside(planned, brief()))
    assert told[0] == "Hiding names did not change what was found: both runs support the same."
    assert told[1].startswith(f"Supported in both: `{HERE}` moves the answer (claim `c1`, effect 0.98")
    assert len(told) == 2


def test_another_tier_is_told_and_is_no_change(planned):
    told = said(with_beside(planned, brief(tier="replicated")))
    assert "did not change" in told[0]
    assert "replicated with names hidden, controlled with names shown" in told[1]


@pytest.mark.parametrize("verdict", ["refuted", "inconclusive"])
def test_another_verdict_is_a_change_and_says_which(planned, verdict):
    told = said(with_beside(planned, brief(verdict=verdict)))
    assert told[0] == "Hiding names changed what was found."
    assert told[1].startswith(f"Supported only with names shown: `{HERE}`")
    assert told[1].endswith(f"with names hidden {verdict}).")
    assert "may have been predicted from what is known" in told[2]


def test_what_only_the_hidden_run_found_is_a_change_that_nobody_could_recite(planned):
    told = said(with_beside(planned, brief(), brief(id="c2", site="head.1.2")))
    assert told[0] == "Hiding names changed what was found."
    found = "`head.1.2 at last` moves the answer (with names shown not claimed)"
    assert told[1] == f"Supported only with names hidden: {found}."
    assert not any("may have been predicted" in sentence for sentence in told)


def test_where_neither_supports_anything_that_is_said(planned, make_judgement):
    (claim,) = planned.claims
    judged = claim.model_copy(update={"judgement": make_judgement(verdict="refuted")})
    other = brief(id="c3", site="head.0.0", verdict="refuted")
    told = said(with_beside(planned.model_copy(update={"claims": (judged,)}), other))
    assert told == [
        "Hiding names did not change what was found: neither run supports any claim.",
        "Claimed only with names hidden, and not supported: `head.0.0 at last` moves the answer.",
        f"Claimed only with names shown, and not supported: `{HERE}` moves the answer.",
    ]


def test_a_run_that_tells_little_of_the_language_model_is_named_first(planned):
    told = said(with_beside(planned, brief(), by_protocol=True, stopped="the budget of 5 calls is reached"))
    assert told[0].startswith("With names hidden too many turns")
    assert told[1] == "With names hidden the exploration was cut short: `the budget of 5 calls is reached`."
    assert said(with_beside(planned, brief(), cut_short="ended"))[0].startswith("With names shown the exploration")
    assert said(with_beside(planned, planned=False))[0] == "With names hidden no language model was asked to plan."


def test_where_nobody_planned_nothing_else_is_said(report):
    (told,) = said(with_beside(report, planned=False))
    assert told.endswith("so hiding names could change nothing.")
    (told,) = said(with_beside(report, planned=False, premise_holds=False))
    assert told.endswith("The premise does not hold.")


def test_the_pages_show_effect_and_interval_of_both_and_only_this_reports_claims_are_links(planned):
    alone = brief(id="c7", site="head.1.2", low=None, high=None)
    both = with_beside(planned, brief(tier="replicated"), alone)
    lines = render_report_markdown(both).splitlines()
    found = ("c1 ✓ supported, replicated", "0.50 (0.25 to 0.75)", "c1 ✓ supported, controlled", "0.98 (0.91 to 1.05)")
    assert f"| `{HERE}` | moves the answer | {' | '.join(found)} |" in lines
    assert "| `head.1.2 at last` | moves the answer | c7 ✓ supported, controlled | 0.50 | not claimed |  |" in lines
    html = render_report_html(both)
    page = Page(html[html.index('<section id="beside">') :].partition("</section>")[0] + "</section>")
    cells = [text for _, text in page.of("td")]
    assert {"c1 ✓ supported, replicated", "0.50 (0.25 to 0.75)", "0.98 (0.91 to 1.05)", "not claimed"} <= {*cells}
    assert {given["href"] for given, _ in page.of("a")} == {"#c1"}
    assert "<dt><code>replicated</code></dt>" in html, "a tier that the other run alone has is explained"


def test_text_of_the_other_run_is_no_markup(planned):
    evil = '<img src=x onerror="alert(1)"> | {{ 7*7 }} `tick`'
    both = with_beside(planned, brief(site=evil), stopped=evil)
    both = Report.model_validate({**dict(both), "beside": both.beside.model_copy(update={"run": evil})})
    assert "<img" not in render_report_html(both)
    rows = [line for line in render_report_markdown(both).splitlines() if "onerror" in line and line.startswith("| ")]
    assert [line.replace("\\|", "").count("|") for line in rows] == [7]
