"""`vesalius memory status`, `export`, `import` and `forget`: what is held, and moving it."""

from pathlib import Path

from ..settings import Settings
from .output import print_json, print_line, print_table
from .remembering import SHOWN_DIGITS, open_memory


def status_command(settings: Settings, as_json: bool) -> None:
    """Print where the memory is, what it holds, and of which models."""
    with open_memory(settings) as memory:
        status, held = memory.status(), memory.subjects()
    if as_json:
        print_json(status.model_dump(mode="json") | {"subjects": [one.model_dump(mode="json") for one in held]})
        return
    print_line(f"memory at {status.location}")
    print_line(f"compared by {status.embedder}")
    if status.notice:
        print_line(f"note: {status.notice}")
    print_line(", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in status.counts.items()))
    if held:
        rows = [(one.model, one.weights[:SHOWN_DIGITS], one.records, one.runs) for one in held]
        print_line("")
        print_table(("model", "weights", "records", "runs"), rows)


def export_command(settings: Settings, file: Path, overwrite: bool, as_json: bool) -> None:
    """Write the memory to a file."""
    from ...memory import export_records
    from ...tools import ToolError

    if file.exists() and not overwrite:
        raise ToolError(f"{file} is there already.", mend="Give another name, or pass --overwrite.")
    with open_memory(settings) as memory:
        written = export_records(memory, file)
    if as_json:
        print_json({"path": str(file), "records": written})
        return
    print_line(f"Written to {file}: {written} records")


def import_command(settings: Settings, file: Path, replace: bool, as_json: bool) -> None:
    """Take in the records of a file."""
    from ...memory import import_records

    with open_memory(settings) as memory:
        done = import_records(memory, file, replace)
    if as_json:
        print_json({"path": str(file)} | done.model_dump(mode="json"))
        return
    print_line(f"Read {done.records} records: {done.written} new, {done.same} that stood here already")
    if done.replaced:
        print_line(f"{done.replaced} stood here otherwise and were replaced")
    if done.kept:
        print_line(f"{done.kept} stand here otherwise and were left as they are; --replace takes the file's")


def forget_command(settings: Settings, run: str, as_json: bool) -> None:
    """Remove what a run remembered.

    Raises:
        ToolError: it remembered nothing.
    """
    from ...tools import ToolError

    with open_memory(settings) as memory:
        gone = memory.forget(run)
    if not gone:
        raise ToolError(f"Nothing is remembered of run {run!r}.", mend="`vesalius memory search` prints the run names.")
    if as_json:
        print_json({"run": run, "removed": gone})
        return
    print_line(f"Removed {gone} records of run {run}; its folder and report stay")
