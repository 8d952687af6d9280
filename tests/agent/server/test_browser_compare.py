"""Two runs compared, and runs found by meaning, in a real browser."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from browsing import PHONE, tab
from served import HOSTILE
from vesalius.memory import HashingEmbedder


@pytest.fixture
def other(home: Path) -> str:
    """A later run in which one claim is weaker, one is another, and a measurement came out otherwise."""
    folder = home / "runs" / "later"
    shutil.copytree(home / "runs" / "done", folder)
    report = json.loads((folder / "report.json").read_text())
    report["claims"][0]["judgement"].update(effect=0.42, low=0.31, high=0.53, tier="causal")
    for arm in report["claims"][1]["prediction"]["arms"]:
        arm["args"]["sites"] = ["head.3.3"]
    report["measurements"][2]["measurement"]["result"]["gap"] *= 2
    report |= {"question": "Where is the capital of a state looked up?", "seed": 4}
    (folder / "report.json").write_text(json.dumps(report))
    return folder.name


@pytest.fixture
def spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedder that every machine has, and which is ready at once."""
    monkeypatch.setattr("vesalius.agent.server.meaning.default_embedder", HashingEmbedder)


def test_two_ticked_runs_are_compared_by_keyboard_alone(chromium: Any, site: str, other: str, hostile: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/")
        page.locator("[data-run=done]").focus()
        page.keyboard.press("Space")
        assert "One run is ticked" in page.locator("#comparing").inner_text()
        assert page.locator("#compare").count() == 0
        page.locator(f"[data-run={other}]").focus()
        page.keyboard.press("Space")
        assert page.locator("[data-run=hostile]").is_disabled(), "no third run"
        page.locator("#compare").focus()
        page.keyboard.press("Enter")
        page.locator("#claims .claim").first.wait_for()
        assert "a=done" in page.url
        assert f"b={other}" in page.url
        text = page.locator("#claims").inner_text()
        assert "The effect is weaker in B" in text
        assert "one piece of evidence, not two" in text
        assert "Not claimed in A." in text
        assert "1 value differs" in page.locator("#measured").inner_text()
        assert "Same digest: 7" in page.locator("#measured-same").inner_text()
        page.locator("summary", has_text="Look at it in each run").first.focus()
        page.keyboard.press("Enter")
        page.locator("#measured [data-measurement]").first.click()
        page.locator("#measured .shown").first.wait_for()
        page.get_by_role("link", name="Swap A and B").click()
        page.locator("#claims .claim").first.wait_for()
        assert "The effect is stronger in B" in page.locator("#claims").inner_text()


def test_a_ticked_run_stays_ticked_while_others_are_listed(chromium: Any, site: str, other: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/")
        page.locator("[data-run=done]").check()
        page.get_by_label("Search", exact=True).fill("capital of a state")
        page.locator("[data-run=done]").wait_for(state="detached")
        page.locator(f"[data-run={other}]").check()
        page.locator("#compare").click()
        page.locator("#claims .claim").first.wait_for()
        assert f"b={other}" in page.url


def test_from_the_review_page_the_other_run_is_chosen(chromium: Any, site: str, other: str, hostile: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/runs/done")
        page.get_by_role("link", name="Compare with…").click()
        page.locator("#found a.title").first.wait_for()
        assert page.locator("#found a.title").count() == 2, "not the run itself"
        assert "Where is the behaviour" in page.locator("#chosen").inner_text()
        one.picture("compare-choosing")
        assert one.serious() == []
        page.get_by_label("Search").fill("capital")
        page.locator("#found li").nth(1).wait_for(state="detached")
        page.locator("#found a.title").click()
        page.locator("#claims .claim").first.wait_for()
        assert "a=done" in page.url


def test_hostile_text_is_shown_as_text(chromium: Any, site: str, hostile: str) -> None:
    with tab(chromium, site, PHONE) as one:
        page = one.open(f"/compare?a=done&b={hostile}")
        page.locator("#claims .claim").first.wait_for()
        assert "Compare" not in page.title()
        assert "owned" not in page.title()
        assert "<script>document.title" in page.locator("#chosen").inner_text()
        assert page.locator("#compared script, #chosen script").count() == 0
        assert one.fits()
        one.picture("compare-hostile")


def test_a_run_that_is_not_there_is_said_with_a_way_on(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/compare?a=done&b=nowhere")
        page.get_by_text("There is no run 'nowhere'").wait_for()
        assert page.get_by_role("link", name="Choose another run").count() == 1
        one.errors.clear()  # the browser notes the refusal


def test_the_comparison_fits_and_breaks_no_rule_of_access(chromium: Any, site: str, other: str) -> None:
    with tab(chromium, site) as one:
        page = one.open(f"/compare?a=done&b={other}")
        page.locator("#claims .claim").first.wait_for()
        one.looked_at("compare")


@pytest.mark.usefixtures("spelling")
def test_a_search_by_meaning_is_told_and_kept_in_the_address(chromium: Any, site: str, other: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/?by=meaning&text=states+and+their+capitals")
        page.locator(".near").nth(1).wait_for()
        assert page.locator("#found a.title").first.inner_text() == "Where is the capital of a state looked up?"
        assert "not meaning" in page.locator("#reading").inner_text()
        assert "nearest first" in page.locator("#status").inner_text()
        page.locator(f"[data-run={other}]").check()
        page.locator("[data-run=done]").check()
        one.looked_at("meaning")
        page.get_by_label("Search by").select_option("words")
        page.get_by_text("None of 2 runs").wait_for()
        assert "by=" not in page.url


def test_a_hostile_line_that_is_nearest_is_text(chromium: Any, site: str, hostile: str, spelling: None) -> None:
    with tab(chromium, site) as one:
        page = one.open("/")
        page.get_by_label("Search by").select_option("meaning")
        page.get_by_label("Search", exact=True).fill(HOSTILE)
        page.locator(".near").first.wait_for()
        assert "<script>" in page.locator(".near q").first.inner_text()
        assert page.locator("#found script").count() == 0
