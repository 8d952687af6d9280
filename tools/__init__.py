"""Instruments: each measures one thing on a subject and knows nothing of planners, memory or reports."""

from ._base import (
    NO_GAP,
    Frozen,
    Measurement,
    Progress,
    SubjectKey,
    Tool,
    ToolArgs,
    ToolError,
    ToolResult,
    canonical,
    digest,
    get_tool,
    load_tools,
    measurement_id,
    silent,
    tool,
)
from ._tasks import Row, TaskFamily, Template

__all__ = [
    "NO_GAP",
    "Frozen",
    "Measurement",
    "Progress",
    "Row",
    "SubjectKey",
    "TaskFamily",
    "Template",
    "Tool",
    "ToolArgs",
    "ToolError",
    "ToolResult",
    "canonical",
    "digest",
    "get_tool",
    "load_tools",
    "measurement_id",
    "silent",
    "tool",
]
