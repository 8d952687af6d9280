"""Instruments: each measures one thing on a subject and knows nothing of planners, memory or reports."""

import os
from importlib import import_module
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
from ._positions import differing_positions, token_positions
from ._sites import parse_site
from ._tasks import Row, TaskFamily, Template

# Before transformers is imported by anyone below: nothing here may call home.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if TYPE_CHECKING:
    from ._dictionary import TRANSCODERS, Dictionary, LayerStats, Transcoder
    from ._dictionary_file import dictionary_of, save_dictionary
    from ._dictionary_quality import evaluate_transcoder, splices
    from ._dictionary_training import TranscoderRecipe, train_from_file, train_transcoders
    from ._hooks import Edit
    from ._loading import usable_device
    from ._subject import REFERENCE_FOLDER, Subject, load_subject, reference_models
    from ._threads import one_thread

_NEEDS_TORCH = {
    "_dictionary": ("TRANSCODERS", "Dictionary", "LayerStats", "Transcoder"),
    "_dictionary_file": ("dictionary_of", "save_dictionary"),
    "_dictionary_quality": ("evaluate_transcoder", "splices"),
    "_dictionary_training": ("TranscoderRecipe", "train_from_file", "train_transcoders"),
    "_hooks": ("Edit",),
    "_loading": ("usable_device",),
    "_subject": ("REFERENCE_FOLDER", "Subject", "load_subject", "reference_models"),
    "_threads": ("one_thread",),
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used: help and memory do without it."""
    for module, names in _NEEDS_TORCH.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NO_GAP",
    "REFERENCE_FOLDER",
    "TRANSCODERS",
    "Dictionary",
    "Edit",
    "Frozen",
    "LayerStats",
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
    "Transcoder",
    "TranscoderRecipe",
    "canonical",
    "dictionary_of",
    "differing_positions",
    "digest",
    "evaluate_transcoder",
    "get_tool",
    "load_subject",
    "load_tools",
    "measurement_id",
    "one_thread",
    "parse_site",
    "reference_models",
    "save_dictionary",
    "silent",
    "splices",
    "token_positions",
    "tool",
    "train_from_file",
    "train_transcoders",
    "usable_device",
]
