"""Instruments by hand in a real browser: from a prompt to a picture, and to the command that does the same."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Tab, on_a_port, tab
from served import pool_of, settings_of
from vesalius.agent.server.access import access_for
from vesalius.agent.server.app import make_app
from vesalius.tools import Subject, get_tool

PROMPT = "the capital of the state containing Dallas is"
SLOW = 60_000  # milliseconds
TOOLS = ("attention_patterns", "feature_activations", "logit_lens", "next_token", "steer", "patch_sweep")


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory, atlas: Subject) -> Iterator[str]:
    """Address of a server of an empty home, whose workers have the reference model."""
    home: Path = tmp_path_factory.mktemp("looked")
    settings = settings_of(home, model="atlas")
    with (
        pool_of(settings, lambda name, device: atlas) as pool,
        on_a_port(make_app(settings, access_for("127.0.0.1"), pool)) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def kept(chromium: Any, looking: str) -> Iterator[Tab]:
    with tab(chromium, looking) as opened:
        yield opened


@pytest.fixture
def one(kept: Tab) -> Iterator[Tab]:
    """The page as it opens, in a tab that all tests share."""
    kept.open("/look")
    kept.page.locator("#tool option").first.wait_for(state="attached")
    yield kept
    kept.silent()


def run(one: Tab, tool: str = "") -> Any:
    """Run what is chosen, and give its card."""
    before = one.page.locator("[data-result]").count()
    if tool:
        one.page.get_by_label("Instrument").select_option(tool)
    one.page.get_by_role("button", name="Run").click()
    one.page.locator("[data-result]").nth(before).wait_for(timeout=SLOW)
    return one.page.locator("[data-result]").first


def request(one: Tab) -> Any:
    return json.loads(one.page.locator("#request").input_value())


@pytest.mark.parametrize("tool", TOOLS)
def test_every_instrument_runs_with_what_its_fields_begin_with(one: Tab, tool: str) -> None:
    card = run(one, tool)
    assert card.locator(".picture").count() >= 1
    assert card.locator("[data-cell], .bars").count() + card.locator(".lens").count() >= 1
    assert card.get_attribute("data-result").startswith("m-")


def test_what_is_measured_is_what_the_instrument_itself_measures(one: Tab, atlas: Subject) -> None:
    card = run(one, "next_token")
    tool = get_tool("next_token")
    own = tool.measure(atlas, tool.parse(request(one)))
    assert card.get_attribute("data-result") == own.id
    assert own.digest[:12] in card.inner_text()
    assert card.locator(".bars tbody th").first.inner_text() == "Austin"


def test_the_command_asks_for_the_same_measurement(one: Tab, atlas: Subject) -> None:
    one.page.locator("#prompt").fill("the opposite of hot is")
    card = run(one, "logit_lens")
    words = shlex.split(card.locator("pre").text_content())
    assert words[:5] == ["vesalius", "run", "logit_lens", "--model", "atlas"]
    args = json.loads(words[words.index("--args") + 1])
    tool = get_tool("logit_lens")
    assert tool.measure(atlas, tool.parse(args)).id == card.get_attribute("data-result")
    assert "position" not in args  # as it is by itself


def test_the_request_can_be_edited_and_fields_change_their_own_part_alone(one: Tab) -> None:
    one.page.get_by_label("Instrument").select_option("logit_lens")
    one.page.locator("#whole summary").click()
    assert request(one)["position"] == "last"
    one.page.locator("#request").fill(json.dumps(request(one) | {"position": 3}))
    one.page.get_by_label("Tokens a layer").fill("2")
    assert (request(one)["position"], request(one)["top_k"]) == (3, 2)
    card = run(one)
    assert card.locator(".lens tbody tr").first.locator("td").count() == 2 + 2  # two words are followed
    one.page.locator("#request").fill("{no json")
    one.page.get_by_role("button", name="Run").click()
    one.page.locator("#told .bad").wait_for()
    assert "This is not JSON" in one.page.locator("#told").inner_text()


def test_a_refusal_says_the_mend(one: Tab) -> None:
    one.page.locator("#prompt").fill("the <script>alert(1)</script> of Xyzzy is")
    one.page.get_by_label("Instrument").select_option("next_token")
    one.page.get_by_role("button", name="Run").click()
    one.page.locator("#told .bad").wait_for(timeout=SLOW)
    assert "vocabulary" in one.page.locator("#told").inner_text()
    assert one.page.get_by_role("button", name="Run").is_enabled()
    one.errors.clear()  # the browser itself notes the refused request


def test_an_address_holds_what_was_asked(chromium: Any, looking: str) -> None:
    with tab(chromium, looking) as opened:
        opened.open("/look?tool=next_token&prompt=the+opposite+of+hot+is")
        card = run(opened)
        assert "the opposite of hot is" in card.inner_text()
        assert "tool=next_token" in opened.page.url


def test_all_is_done_by_keyboard_alone(one: Tab) -> None:
    page = one.page
    page.locator("#tool").focus()
    page.keyboard.type("Next")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "prompt"
    for _ in range(4):
        if page.evaluate("document.activeElement.id") == "run":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("[data-result] .bars").wait_for(timeout=SLOW)
    assert page.evaluate("document.activeElement.id") == "results"


def test_the_page_fits_and_breaks_no_rule_of_access(one: Tab) -> None:
    run(one, "attention_patterns")
    run(one, "logit_lens")
    one.page.locator("#whole summary").click()
    one.looked_at("look")
    one.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    one.page.locator(".tree li").first.wait_for()
    assert one.serious() == []


def test_evidence_of_a_run_has_pictures(chromium: Any, site: str) -> None:
    with tab(chromium, site) as opened:
        page = opened.open("/runs/done")
        page.locator("#evidence [data-measurement]").first.click()
        page.locator("#evidence figure.picture").first.wait_for()
        opened.picture("evidence-picture")
