"""Pictures of measurements in a real browser: what they show is what was measured, whoever wrote it."""

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import PHONE, Tab, on_a_port, tab
from drawn_measurements import ARGS, drawn, with_each
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from served import HOSTILE
from vesalius.agent.server.access import access_for
from vesalius.agent.server.guard import Guard
from vesalius.agent.server.routes_pages import page_routes
from vesalius.tools import load_tools

BLANK = (
    '<!DOCTYPE html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>Pictures</title>'
    '<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/style.css"></head>'
    '<body><main class="page"><h1>Pictures</h1></main></body></html>'
)
SHOW = """async ([measurements, which]) => {
  const made = (await import("/static/picture.js"))[which], main = document.querySelector("main");
  const start = performance.now(), drawn = measurements.map(made);
  main.append(...drawn.filter(Boolean));
  return [drawn.map((one) => one !== null), performance.now() - start];
}"""
LONGEST_DRAWING = 4000  # milliseconds


@pytest.fixture(scope="module")
def blank() -> Iterator[str]:
    """Address of a server of the files alone, and of a page with nothing on it."""
    access, app = access_for("127.0.0.1"), FastAPI()
    app.add_api_route("/blank", lambda: HTMLResponse(BLANK))
    app.include_router(page_routes(access))
    app.add_middleware(Guard, access=access)
    with on_a_port(app) as address:
        yield address


@pytest.fixture(scope="module")
def kept(chromium: Any, blank: str) -> Iterator[Tab]:
    with tab(chromium, blank) as opened:
        yield opened


@pytest.fixture
def one(kept: Tab) -> Iterator[Tab]:
    """A page with nothing on it, in a tab that all tests share."""
    kept.open("/blank")
    yield kept
    kept.silent()


def show(one: Tab, *measurements: Any, small: bool = False) -> list[bool]:
    """Draw measurements, and say which have a picture."""
    plain = [m if isinstance(m, dict) else m.model_dump(mode="json") for m in measurements]
    shown, milliseconds = one.page.evaluate(SHOW, [plain, "smallPicture" if small else "picture"])
    assert milliseconds < LONGEST_DRAWING
    return shown


def changed(m: Any, **result: Any) -> dict[str, Any]:
    plain = m.model_dump(mode="json")
    return plain | {"result": plain["result"] | result}


def as_cell(value: float) -> str:
    text = f"{value:.2f}"
    return "0" if float(text) == 0 else text


def num(value: float) -> str:
    """A number of an everyday size in three digits."""
    return f"{float(f'{value:.3g}'):g}"


def texts(one: Tab, selector: str) -> list[str]:
    return [text.strip() for text in one.page.locator(selector).all_text_contents()]


def test_a_sweep_is_a_table_of_every_effect_with_the_last_layer_on_top(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "patch_sweep")
    assert show(one, m) == [True]
    stream = [row[0] for row in m.result["grids"][0]["effect"]]
    got = texts(one, ".picture:first-of-type td.heat")
    assert [text.removeprefix("★") for text in got] == [as_cell(v) for row in reversed(stream) for v in row]
    (best,) = [i for i, text in enumerate(got) if text.startswith("★")]
    flat = [v for row in reversed(stream) for v in row]
    assert abs(flat[best]) == max(map(abs, flat))
    heads = texts(one, ".picture:nth-of-type(2) tbody th")
    assert heads == [f"{layer}.{head}" for layer in (3, 2, 1, 0) for head in (3, 2, 1, 0)]


def test_a_map_is_read_with_the_arrow_keys(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "patch_sweep")
    show(one, m)
    page, first = one.page, one.page.locator(".picture").first
    cell = first.locator("td.best")
    cell.focus()
    said = first.locator(".readout").inner_text()
    assert "the largest" in said
    page.keyboard.press("Home")
    said = first.locator(".readout").inner_text()
    token = m.result["tokens"][0].strip()
    assert said == f"layer 3, 0 {token}: 0 (share of the gap)"
    page.keyboard.press("ArrowDown")
    assert first.locator(".readout").inner_text().startswith(f"layer 2, 0 {token}:")
    assert page.locator("[data-cell][tabindex='0']").count() == 2  # one for each map


def test_a_place_stands_beside_its_random_controls(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "patch")
    show(one, m)
    cell = m.result["cells"][0]
    assert one.page.locator("path.control").count() == len(cell["random_effects"]) == 20
    assert one.page.locator("circle.mark").count() == len(cell["effects"])
    told = one.page.locator(".dots-row").get_attribute("aria-label")
    assert told.startswith(f"resid_post.1, the swapped word: {num(cell['effect'])}")
    assert "20 random controls" in told


def test_on_a_twin_effects_are_in_nats_and_no_share_of_next_to_nothing(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "patch")
    twin = m.model_dump(mode="json")
    twin["subject"]["reinit_seed"] = 1
    show(one, twin)
    assert "nats" in one.page.locator(".plot").text_content()
    assert one.page.locator(".control").count() == 0
    drop = m.result["cells"][0]["drops"][0]
    assert f": {num(drop)}" in one.page.locator(".dots-row").get_attribute("aria-label")


def test_the_token_in_focus_shows_where_the_head_looks(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "attention_patterns")
    show(one, m)
    page = one.page
    assert page.locator("button.head").count() == 16
    page.locator("button.head").nth(9).click()
    assert page.locator("button.head[aria-pressed='true']").inner_text() == "2.1"
    pattern = m.result["heads"][9]["pattern"]
    page.locator(".tok").nth(5).focus()
    got = [text.removeprefix("▲") for text in texts(one, ".tok-value")]
    assert got == [as_cell(v) for v in pattern[5][:6]] + [""] * 3
    best = max(range(6), key=lambda key: pattern[5][key])
    assert page.locator(".tok.peak .tok-text").inner_text() == m.result["tokens"][best].strip()
    page.keyboard.press("ArrowLeft")
    assert "From 4 the" in page.locator(".chosen-head .readout").first.inner_text()


def test_a_feature_is_chosen_and_its_peak_marked(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "feature_activations")
    show(one, m)
    features = sorted(m.result["features"], key=lambda f: -abs(f["peak"]))
    one.page.get_by_label("Look at").select_option("3")
    assert one.page.locator(".picture-part").inner_text() == f"Feature {features[2]['layer']}/{features[2]['feature']}"
    assert one.page.locator(".tok.peak .tok-text").inner_text() == features[2]["peak_token"].strip()
    peak = features[2]["peak"]
    assert one.page.locator(".tok.peak .tok-value").inner_text() == "▲" + (num(peak) if peak >= 10 else as_cell(peak))
    assert "–" in texts(one, ".tok-value")


def test_contexts_of_a_feature_mark_where_it_peaks(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "describe_feature")
    show(one, m)
    assert texts(one, ".tok.peak .tok-text") == [c["tokens"][c["peak"]].strip() for c in m.result["contexts"]]


def test_the_lens_is_a_table_of_layers_and_tokens(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "logit_lens")
    show(one, m)
    layers = m.result["prompts"][0]["layers"]
    rows = one.page.locator(".lens tbody tr")
    assert rows.count() == len(layers)
    for i, layer in enumerate(layers):
        assert rows.nth(i).locator("td").nth(1).locator("bdi").inner_text() == layer["top"][0][0].strip()
        assert f"rank {layer['tracked'][0]['rank']}" in rows.nth(i).locator("td").first.inner_text()


def test_a_steering_curve_has_its_cost_beside_it_and_a_table_beneath(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "steer")
    show(one, m)
    points = m.result["points"]
    plots = one.page.locator(".picture .plot")
    assert [plots.nth(i).locator("[data-point]").count() for i in (0, 1)] == [len(points)] * 2
    ups = [float(one.page.locator("[data-point]").nth(i).get_attribute("cy")) for i in range(len(points))]
    order = sorted(range(len(points)), key=lambda i: points[i]["effect"])
    assert sorted(range(len(points)), key=lambda i: -ups[i]) == order
    rows = one.page.locator(".picture tbody tr")
    assert [float(rows.nth(i).locator("td").nth(2).inner_text()) for i in range(len(points))] == pytest.approx(
        [p["perplexity_ratio"] for p in points], rel=0.01
    )
    one.page.locator("[data-point]").nth(1).focus()
    assert "at 1: effect (nats)" in one.page.locator(".readout").inner_text()


def test_a_bar_is_as_long_as_its_probability(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "next_token")
    top = [["Austin", 0.75], ["Texas", 0.25], ["x", 0.0]]
    show(one, changed(m, answers=[m.result["answers"][0] | {"top": top}]))
    tracks, bars = one.page.locator(".track"), one.page.locator(".filled")
    shares = [bars.nth(i).bounding_box()["width"] / tracks.nth(i).bounding_box()["width"] for i in (0, 1)]
    assert shares == pytest.approx([0.75, 0.25], abs=0.02)
    assert texts(one, ".bars tbody th") == ["Austin", "Texas", "x"]


def test_what_has_no_picture_has_none_and_another_form_says_so(one: Tab, atlas: Any) -> None:
    m = drawn(atlas, "patch")
    assert show(one, m.model_dump() | {"tool": "make_probes"}, m.model_dump() | {"tool": "constructor"}) == [False] * 2
    assert show(one, m.model_dump() | {"result": None}) == [True]
    assert "another form" in one.page.locator("main .notice").inner_text()
    assert show(one, m.model_dump() | {"result": None}, small=True) == [False]


WRONG = {
    "hostile texts": lambda value: HOSTILE * 150 if isinstance(value, str) else value,
    "no numbers": lambda value: None if isinstance(value, int | float) and not isinstance(value, bool) else value,
    "empty lists": lambda value: [] if isinstance(value, list) else value,
    "nothing": lambda value: None,
}


@pytest.mark.parametrize("what", WRONG)
def test_whatever_a_result_holds_the_page_stands(chromium: Any, blank: str, atlas: Any, what: str) -> None:
    with tab(chromium, blank, PHONE) as opened:
        opened.open("/blank")
        for tool in ARGS:
            plain = drawn(atlas, tool).model_dump(mode="json")
            wrong = plain | {"result": with_each(plain["result"], WRONG[what])}
            if what == "hostile texts":
                wrong["args"] = with_each(plain["args"], WRONG[what])
            show(opened, wrong)
            show(opened, wrong, small=True)
        assert opened.page.title() == "Pictures"
        assert opened.page.locator("main script").count() == 0
        assert "\u202e" not in opened.page.locator("main").inner_html()  # nor in a name that is only read out
        assert "undefined" not in opened.page.locator("main").inner_text()
        assert "NaN" not in opened.page.locator("main").inner_text()
        assert opened.fits()


def test_patterns_of_three_hundred_tokens_are_drawn_and_read(one: Tab, atlas: Any) -> None:
    m, n = drawn(atlas, "attention_patterns"), 300
    pattern = [[1 / (query + 1) if key <= query else 0.0 for key in range(n)] for query in range(n)]
    heads = [m.result["heads"][0] | {"pattern": pattern, "head": f"0.{i}"} for i in range(8)]
    assert show(one, changed(m, tokens=["x" * 10_000] * n, heads=heads)) == [True]
    assert show(one, changed(m, tokens=["x" * 10_000] * n, heads=heads), small=True) == [True]
    one.page.locator(".chosen-head .tok").nth(200).focus()
    assert "0.00498 of its attention" in one.page.locator(".chosen-head .readout").inner_text()
    assert one.fits()


def test_a_sweep_of_very_many_places_keeps_the_strongest(one: Tab, atlas: Any) -> None:
    m, n = drawn(atlas, "patch_sweep"), 300
    effect = [[[0.5 if (layer, at) == (70, 250) else 0.001 for at in range(n)]] for layer in range(96)]
    grid = {"kind": "resid_pre", "effect": effect, "effects": []}
    show(one, changed(m, grids=[grid], positions=list(range(n)), tokens=["<script>"] * n))
    assert one.page.locator("tbody tr").count() == 64
    assert "largest: layer 70, 250 <script>, 0.5" in one.page.locator(".picture").inner_text()
    assert "32 of 96 rows and 204 of 300 columns" in one.page.locator(".picture").inner_text()


def test_small_pictures_fit_on_a_card_and_have_nothing_to_operate(one: Tab, atlas: Any) -> None:
    assert all(show(one, *(drawn(atlas, tool) for tool in ARGS), small=True))
    figures = one.page.locator("figure.small")
    assert figures.count() == len(ARGS)
    for i in range(len(ARGS)):
        assert figures.nth(i).bounding_box()["height"] <= 160
    assert one.page.locator("figure.small :is(button, a, select, [tabindex])").count() == 0
    one.picture("small-pictures")


def test_pictures_fit_and_break_no_rule_of_access(one: Tab, atlas: Any) -> None:
    assert all(show(one, *(drawn(atlas, tool) for tool in ARGS)))
    assert all(show(one, *(drawn(atlas, tool) for tool in ARGS), small=True))
    one.page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    one.looked_at("pictures")


def test_every_instrument_that_has_a_picture_is_one(one: Tab) -> None:
    source = one.page.evaluate("async () => (await fetch('/static/picture-read.js')).text()")
    named = [part.split(":")[0].strip() for part in source.split("READERS = {")[1].split("};")[0].split(",")]
    assert {name for name in named if name} <= set(load_tools())
