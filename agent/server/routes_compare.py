"""Two runs side by side."""

from typing import Annotated

from fastapi import APIRouter, Query

from ...tools import ToolError
from .comparing import Compared, Run, compare
from .shelf import Shelf

RunAsked = Annotated[str, Query(description="Name of a run that has a report.", min_length=1, max_length=100)]


def comparing_routes(shelf: Shelf) -> APIRouter:
    """What is the same in two runs, and what is not."""
    router = APIRouter(prefix="/api/compare", tags=["runs"])

    @router.get("")
    def compared(a: RunAsked, b: RunAsked) -> Compared:
        """Two runs side by side: their heads, their claims, and the measurements that both made."""
        one, other = shelf.run(a), shelf.run(b)
        if one.name == other.name:
            raise ToolError(f"A and B are one run, {one.name}.", mend="Give two runs.")
        return compare(*(Run(run.name, shelf.report(run).report) for run in (one, other)))

    return router
