"""Instruments: each measures one thing on a subject and knows nothing of planners, memory or reports.

What is exported stands in `__init__.pyi`.
"""

import os

import lazy_loader

# Before transformers is imported by anyone below: nothing here may call home.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
