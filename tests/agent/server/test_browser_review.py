"""Reading and reviewing in a real browser."""

from typing import Any

from browsing import tab


def test_a_rejected_claim_is_rejected_still_after_a_reload(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/runs/done")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Reject c1").click()
        page.locator("#c1 .state .rejected").wait_for()
        page.reload()
        page.locator("#c1 .state .rejected").wait_for()
        assert "Ada rejected c1" in page.locator("#record").inner_text()


def test_a_number_is_measured_again_in_place(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/runs/done")
        page.locator("#evidence [data-measurement]").first.click()
        page.get_by_role("button", name="Measure again").first.focus()
        page.keyboard.press("Enter")
        page.locator("#evidence .badge.reproduced").wait_for()
        assert page.evaluate("document.activeElement.hasAttribute('data-again')"), "the focus is not lost"
        assert "the same to the last bit" in page.locator("#evidence").inner_text()


def test_pages_fit_and_break_no_rule_of_access(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/")
        page.locator("a.title").first.wait_for()
        one.looked_at("runs")
        page.locator("a.title").first.click()
        page.locator(".claim").first.wait_for()
        one.looked_at("review")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.locator("#others-summary ~ ul [data-measurement]").first.click()
        page.locator(".shown").first.wait_for()
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert one.serious() == []


def test_every_page_has_the_same_head(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        heads = set()
        for path in ("/ask", "/", "/audits", "/look", "/compare", "/runs/done", "/runs/done/graphs/m-00000000"):
            page = one.open(path)
            links = page.locator(".top .brand > a, .top .brand nav a")
            heads.add(tuple((link.inner_text(), link.get_attribute("href")) for link in links.all()))
            assert page.locator(".top [aria-current]").count() == 1, path
            assert page.title().endswith(" · Vesalius")
        assert heads == {
            (("Vesalius", "/"), ("Ask", "/ask"), ("Runs", "/"), ("Audits", "/audits"), ("Instruments", "/look"))
        }
        page.locator("#status.bad").wait_for()  # there is no such graph
        assert page.locator("#picture").is_hidden()
        one.errors.clear()  # the browser notes each answer that is a refusal


def test_escape_brings_back_what_a_search_hid_and_keys_go_on(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/runs/done")
        page.locator(".claim").first.wait_for()
        n = page.locator(".claim").count()
        page.keyboard.press("/")
        page.keyboard.type("nothing is like this")
        assert page.locator(".claim:visible").count() == 0
        assert f"0 of {n}" in page.locator("#found-told").inner_text()
        page.keyboard.press("Escape")
        assert page.locator(".claim:visible").count() == n
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == "c2"


def test_an_address_leads_to_its_claim_or_measurement(chromium: Any, site: str) -> None:
    with tab(chromium, site) as one:
        page = one.open("/runs/done#c2")
        page.locator("#c2[aria-current=true]").wait_for()
        assert page.evaluate("document.activeElement.id") == "c2"
        name = page.locator("#others-summary ~ ul [data-measurement]").first.get_attribute("data-measurement")
        page.evaluate("(name) => { location.hash = name; }", name)
        page.locator(f"#evidence [data-again={name}]").wait_for()
        assert page.evaluate("document.activeElement.id") == "evidence"
