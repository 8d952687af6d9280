"""The short form: what a pull request shows, with hostile text inert. Parsed as a site would parse it."""

import pytest
from markdown_it import MarkdownIt
from vesalius.agent.report._text import markdown_block, markdown_code, markdown_text
from vesalius.agent.report.markdown import render_report_markdown

ATTACKS = [
    "`", "``", "a`b", "`a`", "```\nx\n```", "~~~", "|", "a\\", "\\`", "<b>", "&lt;", "[a](b)", "![a](b)", "**a**",
    "_a_", "# a", "- a", "1. a", "\u202e", "\n\n# a", "    a", "~~a~~", "<!-- a", "{{ a }}", "a\n---\nb",
]  # fmt: skip


def parsed(markdown: str):
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(markdown)


def tokens(markdown: str) -> set[str]:
    found: set[str] = set()
    for token in parsed(markdown):
        found.add(token.type)
        found |= {child.type for child in token.children or []}
    return found


@pytest.mark.parametrize("text", ATTACKS)
def test_a_code_span_holds_the_whole_text_and_nothing_else(text):
    inline = [t for t in parsed(f"x {markdown_code(text)} y") if t.type == "inline"]
    assert len(inline) == 1
    assert [c.type for c in inline[0].children or []] == ["text", "code_inline", "text"]


@pytest.mark.parametrize("text", ATTACKS)
def test_a_block_holds_the_whole_text_and_nothing_else(text):
    assert [t.type for t in parsed(markdown_block(text))] == ["fence"]


@pytest.mark.parametrize("text", ATTACKS)
def test_escaped_text_is_text(text):
    assert tokens(f"x {markdown_text(text)}") <= {"paragraph_open", "inline", "paragraph_close", "text", "text_special"}


def test_the_whole_summary_stays_inert(hostile):
    found = tokens(render_report_markdown(hostile))
    assert not found & {"html_block", "html_inline", "link_open", "image", "s_open", "em_open", "blockquote_open"}


def test_the_claims_table_has_one_row_per_claim(report):
    rows = [t for t in parsed(render_report_markdown(report)) if t.type == "tr_open"]
    assert len(rows) == 1 + len(report.claims)


def test_it_names_answer_verdict_failed_gates_and_the_way_to_verify(report):
    markdown = render_report_markdown(report)
    claim = report.claims[0]
    row = f"| c1 | ✓ supported | controlled | 0.98 (0.91 to 1.05) | {{}} | {', '.join(claim.measurements)} |"
    for part in (*row.split("{}"), "gate `twin` fail: The twin moved 0.2.", "vesalius verify a-run"):
        assert part in markdown
    assert len(markdown) < 4000
