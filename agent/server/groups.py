"""Groups of a graph's nodes as a person put them, kept in the run's folder: RUN/groups-MEASUREMENT.json.

Until a person changes them they are the run's own supernodes, at revision 0. A change names the revision that it was
made from, so that of two people who change at once the second one hears of it and overwrites nothing unseen.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from ...tools import Frozen, Measurement, ToolError
from ..commands.graph_names import DESCRIPTION, file_supernodes, run_supernodes
from ..commands.kept import kept_by
from ..report._text import visible
from ..runs import RunFolder, UnreadableFile, write_whole

if TYPE_CHECKING:
    from ...tools import AttributionGraphResult

LONGEST_NAME = 80  # characters
LONGEST_ID = 60
MOST_GROUPS = 500
MOST_MEMBERS = 5000  # of one group
LARGEST_FILE = 2**20  # bytes
PERSONS = (
    "Supernodes: as a person grouped them. A name that begins with a question mark is one that the run gave for where "
    "features fire, and no sealed prediction bears it out."
)

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class NodeSet(Frozen):
    """Nodes under one name."""

    name: Name = Field(description="What it is called; no other group is.")
    members: tuple[Id, ...] = Field(description="Ids of its nodes.", min_length=1, max_length=MOST_MEMBERS)


class GroupsWanted(Frozen):
    """All groups as they are to be from now on."""

    revision: int = Field(ge=0, description="Revision that they were made from.")
    groups: tuple[NodeSet, ...] = Field(max_length=MOST_GROUPS, description="Every group.")


class Groups(Frozen):
    """All groups as they are."""

    revision: int = Field(ge=0, description="Counts the changes; 0 for the run's own supernodes.")
    groups: tuple[NodeSet, ...] = Field(max_length=MOST_GROUPS, description="Every group.")


class StaleGroups(ToolError):
    """A change of groups that somebody else has changed meanwhile."""


def read_groups(folder: RunFolder, graph: Measurement) -> Groups:
    """The groups of a graph: a person's where there are any, else the run's own.

    Raises:
        UnreadableFile: the file of groups is none.
    """
    return _kept(folder, graph) or own_groups(folder, graph)


def keep_groups(folder: RunFolder, graph: Measurement, wanted: GroupsWanted) -> Groups:
    """Keep a person's groups in place of those that were there.

    Raises:
        StaleGroups: they were made from another revision than the one that is kept.
        ToolError: a name or node that stands twice, an id of no node, or a token.
        UnreadableFile: the file of groups is none.
    """
    _refuse_unsound(graph, wanted.groups)
    with _alone_in(folder.path):
        before = _kept(folder, graph)
        revision = 0 if before is None else before.revision
        if wanted.revision != revision:
            raise StaleGroups(
                f"Somebody else changed the groups: they are at revision {revision}, and this change was made from "
                f"{wanted.revision}.",
                mend="Look at the groups as they are now, then change them again.",
            )
        groups = Groups(revision=revision + 1, groups=wanted.groups)
        text = groups.model_dump_json(indent=1) + "\n"
        write_whole(_path(folder, graph), text)
    return groups


def own_groups(folder: RunFolder, graph: Measurement) -> Groups:
    """The supernodes that the run named in the graph; a name that no sealed prediction bears out begins with `?`."""
    from ...tools import members_of, named_graph

    none = Groups(revision=0, groups=())
    statuses = run_supernodes(graph, folder, kept_by(folder))
    if not statuses:
        return none
    plain = named_graph(_result(graph), graph.subject.fingerprint)
    shown = file_supernodes(plain, statuses)
    if shown is None:
        return none
    members = members_of(plain, {group[0]: group[1:] for group in shown.groups})
    groups: dict[str, tuple[str, ...]] = {}
    for name, nodes in list(members.items())[:MOST_GROUPS]:
        groups[_unlike(visible(name), groups)] = nodes[:MOST_MEMBERS]
    return Groups(revision=0, groups=tuple(NodeSet(name=name, members=nodes) for name, nodes in groups.items()))


def grouped_file(folder: RunFolder, graph: Measurement) -> dict[str, Any]:
    """The graph with its groups, as a file for Neuronpedia or circuit-tracer's viewer."""
    from ...tools import ExportOptions, export_graph, named_graph

    result, groups = _result(graph), read_groups(folder, graph)
    plain = named_graph(result, graph.subject.fingerprint)
    others = {node.id: other.id for node, other in zip(result.nodes, plain.nodes, strict=True)}
    listed = tuple((one.name, *(others[member] for member in one.members)) for one in groups.groups)
    options = ExportOptions(supernodes=listed)
    key = graph.subject
    twin = "" if key.reinit_seed is None else f"+reinit{key.reinit_seed}"
    file = export_graph(result, key.model, key.fingerprint + twin, graph.args, options)
    if listed:
        file["metadata"]["info"]["description"] += f" {PERSONS if groups.revision else DESCRIPTION}"
    return file


def _unlike(name: str, others: dict[str, tuple[str, ...]]) -> str:
    """The name, short enough to be kept and like no other."""
    short, n = name[:LONGEST_NAME], 2
    while short in others:
        short, n = f"{name[: LONGEST_NAME - 8]} ({n})", n + 1
    return short


def _result(graph: Measurement) -> "AttributionGraphResult":
    from ...tools import AttributionGraphResult

    return AttributionGraphResult.model_validate(graph.result)


def _refuse_unsound(graph: Measurement, groups: Sequence[NodeSet]) -> None:
    kinds = {node["id"]: node["kind"] for node in graph.result["nodes"]}
    names: set[str] = set()
    owner: dict[str, str] = {}
    for group in groups:
        if not group.name.strip():
            raise ToolError("A group has no name.", mend="Give it one that can be seen.")
        if group.name in names:
            raise ToolError(f"Two groups are called `{visible(group.name)}`.", mend="Rename one of them.")
        names.add(group.name)
        for member in group.members:
            if member not in kinds:
                raise ToolError(f"The graph has no node `{visible(member)}`.", mend="Group nodes of this graph.")
            if kinds[member] == "token":
                raise ToolError(
                    f"`{member}` is a token of the prompt, and viewers place a group by the layers of its nodes.",
                    mend="Group features, error nodes or answers.",
                )
            if owner.setdefault(member, group.name) != group.name or group.members.count(member) > 1:
                raise ToolError(f"`{member}` stands in more than one place.", mend="Leave it in one group, once.")


def _kept(folder: RunFolder, graph: Measurement) -> Groups | None:
    path = _path(folder, graph)
    # A run's folder may come from anywhere; what is read must not lie elsewhere.
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise _no_groups(path, "it is no plain file")
    if not path.exists():
        return None
    if path.stat().st_size > LARGEST_FILE:
        raise _no_groups(path, f"it is larger than {LARGEST_FILE} bytes")
    try:
        found = Groups.model_validate_json(path.read_bytes())
        _refuse_unsound(graph, found.groups)
    except ValidationError as error:
        first = error.errors()[0]
        raise _no_groups(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}".strip(": ")) from error
    except ToolError as error:
        raise _no_groups(path, error.message) from error
    return found


def _no_groups(path: Path, why: str) -> UnreadableFile:
    return UnreadableFile(f"{path} holds no groups ({why}). Restore it from a copy, or take it away to begin anew.")


def _path(folder: RunFolder, graph: Measurement) -> Path:
    return folder.path / f"groups-{graph.id}.json"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else changes groups of the run meanwhile, in this process or another."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
