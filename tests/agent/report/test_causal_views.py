"""Pictures of the causal instruments: every figure where it belongs, limits that say what the instrument said."""

import re
from typing import Any

import numpy as np
import pytest
from causal_measurements import ARGS, changed, dormant, measured
from drawn_pages import Page
from vesalius.agent.report._heat_map import MOST_COLUMNS, MOST_ROWS, large_map
from vesalius.agent.report._limits import Limit
from vesalius.agent.report._line_plot import Level, Series, line_plot
from vesalius.agent.report._patching_words import subspace_limits
from vesalius.agent.report._scatter import scatter
from vesalius.agent.report._svg import WIDTH
from vesalius.agent.report._task_words import card_limits
from vesalius.agent.report.html import render_report_html
from vesalius.agent.report.views import view
from vesalius.tools import Measurement

HOSTILE = "</title></svg><script>alert(1)</script><img src=x onerror=alert(2)> `x` {{ 7*7 }} \u202e\x1b[31m"


def shown(m: Measurement) -> Page:
    return Page(view(m))


@pytest.mark.parametrize("tool", ARGS)
def test_every_causal_instrument_has_a_picture_that_is_told_to_those_who_do_not_see_it(atlas, tool):
    page = shown(measured(atlas, tool))
    pictures = page.of("svg", "plot")
    assert pictures
    assert all(given["role"] == "img" for given, _ in pictures)
    titles = [text for _, text in page.of("title") if measured(atlas, tool).id in text]
    assert len(titles) == len(pictures)
    assert page.of("a", "figure"), "its sentence, with figures"
    assert not [given for _, given, _ in page.elements if "style" in given]


@pytest.mark.parametrize("tool", ARGS)
def test_no_number_of_a_picture_is_in_a_notation_that_browsers_do_not_read(atlas, tool):
    numbers = re.findall(r' (?:cx|cy|x|y|x1|x2|y1|y2|r|width|height)="([^"]*)"', str(view(measured(atlas, tool))))
    assert numbers
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", n) for n in numbers)


def cells_of(page: Page) -> dict[str, float]:
    """Cells of all maps, by what their titles say they are."""
    titles = [text.rpartition(": ") for _, text in page.of("title")]
    return {name: float(value) for name, _, value in titles if re.fullmatch(r"-?\d\.\d{4}", value)}


def test_every_cell_of_a_sweep_is_drawn_with_its_effect(atlas):
    m = measured(atlas, "patch_sweep")
    drawn = cells_of(shown(m))
    assert len(drawn) == m.result["n_cells"]
    heads, stream = (np.array(grid["effect"]) for grid in m.result["grids"])
    tokens = [f"{at} {token.strip()}" for at, token in zip(m.result["positions"], m.result["tokens"], strict=True)]
    for at in (7, 8):
        assert drawn[f"2.1, {tokens[at]}"] == pytest.approx(heads[2, 1, at], abs=1e-4)
        assert drawn[f"layer 2, {tokens[at]}"] == pytest.approx(stream[2, 0, at], abs=1e-4)


def test_a_sweep_lists_its_strongest_places_first(atlas):
    m = measured(atlas, "patch_sweep")
    every = np.concatenate([np.array(grid["effect"]).ravel() for grid in m.result["grids"]])
    due = sorted(np.abs(every), reverse=True)[:10]
    listed = [abs(float(text)) for _, text in shown(m).of("td", "num")]
    assert listed == pytest.approx(due, rel=1e-3)


def test_a_map_too_large_keeps_its_strongest_rows_and_columns_in_order_and_says_so():
    rows, columns = [f"r{i}" for i in range(60)], [f"c{j}" for j in range(70)]
    cells = {(i, j): 0.001 for i in range(60) for j in range(70)} | {(59, 69): 0.9, (0, 0): -0.8, (30, 69): 0.7}
    drawn, note = large_map(rows, columns, cells, "t")
    found = cells_of(Page(drawn))
    assert len(found) == MOST_ROWS * MOST_COLUMNS
    assert (found["r59, c69"], found["r0, c0"], found["r30, c69"]) == (0.9, -0.8, 0.7)
    left_out = "Those of least effect are left out: 12 of 60 rows and 6 of 70 columns."
    assert note == f"Point at a cell to see its number. {left_out}"
    assert not Page(drawn).of("text", "cell")
    names = [text for _, text in Page(drawn).of("text", "tick") if text.startswith("r")]
    numbers = [int(name[1:]) for name in names]
    assert numbers == sorted(numbers, reverse=True), "the last row on top"
    drawn, note = large_map(rows[:2], columns[:2], {(0, 0): 1.0, (1, 1): 0.001}, "t")
    assert note == "A cell without a number rounds to nothing."
    assert [text for _, text in Page(drawn).of("text", "cell")] == ["1.00"]


def dots(page: Page, kind: str) -> int:
    return len(page.of("circle", f"dot {kind}"))


def badges(page: Page) -> list[str]:
    return [text for _, text in page.of("span", "badge")]


def test_a_subspace_stands_beside_its_parts_its_component_and_random_ones():
    page = shown(dormant(False))
    n_pairs = dormant(False).result["n_pairs"]
    assert (dots(page, "confirm"), dots(page, "random")) == (4 * n_pairs, 40)
    assert badges(page) == ["✗ interpretability illusion"]
    assert badges(shown(dormant(True))) == ["✓ passes"]


def test_a_part_that_is_not_there_has_a_row_without_a_dot(atlas):
    m = measured(atlas, "subspace_patch")
    assert dots(shown(m), "confirm") == 2 * 3 * m.result["n_pairs"]
    names = "".join(text for _, text in shown(m).of("text", "label"))
    assert names.count("which nothing sees: 0") == 2


def held(limit: Limit) -> bool:
    """Whether what was measured is as due, read from the words."""
    words, _, value = limit.due.rpartition(" ")
    assert limit.measured is not None
    return {
        "at least": limit.measured >= float(value) * 0.999,
        "at most": limit.measured <= float(value) * 1.001,
        "less than": limit.measured < float(value) * 0.999,
    }[words]


@pytest.mark.parametrize("true", [True, False])
def test_tests_of_a_subspace_come_out_as_their_own_figures_say(true):
    (cell,) = dormant(true).result["cells"]
    for limit in subspace_limits(cell, dormant(true).result["rule"]):
        assert limit.passed is held(limit), limit


def test_without_an_effect_nothing_else_of_a_subspace_is_tested(atlas):
    m = measured(atlas, "subspace_patch")
    cell = next(cell for cell in m.result["cells"] if cell["failed"] == ["no_effect"])
    assert [limit.passed for limit in subspace_limits(cell, m.result["rule"])] == [False, None, None, None]


def test_limits_of_a_card_come_out_as_their_own_figures_say_and_as_it_says_itself(atlas):
    m = measured(atlas, "steering_card")
    limits = card_limits(m)
    assert len(limits) == 9
    assert m.result["weaknesses"], "a card with something to find"
    for limit in limits:
        assert limit.passed is held(limit), limit
    page = shown(m)
    outcomes = [text for _, text in page.of("span", "outcome")]
    assert outcomes.count("✗ fail") == len(m.result["weaknesses"])
    assert badges(page) == ["✗ fragile"]
    assert badges(shown(changed(m, weaknesses=[]))) == ["✓ sound"]


def test_a_card_without_a_next_layer_does_not_judge_it(atlas):
    m = measured(atlas, "steering_card")
    far = changed(m, layers=[{"name": "resid_post.3", "effect": 1.0, "answered": 0.0}])
    (limit,) = [one for one in card_limits(far) if "layers" in one.test]
    assert (limit.measured, limit.passed) == (None, None)


def test_the_curve_of_a_card_has_the_judged_strength_a_band_and_the_simpler_ways(atlas):
    m = measured(atlas, "steering_card")
    page = shown(m)
    text = " ".join(said for _, said in page.of("text"))
    for place in ("×0.5", "×1", "×2"):
        assert place in text
    drawn = [given for given, _ in page.of("rect", "band")]
    assert len(drawn) == 2, "the band and its key"
    assert len(page.of("line", "level")) == 2 * (1 + 2 + 1), "neighbour, two texts of three, limit; and their keys"
    strongest = max(m.result["prompting"], key=lambda arm: arm["effect"])
    assert f"text alone: {strongest['name'][:20]}" in text


def test_every_prompt_random_direction_and_arm_of_a_card_is_drawn(atlas):
    m = measured(atlas, "steering_card")
    page, found = shown(m), m.result
    arms = len(found["effects"]) + len(found["contexts"]) + len(found["layers"])
    assert (dots(page, "confirm"), dots(page, "twin")) == (arms, len(found["neighbours"]))
    assert (dots(page, "shuffled"), dots(page, "random")) == (len(found["prompting"]), 20)


def test_an_ablation_has_a_dot_for_each_fold_and_random_set_and_a_bar_for_each_interval(atlas):
    m = measured(atlas, "ablate_neurons")
    page = shown(m)
    n_doses, n_folds = 2, 2
    assert dots(page, "of-l0") == dots(page, "of-l1") == 2 * n_doses * n_folds
    assert dots(page, "random") == 2 * n_doses * 20
    assert len(page.of("line", "interval")) == 2 * n_doses
    ticks = [text for _, text in page.of("text", "tick")]
    assert ticks.index("1") < ticks.index("4"), "doses from the smallest, in whatever order they were asked"


def test_an_ablation_passes_as_its_figures_say(atlas):
    m = measured(atlas, "ablate_neurons")
    doses = [dose for which in ("first", "second") for dose in m.result[which]["doses"]]
    due = sum(dose["low"] > 0 and dose["selectivity"] > max(dose["random_selectivities"]) for dose in doses)
    outcomes = [text for _, text in shown(m).of("span", "outcome")]
    assert (len(outcomes), outcomes.count("✓ pass")) == (len(doses), due)


def test_scores_stand_against_cutting_on_their_line():
    points = [(0, 0.0, 0.0, "a"), (1, 0.5, 0.5, "b"), (0, 1.0, 0.25, "c")]
    page = Page(scatter(points, ["f", "g"], "t", "x", "y"))
    (line,) = [given for given, _ in page.of("line", "level") if given["y1"] != given["y2"]]
    x1, x2, y1, y2 = (float(line[end]) for end in ("x1", "x2", "y1", "y2"))
    found = [(float(given["cx"]), float(given["cy"])) for given, _ in page.of("circle", "dot")][:3]
    above = [y - (y1 + (x - x1) / (x2 - x1) * (y2 - y1)) for x, y in found]
    assert above[:2] == pytest.approx([0, 0], abs=0.05)
    assert above[2] > 10, "measured less than told: beneath the line"
    assert all(0 <= x <= WIDTH for x, _ in found)


def test_every_cut_of_every_family_is_a_dot_and_without_cuts_there_is_no_such_picture(atlas):
    m = measured(atlas, "eap")
    n_keys = len(m.result["families"])
    assert dots(shown(m), "of-l0") + dots(shown(m), "of-l1") == 2 * m.result["n_measured"] + n_keys
    assert dots(shown(measured(atlas, "relp")), "of-l0") == 0


def test_parts_are_mapped_by_layer_and_head(atlas):
    m = measured(atlas, "attribution_patch")
    drawn = cells_of(shown(m))
    scores = {one["source"]: one["score"] for one in m.result["scored"]}
    assert drawn["layer 2, head 1"] == pytest.approx(scores["head.2.1"], abs=1e-4)
    assert drawn["layer 3, MLP"] == pytest.approx(scores["mlp_out.3"], abs=1e-4)
    assert len(drawn) == 4 * 5


def test_sources_at_single_tokens_are_mapped_by_source_and_token(atlas):
    m = measured(atlas, "contextual_decomposition")
    rows = [row | {"position": str(at), "share": 0.1 * at} for row in m.result["relevances"][:3] for at in (1, 2)]
    drawn = cells_of(shown(changed(m, relevances=rows)))
    assert len(drawn) == 6
    assert drawn[f"{rows[0]['source']}, token 2"] == pytest.approx(0.2)


def test_a_circuit_found_step_by_step_is_listed(atlas):
    part = {"step": 2, "node": "head.1.3", "position": "all", "target": "q.2.1", "share": 0.5}
    m = changed(measured(atlas, "contextual_decomposition"), circuit=[part])
    cells = [text for _, text in shown(m).of("td")]
    assert {"head.1.3", "q.2.1"} <= set(cells)


def test_levels_and_intervals_lie_where_they_should():
    series = Series("s", (0.0, 1.0), (), ((-1.0, 0.5), (0.5, 2.0)))
    page = Page(line_plot(["a", "b"], [series], "t", "u", levels=[Level("one", 1.0), Level("band", 1.0, 0.0)]))
    marks = [float(given["cy"]) for given, _ in page.of("circle", "mark")]
    level = float(page.of("line", "level")[0][0]["y1"])
    band = page.of("rect", "band")[0][0]
    assert level == pytest.approx(marks[1], abs=0.1)
    assert float(band["y"]) == pytest.approx(marks[1], abs=0.1)
    assert float(band["y"]) + float(band["height"]) == pytest.approx(marks[0], abs=0.1)
    bars = [(float(given["y1"]), float(given["y2"])) for given, _ in page.of("line", "interval")]
    assert all(low > mark > high for (low, high), mark in zip(bars, marks, strict=True)), "y grows downwards"


def test_a_report_shows_them_all_on_its_page(atlas, gpt2, make_report):
    every = tuple(measured(atlas, tool) for tool in ARGS)
    page = Page(
        re.sub(r"<(meta|link|input)\b[^>]*>|<!DOCTYPE html>", "", render_report_html(make_report(gpt2, more=every)))
    )
    for m in every:
        assert [given for given, _ in page.of("details", "measurement") if given["id"] == m.id]
        assert [text for _, text in page.of("title") if m.id in text], m.tool


def attacked(m: Measurement, value: Any, key: str = "") -> Any:
    """A result whose every text that is no word of the instrument is hostile."""
    if isinstance(value, dict):
        return {name: attacked(m, part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [attacked(m, part, key) for part in value]
    words = ("kind", "verdict", "failed", "outgoing", "weaknesses", "target", "direction", "unmatched", "strengths")
    return HOSTILE if isinstance(value, str) and key not in words else value


@pytest.mark.parametrize("tool", ARGS)
def test_no_text_of_a_result_becomes_markup(atlas, tool):
    m = measured(atlas, tool)
    result = attacked(m, m.result)
    if tool == "steering_card":
        result["strengths"] = m.result["strengths"]
    args = m.args if tool != "observable" else attacked(m, m.args)
    args |= {"norms": "tangent"} if tool == "observable" else {}
    html = str(view(m.model_copy(update={"result": result, "args": args})))
    page = Page(html)
    assert not page.of("script")
    assert not page.of("img")
    assert "\u202e" not in html
    assert "\x1b" not in html
