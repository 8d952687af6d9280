"""The application on one page: what is served, and what stands before it."""

from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI

from .access import Access
from .guard import Guard
from .listing import Listing
from .measuring import Remeasuring
from .problems import Problem, tell_problems
from .routes_pages import page_routes
from .routes_reviews import measuring_routes, reviewing_routes
from .routes_runs import reading_routes
from .shelf import Shelf

ABOUT = """Runs of Vesalius, their reports, and who decided what about them.

Errors are `{"error", "mend"}`. Every change (POST) takes the header `x-vesalius-csrf` with `csrf` of GET /api/session;
a server that asks for a token takes `Authorization: Bearer …`."""


def make_app(home: Path, access: Access, remeasuring: Remeasuring) -> FastAPI:
    """The server of a home.

    Args:
        home: folder of runs and memory.
        access: what requests are held against.
        remeasuring: the queue of measurements to be made again.
    """
    shelf = Shelf(home)
    # Without the pages of documentation that come with it: they load scripts from another host.
    app = FastAPI(
        title="Vesalius",
        description=ABOUT,
        version=version("vesalius"),
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": Problem}},
    )
    app.include_router(page_routes(access))
    app.include_router(reading_routes(shelf, Listing(home)))
    app.include_router(reviewing_routes(shelf))
    app.include_router(measuring_routes(shelf, remeasuring))
    tell_problems(app, home)
    app.add_middleware(Guard, access=access)
    return app
