"""The instruments: what each measures and what it takes, from the same definitions that the command line has."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from ...tools import Frozen, load_tools


class ToolShown(Frozen):
    """An instrument for who wants to run it."""

    name: str = Field(description="As POST /api/measurements takes it.")
    summary: str = Field(description="What it measures, in one line.")
    description: str = Field(description="The same, and what it refuses.")
    arguments: dict[str, Any] = Field(description="JSON schema of its arguments, with their defaults.")


class ToolsListed(Frozen):
    """Every instrument."""

    tools: tuple[ToolShown, ...] = Field(description="By name.")


def tool_routes() -> APIRouter:
    """What there is to measure with."""
    router = APIRouter(prefix="/api/tools", tags=["work"])

    @router.get("")
    def tools() -> ToolsListed:
        """Every instrument with the schema of its arguments."""
        return ToolsListed(
            tools=tuple(
                ToolShown(
                    name=name,
                    summary=tool.summary,
                    description=tool.description,
                    arguments=tool.args_model.model_json_schema(),
                )
                for name, tool in load_tools().items()
            )
        )

    return router
