"""One question investigated twice by the same language model: with the names of places hidden from it, then shown.

What it recites about a circuit that it has read of helps it only where names are shown. The first run is one of its
own, with nothing in it of the second; once it has ended the second is begun beside it, under its name with an ending,
so that whoever takes the first up again finds the second. What the first claims is the first note of the second's
ledger: its report is built from that alone, wherever the first run is by then. Neither is told what earlier runs
found, since that names places, and for the second one it would be what the first found.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from .asking import planning_model
from .ledger import read_ledger
from .report._beside import Half
from .report._beside_words import beside_of, half_of
from .report.schema import Report, read_report
from .report.verify import Drift, differences
from .runs import RunFolder, RunInfo, write_whole

if TYPE_CHECKING:
    from .desk import Desk

BESIDE = "beside"  # key of the second run's note, and what it holds
ENDING = ".open"  # of the second run's name; no name made of a question has a dot
EACH = "The budget is for each run by itself."


def halves(folder: RunFolder) -> Iterator[RunFolder]:
    """A run, and once it has ended the one that is to follow it, if one is; to be run in turn."""
    yield folder
    if _has_second(folder.info):
        yield _second(folder)


def is_half(info: RunInfo) -> bool:
    """Whether a run is one of two that are set side by side."""
    return _has_second(info) or bool(info.beside)


def which_half(info: RunInfo) -> str:
    """Which of two runs it is, in words; empty where it is the only one."""
    if info.beside:
        return f"Second of two runs: names are shown. It is set beside {info.beside}, with names hidden. {EACH}"
    if _has_second(info):
        return f"First of two runs: names of layers and heads are hidden. {EACH}"
    return "So no name can be hidden, and no second run follows." if info.planned.compare else ""


def note_first(desk: "Desk") -> None:
    """Write into the second run's ledger what the first came to.

    Raises:
        UnreadableReport: the first run's report is not there, or not as it was written.
    """
    if desk.folder.info.beside and desk.ledger.find(BESIDE) is None:
        desk.ledger.append(BESIDE, "note", {BESIDE: _half_in(_first(desk.folder)).model_dump(mode="json")})


def set_beside(desk: "Desk", report: Report) -> Report:
    """The report of a second run with the first beside it; any other as it is."""
    noted = desk.ledger.find(BESIDE)
    if noted is None:
        return report
    hidden = Half.model_validate(noted.body[BESIDE])
    beside = beside_of(report, desk.stopped, desk.folder.info.beside, hidden)
    return Report.model_validate({**dict(report), "beside": beside})


def drifts_beside(report: Report, folder: RunFolder) -> list[Drift]:
    """In what the report differs from the first run's, where that one still lies beside it.

    Raises:
        UnreadableReport: the first run's report was changed.
    """
    if report.beside is None or not (_first(folder).path / "report.json").is_file():
        return []
    was, now = (half.model_dump(mode="json") for half in (report.beside.hidden, _half_in(_first(folder))))
    return [Drift(id=BESIDE, path=f"hidden.{path}", was=a, now=b) for path, a, b in differences(was, now)]


def _has_second(info: RunInfo) -> bool:
    return info.planned.compare and bool(planning_model(info))


def _second(first: RunFolder) -> RunFolder:
    """The run that follows, made where a kill came before it was."""
    path = first.path.resolve()
    second = path.with_name(f"{path.name}{ENDING}")
    if not (second / "run.json").is_file():
        second.mkdir(exist_ok=True)
        info = first.info
        changes = {
            "planned": info.planned.model_copy(update={"blind": "off", "compare": False}),
            "beside": path.name,
            "created": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        }
        write_whole(second / "run.json", info.model_copy(update=changes).model_dump_json(indent=2))
    return RunFolder(second)


def _first(second: RunFolder) -> RunFolder:
    return RunFolder(second.path.resolve().with_name(second.info.beside))


def _half_in(folder: RunFolder) -> Half:
    """What a run that has ended came to."""
    stopped = [entry.body["stopped"] for entry in read_ledger(folder.ledger) if entry.key == "stopped"]
    return half_of(read_report(folder.path / "report.json"), "".join(stopped))
