"""Asking in a real browser: cards while it runs, a plan approved, the answer, a follow-up, a reload in the middle."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked import PAIRS, WHERE
from browsing import Tab, on_a_port, tab
from finished_runs import DALLAS
from scripted_endpoint import TWO_GUESSES, serving
from served import pool_of, settings_of
from vesalius.agent.server.access import access_for
from vesalius.agent.server.app import make_app
from vesalius.tools import Subject

SOON = 120_000  # milliseconds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, atlas: Subject) -> Iterator[str]:
    """Address of a server of an empty home that has the reference model and a language model with a script."""
    home = tmp_path_factory.mktemp("asked")
    with serving(*TWO_GUESSES) as played:
        settings = settings_of(home, planner_url=played.url, planner_model="tiny")
        with (
            pool_of(settings, lambda name, device: atlas) as pool,
            on_a_port(make_app(settings, access_for("127.0.0.1"), pool)) as address,
        ):
            yield address


def ask(one: Tab, said: str) -> None:
    one.page.get_by_label("Your question, or a follow-up").fill(said)
    one.page.keyboard.press("Enter")


def answered(one: Tab, kind: str = "investigated") -> Any:
    found = one.page.locator(f'.reply[data-kind="{kind}"]').last
    found.wait_for(timeout=SOON)
    return found


@pytest.fixture(scope="module")
def asked(chromium: Any, site: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a chat in which a question was asked, with pairs from a file, and followed up."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.json"
    file.write_text(json.dumps(PAIRS))
    with tab(chromium, site) as one:
        page = one.open("/ask")
        page.locator("#model option").first.wait_for(state="attached")
        page.set_input_files("#pairs", file)
        page.get_by_text(f"{len(PAIRS)} pairs of pairs.json").wait_for()
        ask(one, WHERE)
        page.locator(".card.finished").first.wait_for(state="attached", timeout=SOON)  # folded up once it is answered
        one.picture("ask-running")
        answered(one)
        page.locator(".answer").first.wait_for()
        ask(one, "how sure are you?")
        assert "From run" in answered(one, "answered").inner_text()
        return page.url.removeprefix(site)


def test_an_answer_stands_in_the_chat_after_a_reload_and_leads_to_its_report(
    chromium: Any, site: str, asked: str
) -> None:
    with tab(chromium, site) as one:
        page = one.open(asked)
        page.get_by_role("link", name="Open and review the report").click()
        page.locator("h1", has_text=WHERE).wait_for()


def test_a_plan_is_approved_in_the_page_with_the_keyboard(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/ask")
        page.locator("#model option").first.wait_for(state="attached")
        page.select_option("#planner", "llm")
        page.select_option("#approve", "plan")
        ask(one, DALLAS)
        page.locator("[data-waits=plan]").wait_for(timeout=SOON)
        one.picture("ask-approve")
        assert page.locator("h1").inner_text() == page.locator(".mine").inner_text()
        assert page.locator(".chats [aria-current=page] .first").inner_text().startswith("Why does the model answer")
        assert one.serious() == []
        page.get_by_label("p2").uncheck()
        page.locator("#site-p1").fill("resid_post.9")
        page.locator("[data-decide=seal]").focus()
        page.keyboard.press("Enter")
        page.locator(".approve .notice.bad").wait_for(timeout=SOON)  # there is no such site
        page.locator("#site-p1").fill("resid_post.1")
        page.locator("[data-decide=seal]").click()
        answered(one)
        page.locator(".claims li").first.wait_for()
        assert page.locator(".claims li").count() == 1
        assert "resid_post.1" in page.locator(".claims li").inner_text()
        assert has_focus(page, ".reply"), "of what was sealed with a button that is gone"


def test_a_run_is_stopped_and_gone_on_with(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/ask")
        page.locator("#model option").first.wait_for(state="attached")
        page.select_option("#approve", "each")
        ask(one, DALLAS)
        page.locator("[data-decide=run]").wait_for(timeout=SOON)
        page.get_by_text("Raise the budget").click()
        page.get_by_label("Limits").fill("seconds=1")
        page.get_by_role("button", name="Raise").click()
        page.get_by_text("would lower it").wait_for(timeout=SOON)
        page.reload()  # what happened so far is told again
        page.locator("[data-decide=run]").click(timeout=SOON)
        page.locator(".card.finished .small > *").first.wait_for(timeout=SOON)
        page.locator("[data-decide=run]").wait_for(timeout=SOON)
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Go on with it").wait_for(timeout=SOON)
        assert has_focus(page, ".reply")
        page.get_by_role("button", name="Go on with it").click()
        page.locator("[data-decide=run]").wait_for(timeout=SOON)
        assert page.locator(".turn").last.locator(".card.finished").count() == 1, "what was measured before"
        page.get_by_role("button", name="Stop").click()
        answered(one, "stopped")


def has_focus(page: Any, where: str) -> bool:
    return page.evaluate("(where) => document.activeElement.closest(where) !== null", where)


def test_a_chat_fits_and_breaks_no_rule_of_access(chromium: Any, site: str, asked: str) -> None:
    with tab(chromium, site) as one:
        page = one.open(asked)
        page.locator(".answer").first.wait_for()
        one.looked_at("ask")


AGAIN = """async () => {
    const body = (await fetch(window.last.url)).body.getReader(); // as the browser would after a break: all anew
    const told = new TextDecoder().decode((await body.read()).value);
    body.cancel();
    window.last.dispatchEvent(new Event("open"));
    for (const [, kind, data] of told.matchAll(/event: (.*)\\ndata: (.*)/g))
        window.last.dispatchEvent(new MessageEvent(kind, { data }));
}"""


def test_what_waits_for_a_word_is_shown_again_after_the_connection_broke(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/ask")
        page.evaluate("""() => { window.EventSource = class extends EventSource {
            constructor(at) { super(at); window.last = this; }
        }; }""")
        page.locator("#model option").first.wait_for(state="attached")
        page.select_option("#approve", "each")
        ask(one, DALLAS)
        page.locator("[data-decide=run]").wait_for(timeout=SOON)
        page.evaluate("() => window.last.dispatchEvent(new Event('error'))")
        page.get_by_text("The server does not answer").wait_for()
        page.evaluate(AGAIN)
        assert page.locator("[data-decide=run]").count() == 1
        page.get_by_role("button", name="Stop").click()
        answered(one, "stopped")


def test_enter_pressed_twice_asks_once(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/ask")
        page.locator("#model option").first.wait_for(state="attached")
        page.get_by_label("Your question, or a follow-up").fill("how sure are you?")
        page.evaluate("() => { for (const _ of [1, 2]) document.getElementById('composer').requestSubmit(); }")
        answered(one, "refused")
        page.wait_for_timeout(1000)
        assert page.locator(".turn").count() == 1


def test_a_message_that_cannot_be_sent_says_why_and_stays(chromium: Any, site: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("clean,answer\na,b\n")
    with tab(chromium, site) as one:
        page = one.open("/ask")
        page.locator("#model option").first.wait_for(state="attached")
        page.set_input_files("#pairs", file)
        page.locator("#status.bad").wait_for()
        assert "row 1" in page.locator("#status").inner_text()
        page.fill("#budget", "stars=3")
        ask(one, WHERE)
        page.get_by_text("The budget has 'stars=3'").wait_for()
        assert page.locator("#said").input_value() == WHERE
        one.errors.clear()  # the browser notes each answer that is a refusal
