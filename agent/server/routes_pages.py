"""The pages: fixed files, into which the browser puts what the interface tells, as text."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Path as InPath
from fastapi.responses import Response
from pydantic import Field

from ...tools import Frozen
from .access import Access
from .problems import NotHere

FOLDER = Path(__file__).parent / "static"
# By hand: what a system makes of an ending differs, and browsers run no module under another type.
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Session(Frozen):
    """What a page needs before it may change anything."""

    csrf: str = Field(description="To be sent as `x-vesalius-csrf` with every change.")
    version: str = Field(description="Of this program.")


def page_routes(access: Access) -> APIRouter:
    """Pages, what they load, and what they need to know of the server."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    def runs() -> Response:
        return _file("runs.html")

    @router.get("/ask", include_in_schema=False)
    def ask() -> Response:
        return _file("ask.html")

    @router.get("/chats/{name}", include_in_schema=False)
    def chat(name: str) -> Response:
        return _file("ask.html")  # says itself where there is no such chat

    @router.get("/runs/{name}", include_in_schema=False)
    def review(name: str) -> Response:
        return _file("review.html")  # says itself where there is no such run

    @router.get("/runs/{name}/graphs/{measurement}", include_in_schema=False)
    def graph(name: str, measurement: str) -> Response:
        return _file("graph.html")  # says itself where there is no such graph

    @router.get("/compare", include_in_schema=False)
    def compare() -> Response:
        return _file("compare.html")  # says itself where one of the runs is not there

    @router.get("/audits", include_in_schema=False)
    def audits() -> Response:
        return _file("audits.html")

    @router.get("/audits/{name}", include_in_schema=False)
    def audit(name: str) -> Response:
        return _file("audits.html")  # says itself where there is no such audit

    @router.get("/look", include_in_schema=False)
    def look() -> Response:
        return _file("look.html")

    @router.get("/static/{file}", include_in_schema=False)
    def asset(file: Annotated[str, InPath(max_length=60)]) -> Response:
        return _file(file)

    @router.get("/api/session", tags=["session"])
    def session() -> Session:
        """What changes need to bring."""
        return Session(csrf=access.csrf, version=version("vesalius"))

    return router


def _file(name: str) -> Response:
    known = {path.name: path for path in FOLDER.iterdir() if path.suffix in TYPES}
    if name not in known:
        raise NotHere(f"There is no page {name!r}.", mend="Begin at `/`.")
    path = known[name]
    headers = {"cache-control": "no-cache"}
    return Response(path.read_bytes(), media_type=f"{TYPES[path.suffix]}; charset=utf-8", headers=headers)
