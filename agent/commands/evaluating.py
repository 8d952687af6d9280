"""`vesalius eval NAME`: benchmarks are found through an entry point, because they stand above the agent."""

from importlib.metadata import entry_points

from ...tools import ToolError
from .output import print_json, print_table
from .progress import shown

GROUP = "vesalius.scoreboard"


def eval_command(name: str, seed: int, full: bool, as_json: bool) -> bool:
    """Run one benchmark; whether every target was met."""
    found = entry_points(group=GROUP)
    if not found:
        raise ToolError("No scoreboard is installed.", mend="Install the package again: `pip install -e .`.")
    scoreboard = next(iter(found)).load()
    if not name:
        listed = scoreboard.benchmarks()
        if as_json:
            print_json({"benchmarks": listed})
        else:
            print_table(("benchmark", "measures"), list(listed.items()))
        return True
    with shown("measuring") as progress:
        metrics = scoreboard.run(name, seed, progress, full)
    if as_json:
        print_json(metrics)
    else:
        single = any(row["least"] is not None for row in metrics.values())
        headings = ("metric", "value", "low", "high", "n", *(("least", "most") if single else ()), "target", "met")
        rows = [[metric, *(_cell(row[h]) for h in headings[1:])] for metric, row in metrics.items()]
        print_table(headings, rows)
    return all(row["met"] in (True, None) for row in metrics.values())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
