"""Pictures: numbers land where they belong, nodes never overlap, and a new tool needs no picture of its own."""

import re
from itertools import pairwise
from typing import Any

import pytest
from vesalius.agent.report._graph_view import graph_data, graph_view
from vesalius.agent.report._heat_map import heat_map
from vesalius.agent.report._layout import NODE, layout
from vesalius.agent.report._svg import Scale
from vesalius.agent.report.plots import DotRow, claim_plot, effects_plot
from vesalius.agent.report.views import view
from vesalius.tools import Measurement, SubjectKey


def measured(tool: str, result: dict) -> Measurement:
    key = SubjectKey(model="m", fingerprint="f")
    return Measurement(id="m-12345678", tool=tool, subject=key, args={}, result=result, digest="d", seconds=0.0)


def test_a_scale_maps_its_ends_and_middle():
    scale = Scale([0.0, 1.0], 0.0, 108.0)
    assert scale(0.5) == pytest.approx(54.0)
    assert scale(0.0) == pytest.approx(4.0)
    assert scale.ticks == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("values", [[0.0], [], [3.0, 3.0], [-1e9, 1e9], [1e-7, 2e-7], [float("inf"), 1.0]])
def test_a_scale_of_any_values_has_ticks_in_order(values):
    ticks = Scale(values, 0.0, 100.0).ticks
    assert 1 <= len(ticks) <= 7
    assert all(a < b for a, b in pairwise(ticks))


def test_every_pair_and_every_random_draw_is_a_dot():
    rows = [DotRow("a", "confirm", (0.1, 0.2, 0.3)), DotRow("b", "random", tuple([0.0] * 20))]
    svg = str(effects_plot(rows, 0.05, "t"))
    assert svg.count('class="dot confirm"') == 3
    assert svg.count('class="dot random"') == 20


def test_a_long_name_of_a_row_is_wrapped_and_not_cut():
    name = "re-initialised, class means of prompts that ask the state of a city"
    svg = str(effects_plot([DotRow(name, "twin", (0.1,)), DotRow("after", "mean", (), mean=0.2)], 0.05, "t"))
    labels = re.findall(r'<text class="label halo"[^>]*y="([\d.]+)"[^>]*>([^<]*)</text>', svg)
    assert " ".join(text for _, text in labels[:2]) == name
    heights = [float(y) for y, _ in labels]
    assert heights == sorted(set(heights)), "no name stands on another"


def test_a_claims_picture_has_its_pairs_its_random_draws_and_its_twin(report):
    svg = str(claim_plot(report.claims[0], {r.measurement.id: r for r in report.measurements}))
    assert (svg.count("dot confirm"), svg.count("dot random"), svg.count("dot twin")) == (6, 20, 6)


def test_a_twins_effects_are_shares_of_the_subjects_gap(report):
    records = {r.measurement.id: r for r in report.measurements}
    confirm, twin = (records[m].measurement.result for m in report.claims[0].measurements)
    svg = str(claim_plot(report.claims[0], records))
    mean = sum(twin["cells"][0]["drops"]) / len(twin["cells"][0]["drops"]) / confirm["gap"]
    assert f">{mean:z.2f}</text>" in svg


def test_a_heat_map_colours_by_size_and_sign():
    svg = str(heat_map(["layer 0", "layer 1"], ["last"], {(0, 0): 1.2, (1, 0): -0.31}, "t"))
    assert 'class="heat pos s10"' in svg
    assert 'class="heat neg s3"' in svg
    assert svg.index("layer 1") < svg.index("layer 0"), "layers are drawn upwards"


def cell(site: str, effect: float, position: str = "last") -> dict:
    return {
        "site": site,
        "position": position,
        "effect": effect,
        "moved": 0.0,
        "effects": [effect],
        "random_effects": [],
    }


def patched(*cells: dict) -> str:
    return str(view(measured("patch", {"cells": list(cells), "gap": 1.0, "no_op_change": 0.0})))


def test_a_sweep_is_drawn_by_layer_and_place():
    sites = ("resid_pre.0", "resid_post.0", "resid_post.1", "mlp_out.1")
    svg = patched(*(cell(site, 0.5, position) for site in sites for position in ("entity", "last")))
    for name in ("input", "layer 0", "layer 1", "resid entity", "mlp_out last"):
        assert name in svg
    assert svg.count('class="heat') == 8


def test_heads_are_drawn_by_layer_and_head():
    svg = patched(*(cell(f"head.{layer}.{head}", 0.1) for layer in range(2) for head in range(3)))
    assert "head 2" in svg
    assert "layer 1" in svg


def test_sites_patched_together_are_drawn_as_rows():
    assert 'class="heat' not in patched(*(cell(f"head.0.{i}+head.1.{i}", 0.1) for i in range(3)))


def test_a_tool_without_a_picture_gets_a_table_of_its_numbers():
    html = str(view(measured("brand_new", {"score": 0.25, "deep": [{"x": 3}], "name": "<b>"})))
    for part in ("score", "0.25", "deep.0.x", ">3<", "&lt;b&gt;"):
        assert part in html


def test_long_tables_say_how_much_they_leave_out():
    html = str(view(measured("brand_new", {"values": list(range(100))})))
    assert "first 60 of 100" in html
    assert html.count("<tr>") == 61


@pytest.mark.parametrize("per_cell", [1, 5, 6, 23, 80])
def test_nodes_of_a_graph_never_overlap(per_cell):
    nodes = [
        {"id": f"{layer}.{position}.{i}", "layer": layer, "position": position, "influence": 0.1 * i}
        for layer in range(-1, 3)
        for position in range(4)
        for i in range(per_cell if (layer + position) % 2 else 2)
    ]
    places = list(layout(nodes).nodes.values())
    assert len(places) == len(nodes)
    near = [
        (a, b) for n, a in enumerate(places) for b in places[n + 1 :] if max(abs(a.x - b.x), abs(a.y - b.y)) <= NODE + 8
    ]
    assert near == []


def test_no_node_of_a_token_stands_on_a_link_between_two_others():
    nodes = [{"id": str(layer), "layer": layer, "position": 0, "influence": 0.0} for layer in range(-1, 12)]
    places = layout(nodes).nodes
    for low in range(-1, 12):
        for high in range(low + 2, min(low + 6, 12)):
            start, end = places[str(low)], places[str(high)]
            for between in range(low + 1, high):
                on_the_way = start.x + (end.x - start.x) * (between - low) / (high - low)
                assert abs(places[str(between)].x - on_the_way) > 3


def graph_nodes(*more: dict[str, Any]) -> list[dict[str, Any]]:
    same = {"activation": None, "probability": None, "token": " the"}
    words = [
        {"id": f"token@{p}", "kind": "token", "layer": -1, "position": p, "influence": 0.5 + p / 10, "label": "' the'"}
        for p in (0, 1)
    ]
    answer = {"id": "logit.3@1", "kind": "logit", "layer": 2, "position": 1, "influence": 1.0, "label": "output 'x'"}
    return [same | node for node in (*words, answer, *more)]


def test_two_nodes_of_one_label_are_told_apart_by_their_token():
    nodes = graph_nodes()
    labels = [node["label"] for node in graph_data(("the", " the"), nodes, ())["nodes"]]
    assert labels == ["' the' (token 0)", "' the' (token 1)", "output 'x'"]
    links = [{"source": "token@1", "target": "logit.3@1", "weight": 2.0}]
    scores = {"replacement_score": 1.0, "completeness_score": 1.0, "n_nodes_before_pruning": 3}
    html = str(
        graph_view(measured("attribution_graph", {"tokens": ["a", "b"], "nodes": nodes, "links": links} | scores))
    )
    assert "&#39; the&#39; (token 1) (2)" in html, "the answer's strongest input"
    assert html.count("(token 1)") == 4, "data, node, input, link"


def test_answers_stand_first_among_nodes_and_have_no_influence_or_layer():
    nodes = graph_nodes()
    assert [node["influence"] for node in graph_data(("the", " the"), nodes, ())["nodes"]] == [0.5, 0.6, None]
    result = {"tokens": ["a", "b"], "nodes": nodes, "links": []}
    result |= {"replacement_score": 1.0, "completeness_score": 1.0, "n_nodes_before_pruning": 3}
    rows = re.findall(r"<tr><td><button.*?</tr>", str(graph_view(measured("attribution_graph", result))))
    assert ["output" in row for row in rows] == [True, False, False]
    assert [re.findall(r'class="num">([^<]*)<', row) for row in rows] == [
        ["–", "–", "–"],
        ["–", "–", "0.5"],
        ["–", "–", "0.6"],
    ]


def test_tokens_run_to_the_right_and_layers_upwards():
    nodes = [
        {"id": f"{layer}@{p}", "layer": layer, "position": p, "influence": 0.0} for layer in (-1, 0) for p in (0, 1)
    ]
    places = layout(nodes).nodes
    assert places["-1@0"].x < places["-1@1"].x
    assert places["-1@0"].y > places["0@0"].y


def test_no_number_of_a_picture_is_in_a_notation_browsers_do_not_read(report):
    svg = str(claim_plot(report.claims[0], {r.measurement.id: r for r in report.measurements}))
    numbers = re.findall(r' (?:cx|cy|x|y|x1|x2|y1|y2|width|height)="([^"]*)"', svg)
    assert numbers
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", n) for n in numbers)
