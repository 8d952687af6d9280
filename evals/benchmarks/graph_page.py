"""How fast the page of an attribution graph draws: from data in hand to the picture, and each frame of pan and zoom.

Chromium without a window and without a graphics card draws generated graphs, all of their links shown. A frame of a pan
is the time from one animation frame to the next while the mouse moves; frames at rest, in which the picture is drawn
anew, are among them. Every load is of a fresh page.

`python -m vesalius.evals.benchmarks.graph_page [--json]` prints the figures; `--into FOLDER` also writes the table.
"""

import argparse
import datetime
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...agent.runs import write_whole
from ...tools import Progress, ToolError, silent
from ..metric import Metric
from ._growth_plot import markdown_table
from ._on_a_port import on_a_port
from ._page_graphs import graph_of, run_with
from ._process_cost import machine
from ._results_folder import told

LOADS = 5
MOVES = 40  # of the mouse, and turns of its wheel
WINDOW = {"width": 1280, "height": 900}
DRAWN_WITHIN = 60.0  # seconds
SETTLED = 400  # milliseconds after the last move
COMMAND = "python -m vesalius.evals.benchmarks.graph_page --into OUT_FOLDER"


class Size(NamedTuple):
    """A graph, and what is asked of its page."""

    name: str
    n_nodes: int
    n_links: int
    n_tokens: int
    n_layers: int
    most_start: float  # milliseconds
    most_frame: float  # milliseconds


SIZES = (
    Size("600 nodes, 2,300 links", 600, 2300, 20, 18, 300, 200),
    Size("2,000 nodes, 9,000 links", 2000, 9000, 40, 26, 1000, 1000),
)


class Timed(NamedTuple):
    """Milliseconds of one thing at one size."""

    size: str
    what: str
    times: tuple[float, ...]
    target: float

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.times)

    @property
    def worst(self) -> float:
        """The longest; the target is for this one."""
        return max(self.times)

    @property
    def met(self) -> bool:
        """Whether even the longest is within the target."""
        return self.worst <= self.target


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Start, pan and zoom at both sizes; `seed` draws the graphs. The value is the worst frame (milliseconds)."""
    found: dict[str, Metric] = {}
    for one in timings(seed, progress):
        name = f"{one.size.split()[0].replace(',', '')}_nodes_{one.what.replace(' ', '_')}_ms"
        found[name] = Metric(
            value=one.worst,
            low=None,
            high=None,
            n=len(one.times),
            least=min(one.times),
            most=one.worst,
            target=f"≤ {one.target:g}",
            met=one.met,
        )
    return found


def timings(seed: int, progress: Progress = silent, sizes: Sequence[Size] = SIZES) -> list[Timed]:
    """Start, pan and zoom at every size.

    Raises:
        ToolError: no Chromium, or no Playwright.
    """
    with tempfile.TemporaryDirectory() as folder, _chromium() as browser:
        home = Path(folder)
        progress(0, 1 + len(sizes), "drawing graphs")
        graphs = [graph_of(size.n_nodes, size.n_links, size.n_tokens, size.n_layers, seed) for size in sizes]
        run, ids = run_with(home, *graphs)
        found: list[Timed] = []
        with _served(home) as site:
            for done, (size, name) in enumerate(zip(sizes, ids, strict=True)):
                progress(1 + done, 1 + len(sizes), size.name)
                found += _timed(browser, f"{site}/runs/{run.name}/graphs/{name}?links=all", size)
    return found


def _timed(browser: Any, address: str, size: Size) -> list[Timed]:
    starts = []
    page = None
    for _ in range(LOADS):
        if page is not None:
            page.close()
        page = browser.new_page(viewport=WINDOW)
        page.goto(address)
        starts.append(_start(page))
    assert page is not None
    page.wait_for_timeout(SETTLED)
    page.evaluate(_WATCH)
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + 0.7 * box["width"], box["y"] + 12  # above the first row of nodes is ground to drag by
    return [
        Timed(size.name, "start", tuple(starts), size.most_start),
        Timed(size.name, "pan frame", _panned(page, x, y), size.most_frame),
        Timed(size.name, "zoom frame", _zoomed(page, x, box["y"] + box["height"] / 2), size.most_frame),
    ]


def _start(page: Any) -> float:
    deadline = time.monotonic() + DRAWN_WITHIN
    while not page.evaluate("performance.getEntriesByName('graph-frame').length"):  # the page forbids polls by text
        if time.monotonic() > deadline:
            said = page.locator("#status").inner_text()
            raise ToolError(f"The page drew nothing within {DRAWN_WITHIN:g} s.", mend=f"It says: {said or 'nothing'}")
        page.wait_for_timeout(20)
    return float(page.evaluate(_START))


def _panned(page: Any, x: float, y: float) -> tuple[float, ...]:
    before = page.locator("#canvas").screenshot()
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("watched.times = []")
    for move in range(MOVES):
        page.mouse.move(x - 7 * move, y + 4 * move)
    page.wait_for_timeout(SETTLED)
    page.mouse.up()
    times = _times(page)
    assert page.locator("#canvas").screenshot() != before, "the picture was not panned"
    return times


def _zoomed(page: Any, x: float, y: float) -> tuple[float, ...]:
    page.mouse.move(x, y)
    page.evaluate("watched.times = []")
    for turn in range(MOVES):
        page.mouse.wheel(0, -60 if turn < 0.7 * MOVES else 90)
    page.wait_for_timeout(SETTLED)
    return _times(page)


def _times(page: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in page.evaluate("watched.times"))  # whole numbers come as such


_START = (
    "performance.getEntriesByName('graph-frame')[0].startTime - performance.getEntriesByName('graph-data')[0].startTime"
)
# A frame counts from a move, or from the drawing at rest, to the one after it: what is drawn in a frame is painted
# before the next one begins.
_WATCH = """() => {
  const canvas = document.getElementById("canvas"), watched = window.watched = { times: [] };
  let since = 0, until = 0;
  const hear = () => { until = performance.now() + 350; };
  canvas.addEventListener("pointermove", hear);
  canvas.addEventListener("wheel", hear);
  const tick = (now) => {
    if (since && now < until) watched.times.push(now - since);
    since = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""


@contextmanager
def _chromium() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise ToolError("There is no Playwright to drive a browser.", mend="Run: pip install playwright") from error
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise ToolError("There is no Chromium to draw with.", mend="Install it: apt-get install chromium")
    with sync_playwright() as running:
        # The sandbox needs rights that a container rarely has; the only page that is opened is our own.
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _served(home: Path) -> Iterator[str]:
    """The pages of a home, on a port of this machine, for as long as the block lasts."""
    from fastapi import FastAPI

    from ...agent.server.access import access_for
    from ...agent.server.guard import Guard
    from ...agent.server.routes_graphs import graph_routes
    from ...agent.server.routes_pages import page_routes
    from ...agent.server.shelf import Shelf

    access, app = access_for("127.0.0.1"), FastAPI()
    app.include_router(page_routes(access))
    app.include_router(graph_routes(Shelf(home)))
    app.add_middleware(Guard, access=access)
    with on_a_port(app) as site:
        yield site


def table(found: Sequence[Timed]) -> str:
    """The figures in Markdown, with the machine and the day they are from."""
    heads = ("graph", "what", "median ms", "worst ms", "frames", "target ms", "met")
    rows = [
        (
            one.size,
            one.what,
            f"{one.median:.0f}",
            f"{one.worst:.0f}",
            str(len(one.times)),
            f"≤ {one.target:g}",
            "yes" if one.met else "no",
        )
        for one in found
    ]
    return f"""# How fast the page of an attribution graph draws

Measured {datetime.date.today()} on {machine()}, Chromium without a window or a graphics card, window \
{WINDOW["width"]} × {WINDOW["height"]}, by `{COMMAND}`.

Start: from data in hand to the frame after the first complete picture. The target is for the worst frame.

{markdown_table(heads, rows)}"""


def main(argv: list[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog=COMMAND.rpartition(" --")[0], description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--into", type=Path, metavar="OUT_FOLDER", help="also write the table here")
    parser.add_argument("--seed", type=int, default=0, help="draws the graphs")
    given = parser.parse_args(argv)
    try:
        found = timings(given.seed, told)
    except ToolError as error:
        parser.error(str(error))
    if given.into is not None:
        write_whole(given.into / "graph_page.md", table(found))
    plain = [one._asdict() | {"median": one.median, "worst": one.worst, "met": one.met} for one in found]
    sys.stdout.write(f"{json.dumps(plain, indent=1)}\n" if given.json else table(found))


if __name__ == "__main__":
    main()
