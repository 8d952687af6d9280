"""Reading what is kept under `home`, and nothing beside it: runs by name, measurements by id, long values in parts."""

import json
from typing import Any

from ...tools import ToolError
from ..report.schema import Report, read_report
from ..runs import RunFolder, UnreadableFile
from ..summary import summary_of
from .jobs import Plain

MOST_CHARACTERS = 20_000  # of one value; an agent reads all that it is sent
SHOWN_KEYS = 60


def about_run(folder: RunFolder) -> Plain:
    """What a run is about; its question, or why that cannot be read."""
    try:
        info = folder.info
    except UnreadableFile as error:
        return {"run": folder.name, "problem": str(error)}
    about: Plain = {"run": folder.name, "question": info.question, "model": info.model, "begun": info.created}
    return {**about, "has_report": (folder.path / "report.json").is_file()}


def report_of(folder: RunFolder) -> Report:
    """The report of a run.

    Raises:
        ToolError: the run has not come to its end.
        UnreadableReport: it was changed, or another version wrote it.
    """
    return read_report(folder.finished_report("Wait for its job, or go on with it by resume_run."))


def answer_of(report: Report, folder: RunFolder) -> Plain:
    """A report in short; of its many measurements the ids, by the part that they had."""
    phases: dict[str, list[str]] = {}
    for record in report.measurements:
        phases.setdefault(record.phase, []).append(record.measurement.id)
    paths = folder.reports
    return {"question": report.question, **summary_of(report, paths).model_dump(mode="json"), "measurements": phases}


def part_of(value: Any, path: tuple[str, ...]) -> Plain:
    """What lies at a path in plain data: the value itself, or an outline of it where it is long.

    Args:
        path: keys of objects and places in lists, `0`, `-1` or `2:5`.

    Raises:
        ToolError: nothing lies there.
    """
    for depth, step in enumerate(path):
        value = _inside(value, step, path[:depth])
    where: Plain = {"path": path}
    characters = _characters(value)
    if characters <= MOST_CHARACTERS:
        return {**where, "value": value}
    if isinstance(value, str):
        return {**where, "characters": characters, "value": value[:MOST_CHARACTERS], "cut": True}
    return {**where, "characters": characters, "outline": _outline(value), "how": "Go on with a longer `path`."}


def text_from(text: str, start: int) -> Plain:
    """A stretch of a long text, and where the next begins."""
    end = start + MOST_CHARACTERS
    following = {"next_start": end} if end < len(text) else {}
    return {"text": text[start:end], "start": start, "characters": len(text), **following}


def _inside(value: Any, step: str, above: tuple[str, ...]) -> Any:
    here = f"`{'/'.join(above)}`" if above else "the whole"
    if isinstance(value, dict):
        if step in value:
            return value[step]
        raise ToolError(f"{here} has no `{step}`.", mend=f"It holds: {', '.join(list(value)[:SHOWN_KEYS])}.")
    if isinstance(value, list | tuple):
        parts = step.split(":")
        try:
            at = [int(part) if part else None for part in parts]
            if len(at) == 2:
                return list(value)[slice(*at)]
            return value[int(step)]
        except (ValueError, IndexError):
            count = len(value)
            mend = f"Give 0 to {count - 1}, or a stretch such as 0:{min(5, count)}." if count else "It is empty."
            raise ToolError(f"{here} is a list of {count} and has no {step!r}.", mend=mend) from None
    raise ToolError(f"{here} is {_kind(value)}; nothing lies in it.", mend="Make `path` shorter.")


def _outline(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return {"list_of": len(value), "first": _outline(value[0]) if value else None}
    if isinstance(value, dict):
        shown = {
            key: f"{_kind(part)}, {_characters(part)} characters" for key, part in list(value.items())[:SHOWN_KEYS]
        }
        more = len(value) - len(shown)
        return {**shown, "…": f"{more} more keys"} if more else shown
    return _kind(value)


def _kind(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"list of {len(value)}"
    if isinstance(value, dict):
        return f"object of {len(value)}"
    return "nothing" if value is None else {"str": "text"}.get(type(value).__name__, "a number or truth value")


def _characters(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))
