"""The models of a spec, one by one: a hub id in several revisions, or a folder of checkpoints, is several."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...tools import reference_models
from ..runs import UnreadableFile
from .spec import AuditedModel
from .spec_lines import Lined

LONGEST = 40  # characters of a label
COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = 12
MOST = 1000


class Version(NamedTuple):
    """A model that is asked everything."""

    name: str  # in the table
    model: str  # as it is loaded


def versions(subjects: Sequence[AuditedModel], lined: Lined, folder: Path) -> tuple[Version, ...]:
    """Every model of a spec, in its order; checkpoints in the order of the numbers in their names.

    Args:
        lined: where each part of the spec stands, for what is wrong with it.
        folder: the spec's own.

    Raises:
        UnreadableFile: no checkpoint where some are said to be, a revision of what has none, or a label twice.
    """
    found = [one for i, it in enumerate(subjects) for one in _versions(it, lined.place(("subjects", i)), folder)]
    place = lined.place(("subjects",))
    if len(found) > MOST:
        raise UnreadableFile(f"{place}: {len(found):,} models; at most {MOST:,} are audited at once.")
    if twice := [name for name, times in Counter(one.name for one in found).items() if times > 1]:
        raise UnreadableFile(f"{place}: subjects {', '.join(twice)} more than once; give each a `label`.")
    return tuple(found)


def _versions(subject: AuditedModel, place: str, folder: Path) -> Iterator[Version]:
    beside = folder / subject.model
    is_folder = (beside / "config.json").is_file()
    if subject.checkpoints is not None:
        yield from _checkpoints(subject, beside, place)
    elif is_folder or subject.model in reference_models():
        if subject.revision:
            raise UnreadableFile(
                f"{place}: {subject.model!r} is no hub id, and only these have revisions; name each folder, or give "
                "`checkpoints`."
            )
        yield Version(subject.name, str(beside.resolve()) if is_folder else subject.model)
    elif not subject.revision:
        yield Version(subject.name, subject.model)
    else:
        for revision in subject.revision:
            short = revision[:SHORT_COMMIT] if COMMIT.fullmatch(revision) else revision
            name = subject.name if len(subject.revision) == 1 and subject.label else _joined(subject.name, short)
            yield Version(name, f"{subject.model}@{revision}")


def _checkpoints(subject: AuditedModel, beside: Path, place: str) -> Iterator[Version]:
    assert subject.checkpoints is not None
    try:
        there = [path.parent for path in beside.glob(f"{subject.checkpoints}/config.json") if path.is_file()]
    except ValueError as error:
        raise UnreadableFile(f"{place}: `checkpoints` is {subject.checkpoints!r}: {error}.") from error
    if not there:
        raise UnreadableFile(f"{place}: no folder {subject.checkpoints!r} in {beside} holds a model.")
    for path in sorted(there, key=_by_number):
        yield Version(_joined(subject.name, path.name), str(path.resolve()))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """So that step-2 comes before step-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def _joined(name: str, end: str) -> str:
    """A label of what is looked at and which version of it; where that is too long the version stays whole."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", end).strip("._-")[-(LONGEST - 2) :]
    return f"{name[: LONGEST - 1 - len(plain)]}-{plain}"
