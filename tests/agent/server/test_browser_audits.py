"""Audits in a real browser: the list, a table, and from a row to its report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_audited import a_cell, a_claim, answered
from browsing import DESKTOP, on_a_port, tab
from served import HOSTILE, pool_of, settings_of
from vesalius.agent.audit.store import Store
from vesalius.agent.server.access import access_for
from vesalius.agent.server.app import make_app


def audit(home: Path, name: str = "nightly") -> None:
    """Three cells of two models: one is supported, one fails with hostile words, one is not done."""
    store = Store(home, name)
    cells = [
        a_cell("good", "base", question="Why is it so?"),
        a_cell("bad", "base", question=HOSTILE, seed=7),
        a_cell("later", "child"),
    ]
    store.keep_cells(cells)
    store.keep_weights("base", "weights")
    store.keep(
        cells[0],
        answered(cells[0], a_claim(q=0.001), a_claim("c2", q=0.049), a_claim("c3", "refuted", 0.9), run="done"),
        9.0,
    )
    store.keep(cells[1], answered(cells[1], unanswerable=HOSTILE, premise=None), 1.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_home: Path) -> Iterator[str]:
    audit(tiny_home)
    settings = settings_of(tiny_home)
    with (
        pool_of(settings, lambda name, device: pytest.fail("nothing is loaded here")) as pool,
        on_a_port(make_app(settings, access_for("127.0.0.1"), pool)) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audited")


def test_an_audit_is_in_the_list_and_its_table_is_searched(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/audits")
        page.get_by_role("link", name="nightly").click()
        page.get_by_text("3 cells: 1 failing, 1 passing, 1 not done.").wait_for()
        rows = page.locator("tbody tr")
        assert [row.locator("th").inner_text() for row in rows.all()] == ["good", "bad", "later"]
        assert rows.nth(0).get_by_text("supported in its investigation alone").count() == 1, "q 0.049 of three"
        page.keyboard.press("/")
        page.keyboard.type("why is it")
        assert [row.locator("th").inner_text() for row in rows.all()] == ["good"]
        page.get_by_label("Search").fill("")
        page.get_by_label("Outcome").select_option("fails")
        assert [row.locator("th").inner_text() for row in rows.all()] == ["bad"]
        assert page.title() == "nightly · Vesalius", "no script of a question has run"
        page.get_by_label("Outcome").select_option("")
        page.get_by_label("Model", exact=False).first.select_option("child")
        assert rows.get_by_text("not done").count() == 1
        assert one.page.get_by_role("link", name="good").count() == 0
        page.get_by_label("Model", exact=False).first.select_option("")
        assert page.get_by_role("link", name="good").get_attribute("href") == "/runs/done"


@pytest.mark.parametrize("path", ["/audits", "/audits/nightly"])
def test_the_pages_fit_and_break_no_rule_of_access(chromium: Any, site: str, path: str) -> None:
    with tab(chromium, site) as one:
        one.open(path).locator("#shown > *").first.wait_for()
        one.looked_at("audits" if path == "/audits" else "audit")


def test_an_audit_that_is_not_there_is_told(chromium: Any, site: str) -> None:
    with tab(chromium, site, DESKTOP) as one:
        one.open("/audits/none").get_by_text("There is no audit").wait_for()
        one.errors.clear()  # the browser notes the refusal
