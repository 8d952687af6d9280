"""A real browser inside a test: Debian's Chromium on a server of this process, with screenshots and a check by axe.

Screenshots go to `screenshots/` of the checkout, which git ignores, so that a person can look at every page.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from vesalius.evals.benchmarks._on_a_port import on_a_port

__all__ = ["DESKTOP", "PHONE", "SCREENSHOTS", "Tab", "chromium_running", "on_a_port", "tab"]

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SERIOUS = ("serious", "critical")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def chromium_running() -> Iterator[Any]:
    """Debian's Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    # The sandbox needs rights that a container rarely has; the only pages that are opened are our own.
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of a browser that notes every error and every request to another host.

    Args:
        browser: as `chromium_running` gives it.
        site: address of the server.
    """

    def __init__(self, browser: Any, site: str, viewport: dict[str, int] = DESKTOP, dark: bool = False) -> None:
        self._context = browser.new_context(
            viewport=viewport, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        self.page = self._context.new_page()
        self.site, self.errors, self.elsewhere = site, list[str](), list[str]()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.site, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def open(self, path: str) -> Any:
        """Go to a page of the server."""
        self.page.goto(self.site + path)
        return self.page

    def picture(self, name: str) -> None:
        """Keep what it looks like, all of the page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")  # or the page's head is drawn in the middle
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def fits(self) -> bool:
        """Whether nothing has to be scrolled sideways to be seen."""
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def serious(self) -> list[str]:
        """What axe-core finds that is serious: rule, and the first element that breaks it."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        before = len(self.errors)
        # Without `resultTypes` axe also names every element that breaks nothing: most of its time on a large page.
        wanted = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
        found = axe.run(self.page, options=wanted).response["violations"]
        # axe tries styles of its own, which the pages' policy stops.
        self.errors[before:] = [said for said in self.errors[before:] if "Content Security Policy" not in said]
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]

    def looked_at(self, name: str) -> None:
        """See the page as it stands on a desktop and a phone, in light and in dark, and keep what each looks like.

        One page that changes is several times as quick as a page for each.

        Raises:
            AssertionError: it has to be scrolled sideways, or axe finds something serious.
        """
        try:
            for width, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    self.page.set_viewport_size(viewport)
                    self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                    self.page.evaluate(TWO_FRAMES)
                    self.picture(f"{name}-{width}-{scheme}")
                    assert self.fits(), f"{name} is too wide: {width}, {scheme}"
                    assert self.serious() == [], f"{name}: {width}, {scheme}"
        finally:
            self.page.set_viewport_size(DESKTOP)
            self.page.emulate_media(color_scheme="light", reduced_motion="reduce")

    def silent(self) -> None:
        """What the page must have been until here; what it said is forgotten, so that the tab can be used again.

        Raises:
            AssertionError: it had an error, or asked another host.
        """
        said = [*self.errors, *self.elsewhere]
        self.errors.clear()
        self.elsewhere.clear()
        assert not said

    def close(self) -> None:
        """Leave the page, which must have been silent."""
        self._context.close()
        self.silent()


@contextmanager
def tab(browser: Any, site: str, viewport: dict[str, int] = DESKTOP, dark: bool = False) -> Iterator[Tab]:
    """A tab for as long as the block lasts."""
    opened = Tab(browser, site, viewport, dark)
    try:
        yield opened
    except BaseException:
        opened._context.close()
        raise
    opened.close()
