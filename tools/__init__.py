"""Instruments: each measures one thing on a subject and knows nothing of planners, memory or reports."""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from ._subject import REFERENCE_FOLDER, Subject, load_subject, reference_models

_NEEDS_TORCH = ("REFERENCE_FOLDER", "Subject", "load_subject", "reference_models")


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used: help and memory do without it."""
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _subject

    return getattr(_subject, name)


__all__ = [
    "NO_GAP",
    "REFERENCE_FOLDER",
    "Frozen",
    "Measurement",
    "Progress",
    "Row",
    "Subject",
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
    "load_subject",
    "load_tools",
    "measurement_id",
    "reference_models",
    "silent",
    "tool",
]
