"""The circuit on the page: its links and no others, controls beside figures, every figure bound, no text as markup."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from vesalius.agent.report._circuit_picture import MOST_LINKS, Sizes, circuit_picture
from vesalius.agent.report._circuit_view import MOST_IN_SUMMARY, circuit_summary, circuit_view
from vesalius.agent.report._circuit_words import circuit_headline, circuit_sentences
from vesalius.agent.report.figures import Lookup, render_plain
from vesalius.agent.report.html import render_report_html
from vesalius.agent.report.markdown import render_report_markdown
from vesalius.agent.report.verify import verify
from vesalius.tools import Measurement, digest, get_tool

SIZES = Sizes(n_layers=2, n_heads=4, n_kv_heads=2, parallel=False)
HOSTILE = "</title></svg><img src=x onerror=alert(1)> `x` | {{ 7*7 }} \u202e"


def link(source: str, slot: str, score: float, without: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    given = {
        "source": source,
        "slot": slot,
        "score": score,
        "family": "values",
        "without": list(without),
        "hidden": bool(without),
    }
    return given | {"in_circuit": True} | more


LINKS = [
    link("embed", "v.0.1", 0.5),
    link("head.0.3", "q.1.0", 0.4),
    link("mlp_out.0", "k.1.0", 0.3, ("head.0.3",)),
    link("head.1.0", "logits", 0.2),
    link("embed", "mlp_in.0", -0.1),
    link("head.0.0", "logits", 0.01, in_circuit=False),
]


def measured(subject, links=LINKS, **changes) -> Measurement:
    """A search as the tool returns it, made by hand."""
    result = {
        "links": list(links),
        "scores": [one["score"] for one in links],
        "families": ["values", "keys"],
        "gaps": [3.0, 4.0],
        "n_circuit": sum(one["in_circuit"] for one in links),
        "n_links": 99,
        "faithfulness": [0.91, 0.97],
        "complement": [0.02, 0.04],
        "random_faithfulness": [0.0, 0.01],
        "random_complement": [0.81, 0.83],
        "curve": [{"n_links": n, "faithfulness": n / 99} for n in (0, 1, 5, 99)],
        "cpr": 1.7,
        "cmd": 0.08,
        "jaccard": 0.93,
        "contexts": [],
        "n_contexts_left": 0,
    } | changes
    return Measurement(
        id="m-aaaa2001",
        tool="circuit_search",
        subject=subject.key,
        args={"random_draws": 20},
        result=result,
        digest=digest(result),
        seconds=0.1,
    )


class Picture(HTMLParser):
    """Groups and shapes with their classes, attributes and titles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shapes: list[tuple[str, dict[str, str]]] = []
        self.groups: list[dict[str, Any]] = []
        self.open: list[str] = []
        self.feed(str(html))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.shapes.append((tag, given))
        if tag == "g":
            self.groups.append({"class": given.get("class", ""), "paths": [], "title": "", "rects": []})
        elif tag in ("path", "rect") and self.groups:
            self.groups[-1][f"{tag}s"].append(given)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-2:] == ["g", "title"]:
            self.groups[-1]["title"] = data

    def of(self, class_: str) -> list[dict[str, Any]]:
        return [group for group in self.groups if class_ in group["class"].split()]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(circuit_picture(SIZES, LINKS[:-1], "c"))


def test_every_link_is_drawn_with_its_effect_and_its_kind(picture):
    drawn = {group["title"]: group["class"].split()[1] for group in picture.of("circuit-link")}
    assert drawn == {
        "embed → v.0.1: effect 0.500, in values": "slot-v",
        "head.0.3 → q.1.0: effect 0.400, in values": "slot-q",
        "mlp_out.0 → k.1.0: effect 0.300, in values, largest with head.0.3 taken out": "slot-k",
        "head.1.0 → logits: effect 0.200, in values": "slot-logits",
        "embed → mlp_in.0: effect -0.100, in values": "slot-mlp_in",
    }


def test_a_wider_line_is_a_larger_effect_dashes_and_bars_say_what_they_should(picture):
    links = {group["title"].partition(":")[0]: group for group in picture.of("circuit-link")}
    widths = [float(links[f"{one['source']} → {one['slot']}"]["paths"][0]["stroke-width"]) for one in LINKS[:-1]]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1]
    assert [name for name, group in links.items() if "aside" in group["class"].split()] == ["mlp_out.0 → k.1.0"]
    lowered = [name for name, group in links.items() if "lowers" in group["paths"][1]["class"]]
    assert lowered == ["embed → mlp_in.0"]


def test_parts_of_the_circuit_are_boxes_and_all_others_dots(picture):
    boxes = {group["title"] for group in picture.of("circuit-node") if "end" not in group["class"]}
    assert boxes == {"head.0.3", "mlp_out.0", "head.1.0"}
    dots = [given for tag, given in picture.shapes if tag == "circle"]
    assert len(dots) == 2 * 5 - len(boxes)


def test_layers_go_upwards_from_the_start_to_the_answer(picture):
    heights = {group["title"]: float(group["rects"][0]["y"]) for group in picture.of("circuit-node")}
    start, answer = (float(group["rects"][0]["y"]) for group in picture.of("end"))
    assert answer < heights["head.1.0"] < heights["mlp_out.0"] < heights["head.0.3"] < start


def test_shared_keys_and_values_lead_to_the_heads_that_write_and_to_all_where_none_does():
    def reached(links) -> set[str]:
        drawn = Picture(circuit_picture(SIZES, links, "c"))
        return {group["title"] for group in drawn.of("circuit-node") if group["title"]}

    assert reached([link("embed", "v.0.1", 1.0), link("head.0.2", "logits", 1.0)]) == {"head.0.2"}
    assert reached([link("embed", "v.0.1", 1.0)]) == {"head.0.2", "head.0.3"}
    assert reached([link("embed", "q.0.1", 1.0)]) == {"head.0.1"}


@pytest.mark.parametrize("sizes", [Sizes(3, 2, 2, True), Sizes(32, 40, 8, False)])
def test_no_two_parts_stand_on_one_spot_and_all_within_the_picture(sizes):
    drawn = Picture(circuit_picture(sizes, [link("head.1.1", "mlp_in.2", 1.0)], "c"))
    spots = [(float(a["cx"]), float(a["cy"])) for tag, a in drawn.shapes if tag == "circle"]
    assert len(spots) == len(set(spots)) == sizes.n_layers * (sizes.n_heads + 1) - 2
    x, y, width, height = map(float, drawn.shapes[0][1]["viewbox"].split())
    assert all(x < cx < x + width and y < cy < y + height for cx, cy in spots)


@pytest.fixture(scope="module")
def made(gpt2, make_report):
    def build(words: str = "plain words", **changes):
        return make_report(gpt2, words, (measured(gpt2, **changes),))

    return build


def test_a_report_without_a_search_says_nothing_of_circuits(report):
    assert circuit_view(report) == ""
    assert circuit_summary(report, Lookup.of(report)) == []
    assert 'id="circuit"' not in render_report_html(report)


def test_the_page_draws_the_circuit_alone_and_lists_all_links_that_are_known(made):
    page = circuit_view(made())
    assert page.count('class="circuit-link') == 5
    assert "All 5 links of the circuit of m-aaaa2001 are drawn." in page
    assert "head.0.0 → logits" not in page
    assert '<td dir="auto">head.0.0</td>' in page
    html = render_report_html(made())
    assert html.count('Shown under <a href="#circuit">circuit</a>') == 1
    assert html.count('class="circuit"') == 1


def test_of_more_links_than_can_be_told_apart_the_strongest_are_drawn_and_the_others_counted(made):
    many = [link("embed", f"{kind}.{i}.{j}", 0.9 - 0.01 * i) for i in range(3) for kind in "qkv" for j in range(4)]
    many += [link(f"head.{i}.{j}", "logits", 0.1) for i in range(3) for j in range(4)]
    many += [link(f"head.0.{j}", f"q.{i}.{k}", 0.1) for i in (1, 2) for j in range(4) for k in range(2)]
    page = circuit_view(made(links=many))
    assert len(many) > MOST_LINKS
    assert page.count('class="circuit-link') == MOST_LINKS
    assert f"The strongest 60 of the 64 links of the circuit of m-aaaa2001 are drawn; {len(many) - 60} are not" in page


def test_figures_stand_beside_their_controls_and_name_the_measurement(made):
    report = made()
    page, said = circuit_view(report), " ".join(re.sub(r"<[^>]+>", " ", circuit_view(report)).split())
    assert "A circuit of 5 of 99 links keeps 91% to 97% (by family) of what tells the answers apart" in said
    assert "Random circuits of its size keep 0% to 1% (by family) and without them 81% to 83%" in said
    assert "values 3.000 0.910 0.000 0.020 0.810" in said
    assert "controls are means of 20 random circuits" in said
    assert re.findall(r'class="figure" href="#([^"]+)"', page) == ["m-aaaa2001"] * 13
    assert re.search(r"CPR is 1.70 ?, and has no upper bound", said)


def test_every_figure_of_the_prose_is_read_from_the_measurement(gpt2, made):
    found = measured(gpt2)
    lookup = Lookup.of(made())
    for sentence in circuit_sentences(found, explored=True):
        assert all(reference.id == found.id for reference in sentence.references)
        assert lookup.number(sentence.references[0]) is not None if sentence.references else True
    assert "keeps 91% to 97% (by family)" in re.sub(r" \[[^]]*\]", "", render_plain(circuit_headline(found), lookup))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jaccard": 0.4}, "too little to rely on any single link"),
        ({"jaccard": None}, "How stable it is was not measured"),
        ({"n_contexts_left": 3}, "were not taken out, so links may be missing"),
        (
            {"families": ["values"], "faithfulness": [0.9], "complement": [0.0]},
            "One family cannot reveal a whole circuit",
        ),
    ],
)
def test_what_a_search_did_not_do_is_said(gpt2, changes, words):
    def told(**given) -> str:
        return " ".join(sentence.text for sentence in circuit_sentences(measured(gpt2, **given), explored=True))

    assert words in told(**changes)
    assert words not in told()


@pytest.mark.parametrize(
    ("alone", "left", "words"),
    [
        (0.9, 0.1, "nearly all that the model does, and the answer needs it"),
        (0.5, 0.1, "needs it, but it is not enough alone"),
        (0.9, 0.9, "enough alone, but not needed"),
        (0.5, 0.9, "neither enough alone nor needed"),
    ],
)
def test_one_family_that_fails_decides_what_the_shares_mean(gpt2, alone, left, words):
    found = measured(gpt2, faithfulness=[1.0, alone], complement=[0.0, left])
    assert words in circuit_sentences(found, explored=True)[1].text


def test_without_random_circuits_no_control_is_claimed(gpt2, made):
    changes = {"random_faithfulness": [], "random_complement": []}
    assert "control" not in " ".join(s.text for s in circuit_sentences(measured(gpt2, **changes), explored=True))
    assert '<td class="num">–</td>' in circuit_view(made(**changes))


def test_only_exploration_is_called_observed(gpt2):
    observed = "observed on prompts of the exploration"
    told = {explored: [s.text for s in circuit_sentences(measured(gpt2), explored)] for explored in (True, False)}
    assert any(observed in text for text in told[True])
    assert not any(observed in text for text in told[False])


def test_names_of_families_are_text(made):
    links = [link("embed", "v.0.1", 0.5, family=HOSTILE)]
    report = made(links=links, families=[HOSTILE], faithfulness=[0.9], complement=[0.0])
    page = circuit_view(report)
    assert "<img" not in page
    assert "\u202e" not in page
    summary = render_report_markdown(report)
    assert "<img" not in re.sub(r"`+[^`].*?`+", "", summary.partition("## Circuit")[2].partition("##")[0])
    row = next(line for line in summary.splitlines() if line.startswith("| `embed"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 6


def test_the_summary_has_the_strongest_links_with_their_measurement(made):
    many = [link("embed", f"q.{i}.{j}", 0.9 - 0.1 * i - 0.01 * j) for i in range(3) for j in range(6)]
    summary = "\n".join(circuit_summary(made(links=many), Lookup.of(made(links=many))))
    rows = [line for line in summary.splitlines() if line.startswith("| `")]
    assert len(rows) == MOST_IN_SUMMARY
    assert rows[0].startswith("| `embed → q.0.0` | query | 0.90 [m-aaaa2001] |")


def test_a_report_with_a_search_is_measured_again(gpt2, make_report):
    tool = get_tool("circuit_search")
    pairs = [{"base": f"w{i} w2", "corrupted": f"w{i + 9} w2", "answer": "w5", "foil": "w6"} for i in (7, 8)]
    args = {"families": [{"name": "first word", "pairs": pairs}], "backups": False, "slots": False, "random_draws": 2}
    found = tool.measure(gpt2, tool.parse(args))
    report = make_report(gpt2, more=(found,))
    said = verify(report, lambda _: gpt2)
    assert found.id in said.reproduced
    assert (said.drifted, said.not_reproducible) == ((), ())
    listed, whole = len(found.result["links"]), found.result["n_circuit"]
    assert whole > listed  # a random model's links are all of one size
    assert f"The strongest {listed} of the {whole} links" in circuit_view(report)
