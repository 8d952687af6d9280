"""Reading and reviewing in a real browser."""

from typing import Any

import pytest
from browsing import DESKTOP, PHONE, tab


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
        page.get_by_role("button", name="Measure again").first.click()
        page.locator("#evidence .badge.reproduced").wait_for()
        assert "the same to the last bit" in page.locator("#evidence").inner_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", ["desktop", "phone"])
@pytest.mark.parametrize("path", ["/", "/runs/done"])
def test_pages_fit_and_break_no_rule_of_access(chromium: Any, site: str, path: str, width: str, dark: bool) -> None:
    with tab(chromium, site, DESKTOP if width == "desktop" else PHONE, dark) as one:
        page = one.open(path)
        page.locator("a.title, .claim").first.wait_for()
        one.picture(f"{'review' if path != '/' else 'runs'}-{width}-{'dark' if dark else 'light'}")
        assert one.serious() == []
        assert one.fits()
