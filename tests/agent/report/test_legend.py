"""The legend: only words that are used are explained, and all formats explain them in the same words."""

import html
import re

import pytest
from vesalius.agent._evidence import Judgement
from vesalius.agent.report._text import markdown_text
from vesalius.agent.report.html import render_report_html
from vesalius.agent.report.legend import TIERS, VERDICTS, words_of, words_of_report
from vesalius.agent.report.markdown import render_report_markdown
from vesalius.tools._sites import KINDS


def names(text: str) -> list[str]:
    return [word.name for word in words_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("At `resid_pre.0` it was seen.", ["resid_pre.0"]),
        ("`resid_pre.2` and `resid_post.11`", ["resid_pre.L", "resid_post.L"]),
        ("`head.3.5`, `mlp_out.1`, `attn_out.0`", ["attn_out.L", "mlp_out.L", "head.L.H"]),
        ("an effective way", []),
        ("Patched from prompts that were held out.", ["patching", "held out"]),
        ("what the tokens of a state have in common", ["class mean"]),
        ("Too few clusters.", ["cluster"]),
        ("The twin was not measured.", ["re-initialised"]),
        ("0.98 [m-1a2b3c4d]", ["[m-…]"]),
    ],
)
def test_words_that_are_used_are_explained_and_no_others(text, expected):
    assert names(text) == expected


def test_a_tier_brings_those_that_its_meaning_rests_on():
    assert names("supported, replicated") == ["supported", "causal", "controlled", "replicated"]
    assert names("inconclusive, observed") == ["inconclusive", "observed"]


def test_every_verdict_and_tier_that_the_judge_knows_is_explained():
    fields = Judgement.model_fields
    assert set(VERDICTS) == set(fields["verdict"].annotation.__args__)
    assert set(TIERS) == set(fields["tier"].annotation.__args__)


def test_every_kind_of_site_that_instruments_take_is_explained():
    sites = [f"`{kind}.{'1.2' if kind == 'head' else '1'}`" for kind in KINDS if kind != "embed"]
    assert [site for site in sites if not words_of(site)] == []


def test_page_and_summary_explain_every_word_of_theirs_in_the_same_words(report):
    page, summary = html.unescape(re.sub(r"<[^>]+>", "", render_report_html(report))), render_report_markdown(report)
    words = words_of_report(report)
    assert {"effect", "supported", "controlled", "resid_post.L"} <= {word.name for word in words}
    assert [word.name for word in words if word.meaning not in page] == []
    mine = words_of(summary[: summary.index("## What the words mean")])
    assert [word.name for word in mine if markdown_text(word.meaning) not in summary] == []
