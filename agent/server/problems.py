"""How the interface says what went wrong: one sentence and its mend, under the same two names as `--json` has."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from ...tools import Frozen, ToolError
from ..failing import SettingError
from ..report._text import visible
from ..report.schema import UnreadableReport
from ..reviews import ReviewError, StaleReview
from ..runs import UnknownRun, UnreadableFile

NOWHERE = Path(__file__).parent / "static" / "nowhere.html"


class Problem(Frozen):
    """What went wrong, and what mends it."""

    error: str = Field(description="What was got, and what is allowed.")
    mend: str = Field(description="What to do; empty where the error says it.")


class NotHere(ToolError):
    """Nothing of that name."""


class TooMany(ToolError):
    """More than is done at a time."""


_STATUS: dict[type[Exception], int] = {
    NotHere: 404,
    UnknownRun: 404,
    StaleReview: 409,
    ReviewError: 422,
    UnreadableFile: 422,
    UnreadableReport: 422,
    TooMany: 429,
    ToolError: 422,
    SettingError: 422,
    OSError: 500,
}


def tell_problems(app: FastAPI, home: Path) -> None:
    """Answer errors that a person can mend with a sentence; anything else is our mistake and keeps its traceback.

    Args:
        app: whose errors they are.
        home: folder of the runs; who reads a page need not know where it lies.
    """

    def told(_: Request, error: Exception) -> JSONResponse:
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        message = getattr(error, "message", "") or str(error)
        return _answer(status, without_home(message, home), without_home(getattr(error, "mend", ""), home))

    def malformed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return _answer(422, f"`{where}`: {first['msg']}.", "See /openapi.json.")

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):
            return Response(NOWHERE.read_bytes(), 404, media_type="text/html; charset=utf-8")  # a person typed it
        return _answer(error.status_code, f"{error.detail}.", "See /openapi.json.")

    for kind in _STATUS:
        app.add_exception_handler(kind, told)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, refused)


def without_home(text: str, home: Path) -> str:
    """Text without the folder that runs lie in."""
    without = text.replace(f"{home}/", "")
    return without.replace(str(home), "HOME") if home.is_absolute() else without


def _answer(status: int, error: str, mend: str) -> JSONResponse:
    return JSONResponse(Problem(error=visible(error), mend=visible(mend)).model_dump(), status)
