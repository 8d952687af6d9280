"""How many workers fit: no more than there are cores, nor than memory holds of the largest model."""

import os
from collections.abc import Iterable
from pathlib import Path

from ...tools import REFERENCE_FOLDER, cached_folder, reference_models

OF_ITSELF = 1e9  # bytes of a worker without its model: libraries, and what a run keeps; on `atlas` it peaks at 0.6 GB
OF_WEIGHTS = 2.0  # times the files: the weights, and the twin that controls are measured on
MEMORY = Path("/proc/meminfo")


def most_workers(models: Iterable[str]) -> int:
    """Workers that fit at a time (count), at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = _free()
    if free is None:
        return cores
    return max(1, min(cores, int(free // room_of(models))))


def room_of(models: Iterable[str]) -> float:
    """Memory that a worker takes of the largest of these models (bytes)."""
    return OF_ITSELF + OF_WEIGHTS * max((_size(model) for model in models), default=0.0)


def _size(model: str) -> float:
    """Bytes of a model's files; nothing is known of what is still to be fetched."""
    folder: Path | None = REFERENCE_FOLDER / model if model in reference_models() else Path(model)
    if not folder.is_dir():
        folder = cached_folder(model)
    return float(sum(path.stat().st_size for path in folder.glob("*.safetensors"))) if folder else 0.0


def _free() -> float | None:
    """Memory that can be had (bytes); none where the system does not tell."""
    if not MEMORY.is_file():
        return None
    found = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines() if ":" in line)
    return float(found["MemAvailable"].split()[0]) * 1024
