"""The page: one file that asks nobody for anything, and in which no text of a subject becomes markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from vesalius.agent.report.html import HERE, render_report_html

VOID = {"meta", "link", "input"}
CYTOSCAPE = (HERE / "assets/cytoscape/cytoscape.min.js").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Every element with its attributes, and the text of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.text = ""
        self.comments = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_comment(self, data):
        self.comments += 1

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.raw.append((self.open[-1], self.elements[-1][1], data))
        else:
            self.text += data


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(render_report_html(report))


@pytest.fixture(scope="module")
def attacked(hostile) -> Page:
    return Page(render_report_html(hostile))


def test_hostile_text_is_shown_and_is_no_markup(attacked):
    assert attacked.unbalanced == []
    assert attacked.open == []
    assert attacked.comments == 0
    assert "img" not in {tag for tag, _ in attacked.elements}
    assert not [k for _, attributes in attacked.elements for k in attributes if k.startswith("on") or k == "style"]
    assert "<script>alert(1)</script>" in attacked.text
    assert "{{ 7*7 }}" in attacked.text
    assert "alert" not in "".join(raw for _, kind, raw in attacked.raw if kind.get("type") != "application/json")


def test_hostile_text_makes_no_element_that_plain_text_does_not_make(gpt2, make_report):
    attack = "</code></p></article><script>x</script><img src=x><!-- `q` \"'&"
    plain = re.sub(r"[^\w\s`]", "x", attack)  # as long, with the same spaces, since labels of pictures wrap
    tags = [
        [tag for tag, _ in Page(render_report_html(make_report(gpt2, words))).elements] for words in (plain, attack)
    ]
    assert tags[0] == tags[1]


def test_no_control_or_bidirectional_character_reaches_the_page(hostile):
    html = render_report_html(hostile)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u2028\u2029]", html.replace(CYTOSCAPE, ""))


def test_the_page_names_no_host(hostile, attacked):
    for tag, attributes in attacked.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, name, value)
    for kind, _, raw in attacked.raw:
        if raw != CYTOSCAPE and kind == "style":
            assert "url(" not in raw
            assert "@import" not in raw


def test_the_policy_allows_the_pages_own_scripts_and_nothing_else(attacked):
    policy = next(a["content"] for _, a in attacked.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for kind, attributes, raw in attacked.raw:
        if attributes.get("type") != "application/json":
            digest = base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy, kind


def test_graph_data_reads_back_and_ends_no_script(attacked, hostile):
    raw = [text for _, attributes, text in attacked.raw if attributes.get("type") == "application/json"]
    assert len(raw) == 1
    assert "<" not in raw[0]
    data = json.loads(raw[0])
    assert len(data["nodes"]) == len(hostile.measurements[4].measurement.result["nodes"])
    assert "<script>alert(1)</script>" in data["nodes"][0]["label"]


def test_cytoscape_is_in_the_page_only_with_a_graph(report, hostile):
    assert CYTOSCAPE not in render_report_html(report)
    assert CYTOSCAPE in render_report_html(hostile)
    assert (HERE / "assets/cytoscape/LICENSE").is_file()


def test_backticks_are_shown_as_code_in_steps_and_recalled_findings(gpt2, make_report):
    html = render_report_html(make_report(gpt2, "pushing at `resid_post.1` turns it"))
    shown = 'pushing at <code dir="auto">resid_post.1</code> turns it'
    for start in ('<td dir="auto">', '<q dir="auto">', '<span dir="auto">'):
        assert f"{start}{shown}" in html


def test_a_graph_has_a_key_for_every_kind_of_node(attacked, page):
    kinds = {
        kind
        for _, a in attacked.elements
        for kind in (a.get("class") or "").split()
        if "key" in (a.get("class") or "").split()
    }
    assert kinds == {"key", "feature", "error", "token", "logit", "pos", "neg"}
    assert not any("graph-legend" in (a.get("class") or "") for _, a in page.elements)


def test_every_link_has_its_target_and_no_id_comes_twice(attacked, page):
    for seen in (attacked, page):
        ids = [a["id"] for _, a in seen.elements if "id" in a]
        assert len(ids) == len(set(ids))
        links = {a["href"] for tag, a in seen.elements if tag == "a"}
        assert {link for link in links if link and link[1:] not in ids} == set()


def test_every_measurement_and_claim_is_on_the_page(report, page):
    ids = {a.get("id") for _, a in page.elements}
    assert {r.measurement.id for r in report.measurements} <= ids
    assert {claim.id for claim in report.claims} <= ids
    for word in ("supported", "controlled", "Nothing changed.", "not evaluated", "vesalius verify a-run"):
        assert word in page.text


def test_pictures_have_names_and_headings_descend_in_order(page):
    assert all("aria-label" in a for _, a in page.elements if a.get("role") == "region")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_a_report_without_claims_says_so(report):
    bare = report.model_copy(update={"claims": (), "tried": (), "not_found": (), "reused": (), "answer": ()})
    text = Page(render_report_html(bare)).text
    assert "nothing is claimed" in text
    assert "No answer was reached" in text
