"""What a call costs its process: processor seconds, wall seconds, and memory above what was held before.

Both sides of a comparison load this one file, so that both are weighed on the same scale. It therefore imports the
standard library alone: one of the sides runs in an environment where this package does not stand.

Memory is the kernel's own peak of resident pages (`VmHWM`), set back before the call: a ruler that looks now and then
can miss a short peak, and `ru_maxrss` cannot be set back, so that loading a model would hide what comes after it.
"""

import ctypes
import gc
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PROCESSORS = Path("/proc/cpuinfo")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Timing:
    """How long a call took."""

    cpu_s: float  # all threads of the process together
    wall_s: float


def timed(call: Callable[[], T]) -> tuple[T, Timing]:
    """Run it once. Rubbish of earlier calls is collected before the clock starts."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, Timing(time.process_time() - cpu, time.perf_counter() - wall)


def peak_of(call: Callable[[], T]) -> tuple[T, int]:
    """Run it once: its result, and the most bytes that the process held above what it held before (result included).

    Time no call that runs this way: the pages handed back first have to be asked for again.

    Raises:
        OSError: the kernel offers no peak that can be set back; only Linux does.
    """
    gc.collect()
    # Pages that the allocator keeps after earlier work would be used again without being seen.
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")
    before = _resident("VmRSS")
    result = call()
    return result, max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def machine() -> str:
    """The processor by name, where the system tells, and how many there are."""
    told = PROCESSORS.read_text() if PROCESSORS.is_file() else ""
    named = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    return f"{named[1] if named else platform.processor() or platform.machine()} ({os.cpu_count()} processors)"
