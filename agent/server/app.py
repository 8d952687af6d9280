"""The application on one page: what is served, and what stands before it."""

from importlib.metadata import version

from fastapi import FastAPI

from ..settings import Settings
from .access import Access
from .chats import Chats
from .guard import Guard
from .listing import Listing
from .orders import ChatSettings
from .pool import Pool
from .problems import Problem, tell_problems
from .routes_audits import audit_routes
from .routes_chats import asking_routes
from .routes_compare import comparing_routes
from .routes_graphs import graph_routes
from .routes_pages import page_routes
from .routes_reviews import reviewing_routes
from .routes_runs import reading_routes
from .routes_tools import tool_routes
from .routes_work import working_routes
from .shelf import Shelf

ABOUT = """Questions to Vesalius, its runs, their reports, and who decided what about them.

Errors are `{"error", "mend"}`. Every change (POST) takes the header `x-vesalius-csrf` with `csrf` of GET /api/session;
a server that asks for a token takes `Authorization: Bearer …`."""


def make_app(settings: Settings, access: Access, pool: Pool) -> FastAPI:
    """The server of a home.

    Args:
        settings: its home, the model and the planner of questions that say no other.
        access: what requests are held against.
        pool: the workers.
    """
    home = settings.home
    shelf, listing = Shelf(home), Listing(home)
    default = ChatSettings(
        model=settings.model,
        planner=settings.planner,
        approve=settings.approve,
        budget=settings.budget,
        seed=settings.seed,
    )
    chats = Chats(home, pool, default)
    # Without the pages of documentation that come with it: they load scripts from another host.
    app = FastAPI(
        title="Vesalius",
        description=ABOUT,
        version=version("vesalius"),
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        responses={"4XX": {"model": Problem}},
    )
    app.include_router(page_routes(access))
    app.include_router(reading_routes(shelf, listing))
    app.include_router(comparing_routes(shelf))
    app.include_router(graph_routes(shelf))
    app.include_router(reviewing_routes(shelf))
    app.include_router(audit_routes(home))
    app.include_router(tool_routes())
    app.include_router(working_routes(shelf, listing, pool, settings.model))
    app.include_router(asking_routes(chats, pool, settings, default))
    tell_problems(app, home)
    app.add_middleware(Guard, access=access)
    return app
