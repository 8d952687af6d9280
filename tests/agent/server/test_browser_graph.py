"""The explorer of attribution graphs in a real browser: its arithmetic by known answers, then what a person does."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import DESKTOP, PHONE, Tab, tab
from contrast import contrast
from graph_pages import LINKS, Played, graph, graph_run, graph_site
from served import HOSTILE
from vesalius.agent.server.routes_pages import FOLDER
from vesalius.evals.benchmarks._page_graphs import graph_of
from vesalius.tools import AttributionGraphResult, get_tool

INTERVENED = {
    "kl": 0.5,
    "random_kl": [0.1, 0.6],
    "as_strong": 0.5,
    "no_op_change": 0.0,
    "tokens": [
        {
            "token": " Austin",
            "token_id": 9,
            "clean_logit": 1.0,
            "changed_logit": -4.25,
            "clean_probability": 0.5,
            "changed_probability": 0.125,
            "moved": -2.5,
            "random_changes": [-0.25, 0.75],
        }
    ],
}
DESCRIBED = {
    "contexts": [{"text": HOSTILE, "tokens": [HOSTILE], "activations": [3], "peak": 0, "peak_activation": 3.0}],
    "promoted": [{"token": "<b>bold</b>", "weight": 1.0}],
    "suppressed": [],
}


@pytest.fixture
def played() -> Played:
    """Jobs that are played."""
    return Played()


@pytest.fixture
def opened(chromium: Any, tmp_path: Path, played: Played) -> Iterator[Callable[..., Tab]]:
    """Opens the page of a graph; at the end no tab may have had an error."""
    tabs: list[Tab] = []
    runs: dict[int, str] = {}
    with graph_site(tmp_path, played) as site:

        def open_one(
            shown: AttributionGraphResult, viewport: dict[str, int] = DESKTOP, dark: bool = False, query: str = ""
        ) -> Tab:
            if id(shown) not in runs:
                folder, (name,) = graph_run(tmp_path, shown)
                runs[id(shown)] = f"/runs/{folder.name}/graphs/{name}"
            one = Tab(chromium, site, viewport, dark)
            tabs.append(one)
            one.open(runs[id(shown)] + query)
            one.page.locator("#nodes tbody tr").first.wait_for()
            return one

        yield open_one
    for one in tabs:
        one.close()


@pytest.fixture(scope="module")
def modules(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Calls a function with the modules of the explorer and an argument."""
    with graph_site(tmp_path_factory.mktemp("modules"), Played()) as site, tab(chromium, site) as one:
        page = one.open("/")
        one.errors.clear()  # the list of runs is not served here

        def call(body: str, given: Any = None) -> Any:
            names = ("model", "layout", "groups", "intervene")
            imports = ", ".join(f'import("/static/graph-{name}.js")' for name in names)
            return page.evaluate(
                f"async (given) => {{ const [model, layout, groups, intervene] = await Promise.all([{imports}]); "
                f"return ({body})(given); }}",
                given,
            )

        yield call
        one.errors.clear()


def data_of(shown: AttributionGraphResult) -> dict[str, Any]:
    """As the server sends it."""
    nodes = [node.model_dump(mode="json") for node in shown.nodes]
    places = {node["id"]: place for place, node in enumerate(nodes)}
    links = sorted(shown.links, key=lambda link: -abs(link.weight))
    return {
        "nodes": nodes,
        "sources": [places[link.source] for link in links],
        "targets": [places[link.target] for link in links],
        "weights": [link.weight for link in links],
        "prompt": shown.prompt,
        "answers": [],
        "foil": "",
        "dictionary": "transcoders",
        "force_dictionary": False,
    }


def everywhere(n: int, n_tokens: int, n_layers: int, one_cell: bool = False) -> dict[str, Any]:
    """Nodes at random places, every tenth with a long id; or all of them at one."""
    shown = graph_of(max(n, n_tokens + 2), 1, n_tokens, n_layers, seed=n)
    data = data_of(shown)
    if one_cell:
        for node in data["nodes"]:
            node |= {"layer": 3, "position": 0}
    return data


LAID = """({data, groups, closed, aspect}) => {
  const made = model.itemsOf(data, groups, new Set(closed)), shown = made.items.map((_, i) => i);
  const laid = layout.layout(made.items, shown, aspect);
  return {...laid, items: made.items};
}"""


def overlaps(boxes: np.ndarray) -> int:
    """Pairs of boxes [left, top, width, height] that share more than an edge (count)."""
    left, top = boxes[:, 0], boxes[:, 1]
    right, bottom = left + boxes[:, 2] - 1e-6, top + boxes[:, 3] - 1e-6
    across = (left[:, None] < right[None]) & (left[None] < right[:, None])
    along = (top[:, None] < bottom[None]) & (top[None] < bottom[:, None])
    return int((across & along).sum() - len(boxes)) // 2


@pytest.mark.parametrize(
    ("n", "n_tokens", "n_layers", "one_cell"),
    [
        (28, 9, 4, False),
        (600, 20, 18, False),
        (2000, 40, 26, False),
        (2000, 200, 26, False),
        (2000, 1, 26, False),
        (1000, 5, 3, False),
        (2000, 5, 3, True),
        (3, 1, 1, False),
    ],
)
@pytest.mark.parametrize(("n_groups", "aspect"), [(0, 0), (12, 3)])
def test_no_two_nodes_touch_and_tokens_lie_along_x_and_layers_along_y(
    modules, n, n_tokens, n_layers, one_cell, n_groups, aspect
):
    data = everywhere(n, n_tokens, n_layers, one_cell)
    free = [node["id"] for node in data["nodes"] if node["kind"] != "token"]
    groups = [{"name": f"group {i}" * (1 + i), "members": free[i :: 4 * n_groups]} for i in range(n_groups)]
    groups = [group for group in groups if group["members"]]
    closed = [group["name"] for group in groups[::2]]
    laid = modules(LAID, {"data": data, "groups": groups, "closed": closed, "aspect": aspect})
    items, boxes = laid["items"], np.array(laid["boxes"])
    assert overlaps(boxes) == 0
    assert len(items) == len(data["nodes"]) - sum(len(g["members"]) - 1 for g in groups if g["name"] in closed)
    for frame in laid["frames"]:
        x, y, w, h = frame["box"]
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        inside = (
            (centres[:, 0] > x) & (centres[:, 0] < x + w) & (centres[:, 1] > y) & (centres[:, 1] < y + h)
        ).nonzero()[0]
        assert len(inside) > 0
        assert {items[i]["group"] for i in inside} == {frame["name"]}
        assert (boxes[inside, :2] >= [x, y + 17]).all()  # below its name
        assert (boxes[inside, :2] + boxes[inside, 2:] <= [x + w + 1e-6, y + h + 1e-6]).all()
    assert overlaps(np.array([frame["box"] for frame in laid["frames"]] or np.zeros((0, 4)))) == 0
    assert boxes.min() >= 0
    assert (boxes[:, :2] + boxes[:, 2:] <= [laid["width"], laid["height"]]).all()
    for i, a in enumerate(items[:50]):
        for j, b in enumerate(items):
            if a["position"] < b["position"]:
                assert boxes[i, 0] + boxes[i, 2] <= boxes[j, 0] + 1e-6
            if a["layer"] < b["layer"]:
                assert boxes[j, 1] + boxes[j, 3] <= boxes[i, 1] + 1e-6


def test_links_of_a_closed_group_are_the_sums_of_its_nodes_links(modules):
    groups = [{"name": "Texas", "members": ["0/1@1", "0/2@1"]}]
    body = """({data, groups}) => {
      const made = model.itemsOf(data, groups, new Set(["Texas"])), links = model.linksOf(data, made);
      return links.map(({source, target, weight, n}) => [made.items[source].key, made.items[target].key, weight, n]);
    }"""
    found = {(s, t): (w, n) for s, t, w, n in modules(body, {"data": data_of(graph()), "groups": groups})}
    assert found["group:Texas", "1/5@2"] == (1.5, 2)
    assert found["token@1", "group:Texas"] == (3.0, 2)
    assert found["group:Texas", "logit.8@2"] == (0.5, 1)
    assert len(found) == len(LINKS) - 2
    weights = [abs(weight) for weight, _ in found.values()]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize(
    ("way", "most", "left"),
    [
        ("all", 99, {"token@0", "token@1", "token@2", "0/1@1", "0/2@1", "1/5@2", "1/6@2", "error.0@2"}),
        ("to", 99, {"token@1", "0/1@1", "0/2@1", "error.0@2", "1/5@2"}),
        ("from", 99, {"1/5@2", "logit.9@2"}),
        ("both", 99, {"token@1", "0/1@1", "0/2@1", "error.0@2", "1/5@2", "logit.9@2"}),
        ("to", 2, {"0/1@1", "1/5@2"}),
    ],
)
def test_what_leads_to_the_pinned_and_what_comes_from_it(modules, way, most, left):
    body = """({data, view}) => {
      const scene = model.sceneOf(data, {...view, closed: new Set()});
      return [scene.shown.map((i) => scene.items[i].key), scene.links.length];
    }"""
    view = {"groups": [], "most": most, "way": way, "pins": ["1/5@2"], "search": ""}
    shown, n_links = modules(body, {"data": data_of(graph()), "view": view})
    assert set(shown) - ({"logit.8@2", "logit.9@2"} if way == "all" else set()) == left
    assert n_links == {"all": 8, "to": 5 if most > 5 else 1, "from": 1, "both": 6}[way]


def test_a_search_looks_in_labels_tokens_ids_and_names_and_wants_every_word(modules):
    body = """({data, search}) => {
      const groups = [{name: "Lone Star", members: ["0/1@1"]}], closed = new Set(["Lone Star"]);
      const view = {groups, closed, most: 99, way: "all", pins: [], search};
      const scene = model.sceneOf(data, view, (node) => node.id === "1/6@2" ? "named by probes" : "");
      return [...scene.found ?? ["all"]].map((i) => scene.items[i]?.key ?? i);
    }"""
    found = {
        search: modules(body, {"data": data_of(graph()), "search": search})
        for search in ("lone", "0/2@1", "TEXAS feature", "probes", "nowhere", " ")
    }
    assert found["lone"] == ["group:Lone Star"]
    assert found["0/2@1"] == ["0/2@1"]
    assert set(found["TEXAS feature"]) == {"group:Lone Star", "0/2@1"}
    assert found["probes"] == ["1/6@2"]
    assert found["nowhere"] == []
    assert found[" "] == ["all"]


def test_what_the_links_predict_of_an_intervention(modules):
    body = """({data, ids, mode, value}) => {
      const logit = data.nodes.find((node) => node.id === "logit.9@2");
      return intervene.byLinks(data, ids, mode, value, logit);
    }"""
    data = data_of(graph())  # 1/5 has activation 2 and leads to the answer by 2.5
    given = {"data": data, "ids": ["1/5@2"]}
    assert modules(body, given | {"mode": "ablate", "value": 0}) == {"sum": -2.5, "n": 1}
    assert modules(body, given | {"mode": "scale", "value": 3}) == {"sum": 5.0, "n": 1}
    assert modules(body, given | {"mode": "set", "value": 1}) == {"sum": -1.25, "n": 1}
    assert modules(body, given | {"ids": ["0/1@1"], "mode": "ablate", "value": 0}) is None
    asked = modules("({data}) => intervene.argsFor(data, ['1/5@2'], 'ablate', 2, 'frozen')", given)
    assert (asked["attention"], asked["norms"], asked["mlps"]) == ("frozen", "frozen", "frozen")
    assert "value" not in asked
    assert asked["features"] == ["1/5@2"]


def test_groups_change_without_a_node_in_two_of_them(modules):
    groups = [{"name": "a", "members": ["1", "2"]}, {"name": "b", "members": ["3"]}]
    assert modules("(g) => groups.together(g, ['2', '3'], 'a')", groups) == {
        "name": "a",
        "groups": [{"name": "a", "members": ["1", "2", "3"]}],
    }
    fresh = modules("(g) => groups.together(g, ['1', '3'])", [*groups, {"name": "Group 1", "members": ["4"]}])
    assert fresh["name"] == "Group 2"
    assert fresh["groups"] == [
        {"name": "a", "members": ["2"]},
        {"name": "Group 1", "members": ["4"]},
        {"name": "Group 2", "members": ["1", "3"]},
    ]
    assert modules("(g) => groups.without(g, ['3', '1'])", groups) == [{"name": "a", "members": ["2"]}]
    assert modules("(g) => groups.renamed(g, 'a', ' c ')[0].name", groups) == "c"
    assert "called" in modules("(g) => { try { groups.renamed(g, 'a', 'b') } catch (e) { return e.message } }", groups)


def middle(page: Any, key: str) -> tuple[float, float]:
    """Where an item stands on the screen."""
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#canvas").bounding_box()
    x, y = page.evaluate(
        """(key) => {
          const { picture, scene } = document.getElementById("picture").explorer, { camera, layout } = picture;
          const [x, y, w, h] = layout.boxes[scene.items.findIndex((item) => item.key === key)];
          return [(x + w / 2 - camera.x) * camera.k, (y + h / 2 - camera.y) * camera.k];
        }""",
        key,
    )
    return box["x"] + x, box["y"] + y


def pins(page: Any) -> list[str]:
    return page.evaluate("document.getElementById('picture').explorer.view.pins")


def rows(page: Any) -> list[str]:
    """Ids in the table of nodes."""
    page.wait_for_timeout(150)  # the tables follow the picture
    return page.locator("#nodes tbody tr td:nth-child(2)").all_inner_texts()


def drop(page: Any, dragged: str, onto: str) -> None:
    x, y = middle(page, dragged)
    to = middle(page, onto)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 9, y + 9)
    page.mouse.move(*to)
    page.mouse.up()


def test_a_click_pins_what_it_hits_and_shift_adds_and_hover_tells(opened):
    one = opened(graph())
    page = one.page
    page.mouse.move(*middle(page, "0/1@1"))
    page.locator("#tip").wait_for()
    assert "in Texas we trust" in page.locator("#tip").inner_text()
    assert "Austin" in page.locator("#tip").inner_text()
    one.picture("graph-hover")
    page.mouse.click(*middle(page, "0/1@1"))
    assert pins(page) == ["0/1@1"]
    assert page.locator("#detail h2").inner_text() == "feature 0/1@1"
    page.keyboard.down("Shift")
    page.mouse.click(*middle(page, "1/5@2"))
    page.keyboard.up("Shift")
    assert pins(page) == ["0/1@1", "1/5@2"]
    page.mouse.click(*middle(page, "error.0@2"))
    assert pins(page) == ["error.0@2"]
    assert "Only features" in page.locator("#detail").inner_text()


def test_the_table_follows_slider_search_and_choice_of_nodes(opened):
    page = opened(graph()).page
    assert len(rows(page)) == 9  # token@2 has no link
    page.locator("#links").fill("2")
    assert set(rows(page)) == {"0/1@1", "1/5@2", "logit.9@2"}
    assert page.locator("#links-told").inner_text() == "2 of 8"
    page.locator("#links").fill("8")
    page.get_by_label("Search").fill("texas feature")
    assert set(rows(page)) == {"0/1@1", "0/2@1"}
    page.get_by_label("Search").fill("")
    page.locator("#nodes").get_by_role("button", name="1/5@2").click()
    assert "3" in page.locator("#ends tbody").inner_text()
    assert page.locator("#ends tbody tr").count() == 4
    page.locator("#way").select_option("from")
    assert set(rows(page)) == {"1/5@2", "logit.9@2"}


def test_a_keyboard_alone_walks_pins_groups_renames_and_undoes(opened, tmp_path):
    page = opened(graph()).page
    page.locator("#picture").focus()
    page.keyboard.press("ArrowDown")  # the first answer
    page.keyboard.press("ArrowDown")
    assert "feature 1/" in page.locator("#told").inner_text()
    page.keyboard.press("Enter")
    (first,) = pins(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert len(pins(page)) == 2
    page.keyboard.press("g")
    page.locator("#group-name").wait_for()
    page.keyboard.type("Lone Star")
    page.keyboard.press("Enter")
    page.locator("#detail h2", has_text="Lone Star").wait_for()
    (kept,) = tmp_path.rglob("groups-m-*.json")
    assert '"Lone Star"' in kept.read_text()
    assert first in kept.read_text()
    page.locator("#picture").focus()
    page.keyboard.press("o")
    assert "open" in page.locator("#told").inner_text()
    for _ in range(2):
        page.locator("#undo").press("Enter")
        page.wait_for_timeout(200)
    page.locator("#undo:disabled").wait_for()
    assert page.evaluate("document.activeElement.id") == "picture", "the focus is not lost with the button"
    assert "members" not in kept.read_text()
    page.locator("#picture").focus()
    page.keyboard.press("Escape")
    assert pins(page) == []
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"


def test_nodes_dropped_on_one_another_are_a_group_that_a_reload_keeps(opened):
    one = opened(graph())
    page = one.page
    drop(page, "0/1@1", "0/2@1")
    page.locator("#group-name").fill("Texas <b>")
    page.get_by_role("button", name="Rename").click()
    page.locator("#detail h2", has_text="Texas <b>").wait_for()
    drop(page, "1/5@2", "group:Texas <b>")
    page.get_by_role("button", name="Take 1/5@2 out").wait_for()
    one.picture("graph-group")
    page.reload()
    page.locator("#nodes tbody tr").first.wait_for()
    page.mouse.dblclick(*middle(page, "group:Texas <b>"))
    page.wait_for_timeout(200)
    assert page.evaluate("document.getElementById('picture').explorer.view.closed.size") == 0
    one.picture("graph-open-group")
    drop(page, "token@1", "0/1@1")  # tokens cannot be grouped: the ground is dragged instead
    page.wait_for_timeout(200)
    sizes = "document.getElementById('picture').explorer.groups.map((group) => group.members.length)"
    assert page.evaluate(sizes) == [3]


def test_of_two_people_the_second_is_told_and_sees_the_firsts_groups(opened):
    shown = graph()
    ada, bob = opened(shown), opened(shown)
    drop(ada.page, "0/1@1", "0/2@1")
    ada.page.locator("#group-name").wait_for()
    drop(bob.page, "1/5@2", "1/6@2")
    status = bob.page.locator("#status.bad")
    status.wait_for()
    assert "Somebody else changed the groups" in status.inner_text()
    bob.page.locator("#nodes", has_text="Group 1").wait_for()
    bob.errors[:] = [said for said in bob.errors if "409" not in said]  # the browser notes every refusal
    drop(bob.page, "1/5@2", "1/6@2")
    bob.page.locator("#detail h2", has_text="Group 2").wait_for()


def test_a_feature_is_described_by_a_job_when_somebody_asks(opened, played):
    played.results["describe_feature"] = DESCRIBED
    one = opened(graph())
    page = one.page
    page.locator("#nodes").get_by_role("button", name="1/5@2").click()
    page.get_by_role("button", name="Ask where it fires and what it raises").click()
    page.locator("#detail .contexts").wait_for()
    assert played.asked == [
        {
            "model": "none",
            "tool": "describe_feature",
            "args": {"feature": "1/5", "dictionary": "transcoders", "force_dictionary": False},
        }
    ]
    get_tool("describe_feature").parse(played.asked[0]["args"])
    assert "<script>" in page.locator("#detail .contexts").inner_text()
    assert "<b>bold</b>" in page.locator("#detail .tokens").first.inner_text()
    assert page.title().startswith("Graph")
    del played.results["describe_feature"]
    page.locator("#nodes").get_by_role("button", name="0/2@1").click()
    page.get_by_role("button", name="Ask where it fires and what it raises").click()
    page.locator("#detail .bad", has_text="no such feature").wait_for()


def test_an_intervention_shows_predicted_and_measured_beside_random_features_and_the_link(opened, played):
    played.results["intervene_features"] = lambda args: (
        INTERVENED
        if args["mlps"] == "live"
        else INTERVENED
        | {"tokens": [INTERVENED["tokens"][0] | {"changed_logit": -1.0, "random_changes": [0.0, 0.125]}]}
    )
    one = opened(graph())
    page = one.page
    page.locator("#nodes").get_by_role("button", name="1/5@2").click()
    page.get_by_role("button", name="Intervene").click()
    page.locator("#detail table").nth(1).wait_for()
    assert [asked["args"]["mlps"] for asked in played.asked] == ["frozen", "live"]
    effect = page.locator("#detail table").nth(0).locator("tbody td").all_inner_texts()
    assert "-2" in effect[1]
    assert "0 to 0.125" in effect[1]
    assert "-5.25" in effect[2]
    assert "-0.25 to 0.75" in effect[2]
    assert "0.5" in effect[3]
    roads = page.locator("#detail table").nth(1).locator("tbody tr").all_inner_texts()
    assert "-2.5\t-2.5 (1 link)" in roads[0]
    assert "not read" in roads[1]
    assert "no direct link" in roads[1]
    assert "of 2 draws of random features 1" in page.locator("#detail").inner_text()
    one.picture("graph-intervene")
    page.locator("#detail select").select_option("scale")
    page.get_by_label("Factor or activation").fill("3")
    page.get_by_role("button", name="Intervene").click()
    page.locator("#detail", has_text="5 (1 link)").wait_for()
    assert played.asked[-1]["args"]["value"] == 3
    for asked in played.asked:
        get_tool(asked["tool"]).parse(asked["args"])  # what is played here a model would be asked the same way


def test_the_page_fits_and_breaks_no_rule_of_access(opened):
    one = opened(graph())
    page = one.page
    one.looked_at("graph")
    page.locator("#nodes").get_by_role("button", name="0/1@1").click()
    page.wait_for_timeout(150)
    assert page.evaluate("document.activeElement.textContent") == "0/1@1", "the focus is not lost with the old table"
    one.looked_at("graph-pinned")


def test_hostile_text_is_text_on_canvas_and_in_tables_and_breaks_nothing(opened):
    tokens = (HOSTILE, "x" * 10_000, "\u202eevil")
    label = {"label": HOSTILE * 50}
    one = opened(graph(tokens=tokens, nodes={"0/1@1": label}), PHONE)
    page = one.page
    assert page.title().startswith("Graph")
    assert "\u202e" not in page.locator("body").inner_text()
    assert "\\u202e" in page.locator("#nodes").inner_text()
    page.locator("#nodes").get_by_role("button", name="0/1@1").click()
    assert "<script>" in page.locator("#detail h2").inner_text()
    assert one.fits()
    one.picture("graph-hostile")


def test_a_large_graph_has_its_table_in_pages_of_a_hundred_rows(opened):
    one = opened(graph_of(700, 2300, 20, 18, 0), query="?links=all")
    page = one.page
    assert page.locator("#nodes tbody tr").count() == 100
    page.locator("#nodes").get_by_role("button", name="Next").click()
    assert re.fullmatch(r"101 to 200 of \d+", page.locator("#nodes .pager [role=status]").inner_text())
    one.picture("graph-large")


def test_panning_and_zooming_move_the_picture_and_what_a_click_hits(opened):
    page = opened(graph()).page
    x, y = middle(page, "0/1@1")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + 70, box["y"] + 45, steps=3)
    page.mouse.up()
    moved = middle(page, "0/1@1")
    assert moved == pytest.approx((x - 30, y + 30), abs=1)
    page.mouse.move(*moved)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(250)
    assert middle(page, "0/1@1") == pytest.approx(moved, abs=1)  # what is under the mouse stays there
    page.mouse.click(*moved)
    assert pins(page) == ["0/1@1"]
    page.get_by_role("button", name="Fit").click()
    assert middle(page, "0/1@1") == pytest.approx((x, y), abs=2)


def test_a_graph_that_is_not_there_is_told(chromium, tmp_path, played):
    with graph_site(tmp_path, played) as site, tab(chromium, site) as one:
        page = one.open("/runs/none/graphs/m-0123abcd")
        page.locator("#status.bad", has_text="no run").wait_for()
        one.errors.clear()  # the browser notes the refusal


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_on_nodes_and_links_on_the_ground_have_the_contrast_that_wcag_aa_asks_for(scheme):
    of = {}
    for file in ("style.css", "graph.css"):
        roots = re.findall(r":root \{(.*?)\}", (FOLDER / file).read_text(), re.DOTALL)
        of |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[scheme]))
    nodes = [name for name in of if name.startswith("node-")]
    assert len(nodes) == 5
    assert [name for name in [*nodes, "band"] if contrast(of["text"], of[name]) < 4.5] == []
    assert [
        name for name in ("link-up", "link-down") for on in ("card", "band") if contrast(of[name], of[on]) < 3
    ] == []


def test_every_element_that_the_scripts_ask_for_by_name_is_on_the_page():
    asked = set(re.findall(r'\bat\("([\w-]+)"\)', (FOLDER / "graph.js").read_text()))
    there = re.findall(r'id="([\w-]+)"', (FOLDER / "graph.html").read_text())
    assert asked - {"group-name"} | {"keys"} <= set(there)  # that one is made when a group is pinned
    assert len(there) == len(set(there))
