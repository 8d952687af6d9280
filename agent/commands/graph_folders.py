"""A folder of graph files as circuit-tracer's local server reads it: SLUG.json each, and a list of them.

The list is `{"graphs": [metadata, ...]}`: of each graph what stands in its own file under `metadata`, told apart by
slug. Formats after circuit-tracer 0.5.0 (`frontend/local_server.py`, `frontend/graph_models.py`).
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...tools import ToolError
from ..runs import UnreadableFile, write_whole

LIST = "graph-metadata.json"


def write_listed(folder: Path, graph: Mapping[str, Any]) -> None:
    """Write a graph into the folder and name it in the folder's list; entries of other graphs stay as they are.

    Args:
        graph: in circuit-tracer's format.

    Raises:
        ToolError: a slug that would make the graph's file the list.
        UnreadableFile: there is a list already that is none.
    """
    slug = graph["metadata"]["slug"]
    path = folder / f"{slug}.json"
    if path.name.lower() == LIST:
        raise ToolError(f"A graph called `{slug}` would overwrite the folder's list.", mend="Pass another `--slug`.")
    with _alone_in(folder):
        listed = _listed(folder / LIST)  # read first: where it is no list, nothing is written
        mine = [place for place, entry in enumerate(listed["graphs"]) if entry["slug"] == slug]
        others = [entry for entry in listed["graphs"] if entry["slug"] != slug]
        others.insert(mine[0] if mine else len(others), graph["metadata"])
        try:
            texts = json_text(graph), json_text(listed | {"graphs": others})
        except ValueError as error:  # an entry of another graph may hold a number that JSON has not
            raise _no_list(folder / LIST, str(error)) from error
        write_whole(path, texts[0])  # before the list, which then names no file that is not there
        write_whole(folder / LIST, texts[1])


def json_text(value: Mapping[str, Any]) -> str:
    """In ASCII: a token may be half a character, which UTF-8 cannot hold."""
    return json.dumps(value, allow_nan=False)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else who asks changes the list meanwhile: two exports at once both end up in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _listed(path: Path) -> dict[str, Any]:
    from ...tools import read_text

    if not path.exists():
        return {"graphs": []}
    try:
        found = json.loads(read_text(path), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _no_list(path, str(error)) from error
    graphs = found.get("graphs") if isinstance(found, dict) else None
    if not isinstance(graphs, list):
        raise _no_list(path, "it has no list under `graphs`")
    if not all(isinstance(entry, dict) and isinstance(entry.get("slug"), str) for entry in graphs):
        raise _no_list(path, "an entry has no `slug`")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON has")


def _no_list(path: Path, why: str) -> UnreadableFile:
    return UnreadableFile(f"{path} is no list of graphs: {why}. Mend it, move it away, or export into another folder.")
