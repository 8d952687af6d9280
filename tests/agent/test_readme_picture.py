"""The README's picture is of a real report under review; this test makes it anew, to be looked at and copied."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from browsing import SCREENSHOTS, chromium_running, on_a_port, tab
from finished_runs import Finished
from served import pool_of, settings_of
from vesalius.agent.server.access import access_for
from vesalius.agent.server.app import make_app
from vesalius.tools import Subject

SCROLLED = """() => {
  document.getElementById("c1").scrollIntoView();
  const evidence = document.getElementById("evidence");
  const top = (element) => element.getBoundingClientRect().top;
  evidence.scrollTop += top(evidence.querySelector(".measurements")) - top(evidence) - 40;
}"""


def test_a_real_report_is_reviewed_and_pictured(dallas: Finished, atlas: Subject, tmp_path: Path) -> None:
    """`screenshots/report.png` of this test is `tests/pictures/report.png`."""
    shutil.copytree(dallas.folder.path, tmp_path / "runs" / "dallas")
    settings = settings_of(tmp_path)
    with (
        chromium_running() as browser,
        pool_of(settings, lambda name, device: atlas) as pool,
        on_a_port(make_app(settings, access_for("127.0.0.1"), pool)) as address,
        tab(browser, address, {"width": 1360, "height": 900}) as one,
    ):
        page = one.open("/runs/dallas#c1")
        page.locator("#c1[aria-current=true]").wait_for()
        assert {"96%", "1.01"} <= set(page.locator("#head button.figure").all_inner_texts())
        page.locator("#evidence [data-measurement]").first.click()
        page.locator("#evidence .shown svg").first.wait_for()
        page.evaluate(SCROLLED)
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "report.png")
        assert one.serious() == []
