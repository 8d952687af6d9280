"""The pages: nothing of another host, nothing inline, nothing that makes markup of a string."""

import json
import re

import pytest
from contrast import contrast
from vesalius.agent.server.routes_pages import FOLDER, TYPES
from vesalius.agent.settings import Settings

FILES = sorted(path.name for path in FOLDER.iterdir())
PAGES = {
    "/": "runs.html",
    "/ask": "ask.html",
    "/chats/any": "ask.html",
    "/compare": "compare.html",
    "/look": "look.html",
    "/runs/done": "review.html",
    "/runs/done/graphs/m-1234": "graph.html",
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_under_its_type(page, name):
    answer = page.client.get(f"/static/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"].split(";")[0] == TYPES[(FOLDER / name).suffix]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_only_files_that_are_there_and_has_no_script_or_style_of_its_own(page, path):
    text = page.client.get(path).text
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    assert loaded
    for file in loaded:
        assert page.client.get(file).status_code == 200
    assert re.findall(r"<script(?![^>]*src=)", text) == []
    assert re.findall(r"<style| style=| on\w+=", text) == []


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host_and_no_script_makes_markup_of_a_string(name):
    text = (FOLDER / name).read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert re.findall(r"https?://|[\"'(]//", text) == []
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
    assert re.findall(sinks + r"|\beval\b|new Function", text) == []


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_every_module_imports_files_that_are_there_and_names_that_they_export(name):
    for names, file in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', (FOLDER / name).read_text()):
        exported = re.findall(r"export (?:async )?(?:function|class|const|let) (\w+)", (FOLDER / file).read_text())
        assert {one.strip() for one in names.split(",")} <= set(exported)


@pytest.mark.parametrize(
    ("script", "file"),
    [
        ("runs.js", "runs.html"),
        ("review.js", "review.html"),
        ("ask.js", "ask.html"),
        ("look.js", "look.html"),
        ("compare.js", "compare.html"),
        ("audits.js", "audits.html"),
    ],
)
def test_every_element_that_a_script_asks_for_by_name_is_on_its_page(script, file):
    text = (FOLDER / script).read_text()
    asked = re.findall(r'(?:getElementById|\bat)\("([\w-]+)"\)', text) + ["keys"] * ("onKeys" in text)
    there = re.findall(r'id="([\w-]+)"', (FOLDER / file).read_text())
    assert asked
    assert set(asked) <= set(there)
    assert len(there) == len(set(there))


@pytest.mark.parametrize(
    "path", ["/static/..%2fapp.py", "/static/%2e%2e", "/static/none.js", "/static/", "/docs", "/redoc"]
)
def test_nothing_else_is_served(page, path):
    answer = page.client.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "mend"}


def test_who_types_an_address_that_has_no_page_is_shown_where_to_go(page):
    answer = page.client.get("/nowhere", headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-security-policy" in answer.headers
    assert "no page at this address" in answer.text


def test_the_interface_is_described_with_typed_answers(page):
    described = page.get("/openapi.json")
    assert {"/api/runs", "/api/runs/{name}/reviews", "/api/jobs/{handle}"} <= set(described["paths"])
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            status = min(code for code in one["responses"] if code.startswith("2"))
            content = one["responses"][status].get("content", {})
            if "text/event-stream" in content:
                assert path == "/api/jobs/{handle}/events"
                continue
            assert path.endswith("{format}") or "$ref" in content["application/json"]["schema"], (method, path)
    assert "http" not in json.dumps(described["paths"])


def test_no_setting_reaches_a_page(page, monkeypatch):
    monkeypatch.setenv("VESALIUS_PLANNER_KEY", "sk-secret-of-the-planner")
    assert Settings().planner_key.get_secret_value() == "sk-secret-of-the-planner"
    for path in ["/", "/api/session", "/api/runs", "/api/runs/done", "/api/runs/done/shown", "/openapi.json"]:
        assert "sk-secret" not in page.client.get(path).text
    assert set(page.get("/api/session")) == {"csrf", "version"}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_edges_have_the_contrast_that_wcag_aa_asks_for(scheme):
    roots = re.findall(r":root \{(.*?)\}", (FOLDER / "style.css").read_text(), re.DOTALL)
    assert len(roots) == 2
    of = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[scheme]))
    on_page = [(word, back) for word in ("text", "quiet", "accent") for back in ("page", "card", "tier-back")]
    words = [*on_page, ("on-accent", "accent"), ("text", "mark"), ("open", "tier-back")]
    words += [(word, f"{word}-back") for word in ("good", "bad", "open")]
    assert [(a, b, contrast(of[a], of[b])) for a, b in words if contrast(of[a], of[b]) < 4.5] == []
    assert [b for b in ("page", "card") if contrast(of["edge"], of[b]) < 3] == [], "edges of fields"
