"""The table of supernodes: the same names as on the page, no figure without its measurement, no text that is markup."""

import re

import pytest
from markdown_it import MarkdownIt
from supernode_reports import arguments, effect_of, graph, name_claim, probes
from vesalius.agent.report._markdown_supernodes import HEAD
from vesalius.agent.report._supernode_status import supernode_statuses
from vesalius.agent.report.markdown import render_report_markdown
from vesalius.agent.report.schema import MeasurementRecord, Report, Sentence

TEXAS, AUSTIN = ("0/1", "0/2"), ("1/3",)
HOSTILE = " `x` ``` | <img src=x onerror=alert(1)> [x](http://evil.example) \u202e @octocat"


@pytest.fixture(scope="module")
def make(report, make_judgement):
    """The report with the graph, its naming, one test of `Say (Austin)` in discovery, and claims of these verdicts."""

    def build(verdicts: dict[str, str], words: str = "") -> Report:
        seen = effect_of(f"Say (Austin){words}", AUSTIN)
        arm = effect_of(f"Texas{words}", TEXAS, "m-aaaa1009")
        features = {"Texas": TEXAS, "Say (Austin)": AUSTIN}
        claims = tuple(
            name_claim(n, arguments(f"{name}{words}", features[name]), make_judgement(verdict=verdict), (arm.id,))
            for n, (name, verdict) in enumerate(verdicts.items(), start=1)
        )
        records = [
            MeasurementRecord(measurement=one, phase="confirm" if one == arm else "explore", why="to see")
            for one in (graph(words), probes(words), seen, arm)
        ]
        update = {"claims": claims, "graph": "m-aaaa1001", "measurements": tuple(records)}
        kept = {"answer": (), "tried": (), "black_box": (), "not_found": ()}
        premise = report.premise.model_copy(update={"sentence": Sentence(text="It does.")})
        return Report.model_validate(report.model_copy(update=update | kept | {"premise": premise}).model_dump())

    return build


def rows_of(report: Report) -> list[list[str]]:
    """Cells of the table, as a site shows them: text of code spans too."""
    part = render_report_markdown(report).partition("## Supernodes")[2]
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(part)
    end = next((i for i, token in enumerate(tokens) if token.type == "table_close"), 0)
    rows: list[list[str]] = []
    for i, token in enumerate(tokens[:end]):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append("".join(child.content for child in tokens[i + 1].children or []))
    return rows


def test_a_report_without_named_features_has_no_such_table(report):
    assert "Supernodes" not in render_report_markdown(report)


def test_each_supernode_has_a_row_that_says_what_the_page_says(make):
    made = make({"Texas": "supported"})
    head, texas, austin = rows_of(made)
    assert tuple(head) == HEAD
    assert texas == [
        "Texas",
        "Semantic",
        "0/1, 0/2",
        "c1 ✓ supported 0.98 (0.91 to 1.05)",
        "m-aaaa1002, m-aaaa1009",
        "Every prediction that was sealed about what these features do held: c1.",
    ]
    assert austin[:4] == ["unnamed; Say (Austin) by where it fires", "Say X", "1/3", "none sealed"]
    assert austin[5].startswith(
        "untested: No prediction about it was judged; its effect on discovery prompts: 0.37 [m-"
    )
    measurements = [record.measurement for record in made.measurements]
    statuses = supernode_statuses(probes(), made.claims, measurements)
    assert [one.holds for one in statuses] == [True, False]
    assert "Probed features in no supernode [m-aaaa1002]: `1/4`." in render_report_markdown(made)


@pytest.mark.parametrize("verdict", ["refuted", "inconclusive"])
def test_a_name_that_did_not_hold_is_none_and_the_judge_says_why(make, verdict):
    _, texas, _ = rows_of(make({"Texas": verdict}))
    assert texas[0] == "unnamed; Texas by where it fires"
    assert verdict in texas[3]
    assert texas[5].startswith(f"{verdict}: ")
    assert "c1: The effect 0.98 lies above 0.05." in texas[5]


def test_no_row_has_a_figure_without_the_measurement_it_comes_from(make):
    text = render_report_markdown(make({"Texas": "refuted", "Say (Austin)": "supported"}))
    part = text.partition("## Supernodes")[2].partition("**Coverage")[0]
    for line in part.splitlines():
        bare = re.sub(r"`[^`]*`|\b[cm]-?[0-9a-f]+\b", "", line)
        assert not re.search(r"\d", bare) or re.search(r"m-[0-9a-f]{4,}", line), line
    assert sum("0.98 (0.91 to 1.05)" in line for line in part.splitlines()) == 2


def test_hostile_names_and_tokens_stay_inert_and_divide_no_cell(make):
    made = make({"Texas": "refuted"}, words=HOSTILE)
    rows = rows_of(made)
    assert [len(row) for row in rows] == [len(HEAD)] * 3
    found = {
        child.type
        for token in MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(render_report_markdown(made))
        for child in (token, *(token.children or []))
    }
    assert not found & {"html_block", "html_inline", "link_open", "image", "s_open", "em_open"}
