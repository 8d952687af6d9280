"""The table: what is found, corrected over the whole audit, and what fails."""

import json
from html import unescape
from xml.etree import ElementTree

import pytest
from agent_audited import a_cell, a_claim, answered
from vesalius.agent._statistics import benjamini_hochberg
from vesalius.agent.audit.table import table_of
from vesalius.agent.audit.written import headline, jsonl, junit, markdown, page, write_table

HOSTILE = "<script>alert(1)</script> [x](javascript:1) | \x1b[31m \u202egnp \x00 &amp; ```"


def test_claims_are_corrected_over_the_whole_audit_and_one_that_does_not_hold_there_is_not_supported():
    strong, weak = a_cell("strong"), a_cell("weak")
    outcomes = {
        strong: answered(strong, a_claim(q=0.001)),
        weak: answered(weak, a_claim(q=0.045), a_claim("c2", "inconclusive", 0.9)),
    }
    audited = table_of("a", [strong, weak], outcomes)
    expected = benjamini_hochberg([0.001, 0.045, 0.9])
    assert [row.q for row in audited.rows] == [{"c1": expected[0]}, {"c1": expected[1], "c2": expected[2]}]
    assert [row.supported for row in audited.rows] == [("c1",), ()]
    assert [row.withdrawn for row in audited.rows] == [(), ("c1",)]
    assert [row.found for row in audited.rows] == [("supported", "premise_holds"), ("inconclusive", "premise_holds")]
    assert audited.n_claims == 3


def test_that_there_is_no_effect_rests_on_an_interval_and_neither_falls_nor_counts_with_the_others():
    cell = a_cell()
    outcome = answered(cell, a_claim(q=0.045), a_claim("c2", q=0.33, predicts="none"))
    audited = table_of("a", [cell], {cell: outcome})
    assert audited.rows[0].supported == ("c1", "c2")
    assert audited.rows[0].q == {"c1": 0.045}
    assert audited.n_claims == 1


def test_a_claim_alone_is_corrected_by_nothing():
    cell = a_cell()
    (row,) = table_of("a", [cell], {cell: answered(cell, a_claim(q=0.045))}).rows
    assert (row.q, row.supported) == ({"c1": 0.045}, ("c1",))


@pytest.mark.parametrize(
    ("more", "claims", "found"),
    [
        ({}, (), ("unclaimed", "premise_holds")),
        ({"premise": False}, (), ("unclaimed", "premise_fails")),
        ({"premise": None, "weaknesses": ("prompt",)}, (), ("unclaimed", "weak")),
        ({"premise": None}, (a_claim(verdict="refuted"),), ("refuted",)),
        ({"unanswerable": "no such word", "premise": None}, (), ("unanswerable",)),
        ({"failed": "died", "premise": None}, (), ("failed",)),
    ],
)
def test_what_is_found_is_said_and_fails_where_the_spec_says_so(more, claims, found):
    for fails_if in [(), found[:1], ("supported",)]:
        cell = a_cell(fails_if=fails_if)
        (row,) = table_of("a", [cell], {cell: answered(cell, *claims, **more)}).rows
        assert row.found == found
        assert row.fails == tuple(one for one in found if one in fails_if)


def test_a_cell_that_is_not_done_neither_passes_nor_fails():
    cell = a_cell()
    audited = table_of("a", [cell], {})
    assert (audited.is_whole, audited.failing, audited.n_done) == (False, (), 0)
    assert headline(audited) == "1 cell: 1 not done."
    assert ElementTree.fromstring(junit(audited)).find(".//skipped") is not None


def test_what_a_model_says_is_markup_in_no_file(tmp_path):
    cell = a_cell(fails_if=("unanswerable",))
    audited = table_of("a", [cell], {cell: answered(cell, unanswerable=HOSTILE)})
    shown = markdown(audited)
    assert "<script" not in shown.replace("\\<script", "")
    assert "[x](javascript" not in shown
    assert len([line for line in shown.splitlines() if line.startswith("| one")]) == 1
    html = page(audited)
    assert "<script" not in html
    assert "default-src 'none'" in unescape(html)
    (case,) = ElementTree.fromstring(junit(audited)).iter("testcase")
    assert "<script>alert(1)</script>" in (case.find("failure").text or "")
    for text in (shown, html, junit(audited)):
        assert not {"\x1b", "\u202e", "\x00"} & {*text.replace("\\u202e", "")}
    assert {*write_table(audited, tmp_path)} == {*tmp_path.iterdir()}


def test_junit_counts_what_fails():
    cells = [a_cell("good"), a_cell("bad"), a_cell("good", "other")]
    outcomes = {cell: answered(cell, **({"failed": "died"} if cell.item == "bad" else {})) for cell in cells}
    root = ElementTree.fromstring(junit(table_of("a", cells, outcomes)))
    assert [(s.get("name"), s.get("tests"), s.get("failures")) for s in root] == [
        ("atlas", "2", "1"),
        ("other", "1", "0"),
    ]
    (failure,) = root.iter("failure")
    assert failure.text == "died"


def test_lines_hold_everything_in_the_order_of_the_cells():
    cells = [a_cell("b"), a_cell("a")]
    found = [json.loads(line) for line in jsonl(table_of("x", cells, {cells[1]: answered(cells[1])})).splitlines()]
    assert [row["item"] for row in found] == ["b", "a"]
    assert found[0]["outcome"] is None
    assert found[1]["outcome"]["answer"] == "So it is."


def test_the_markdown_is_a_table():
    cell = a_cell()
    lines = markdown(table_of("a", [cell], {cell: answered(cell)})).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("| item"))
    assert lines[head + 1] == "| --- | --- | --- | --- | --- | --- |"
