"""Measurements that are kept, by runs or each alone: found by run, by id, or in a file of one."""

import json
import re
from pathlib import Path

from pydantic import ValidationError

from ...tools import Measurement, ToolError, digest
from ..runs import RunFolder, UnreadableFile, write_whole

MEASUREMENT_ID = re.compile(r"m-[0-9a-f]{4,64}")
ALONE = "measurements"  # folder of those that belong to no run


def find_measurement(home: Path, of: str, tool: str, make: str) -> Measurement:
    """The measurement that `of` names: a run, `last`, an id, or a JSON file as `vesalius run --json` prints it.

    Args:
        tool: instrument that it must be of.
        make: how to make one, where a run has none.

    Raises:
        ToolError: a run with several such measurements or none, or a measurement of another instrument.
        UnknownRun: no such run.
        UnreadableFile: a file that holds no measurement, or was changed after it was written.
    """
    wanted = f"Give a run, `last`, the id of a measurement of {tool}, or a JSON file of one."
    if Path(of).is_file():
        return _of_tool(_from_file(Path(of), wanted), tool, wanted)
    if MEASUREMENT_ID.fullmatch(of):
        return _of_tool(kept_anywhere(home, of, wanted)[0], tool, wanted)
    folder = RunFolder.open(home, of)
    # A twin is a control of the measurement that is looked for.
    found = [m for m in kept_by(folder) if m.tool == tool and m.subject.reinit_seed is None]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ToolError(f"Run {folder.name} holds no finished measurement of {tool}.", mend=make)
    listed = ", ".join(measurement.id for measurement in found)
    raise ToolError(f"Run {folder.name} has {len(found)} measurements of {tool}.", mend=f"Give one of them: {listed}.")


def kept_by(folder: RunFolder) -> list[Measurement]:
    """All finished measurements of a run."""
    names = sorted(path.stem for path in (folder.path / "measurements").glob("m-*.json"))
    found = [folder.kept(name) for name in names if MEASUREMENT_ID.fullmatch(name)]
    return [measurement for measurement in found if measurement is not None]


def keep_alone(home: Path, measurement: Measurement) -> Path:
    """Keep a measurement that belongs to no run, and say where; a measurement of the same request is replaced."""
    path = home / ALONE / f"{measurement.id}.json"
    write_whole(path, measurement.model_dump_json(indent=1))
    return path


def kept_anywhere(home: Path, measurement_id: str, wanted: str) -> tuple[Measurement, RunFolder | None]:
    """A measurement by id, and the newest run that has it, if any: equal ids name equal requests.

    Raises:
        ToolError: it is not kept; the mend is what was `wanted`.
        UnreadableFile: its file was changed after it was written.
    """
    runs = sorted((home / "runs").glob("*/run.json"), reverse=True) if (home / "runs").is_dir() else []
    for run in runs:
        folder = RunFolder(run.parent)
        found = folder.kept(measurement_id)
        if found is not None:
            return found, folder
    alone = home / ALONE / f"{measurement_id}.json"
    if alone.is_file():
        return _from_file(alone, wanted), None
    raise ToolError(f"No measurement {measurement_id} is kept under {home}.", mend=wanted)


def _from_file(path: Path, wanted: str) -> Measurement:
    try:
        found = Measurement.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise UnreadableFile(f"{path} holds no measurement: `{field}`: {first['msg']}. {wanted}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path} is no JSON: {error}. {wanted}") from error
    if found.digest != digest(found.result):
        raise UnreadableFile(f"{path} was changed after it was written: its result has another digest. {wanted}")
    return found


def _of_tool(found: Measurement, tool: str, wanted: str) -> Measurement:
    if found.tool != tool:
        raise ToolError(f"{found.id} is a measurement of {found.tool}, not of {tool}.", mend=wanted)
    return found
