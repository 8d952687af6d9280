"""The scoreboard: benchmarks of this system itself, found by name in `benchmarks/`, one file each."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..tools import Progress, ToolError, silent
from .metric import Metric

BENCHMARKS = Path(__file__).parent / "benchmarks"


def benchmarks() -> dict[str, str]:
    """Every benchmark with what it measures."""
    return {name: _summary(name) for name in _names()}


def run(name: str, seed: int, progress: Progress = silent, full: bool = False) -> dict[str, dict[str, Any]]:
    """Run one benchmark: metric → value, low, high, n, target, met.

    Args:
        full: the long form, of a benchmark that has a quick one too.

    Raises:
        ToolError: no such benchmark, or it has one form only.
    """
    known, name = _names(), name.replace("-", "_")
    if name not in known:
        raise ToolError(f"There is no benchmark `{name}`.", mend=f"Benchmarks: {', '.join(known)}.")
    measure: Callable[..., dict[str, Metric]] = _module(name).measure
    two_forms = "full" in inspect.signature(measure).parameters
    if full and not two_forms:
        raise ToolError(f"Benchmark `{name}` has one form only.", mend="Leave --full out.")
    found = measure(seed, progress, **({"full": full} if two_forms else {}))
    return {metric: one.model_dump(mode="json") for metric, one in found.items()}


def _names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules([str(BENCHMARKS)]) if not m.name.startswith("_"))


def _summary(name: str) -> str:
    """What a benchmark says of itself; read, not run, since some load torch and more."""
    said = ast.get_docstring(ast.parse((BENCHMARKS / f"{name}.py").read_text(encoding="utf-8")))
    assert said, f"benchmark {name} has no docstring"
    return said.splitlines()[0]


def _module(name: str) -> Any:
    return importlib.import_module(f"{__package__}.benchmarks.{name}")
