"""Builds a run's report again from its ledger and measurement files: what a report says must follow from them."""

from typing import TYPE_CHECKING, Any

from ._retest_desk import COMPARISON, retest_desk
from .asking import Where, desk_for
from .beside import drifts_beside
from .report.build import build_report
from .report.html import render_report_html
from .report.markdown import render_report_markdown
from .report.schema import Report
from .report.verify import Drift, differences
from .runs import RunFolder

if TYPE_CHECKING:
    from ..tools import Subject
    from .ledger import Ledger

NOT_COMPARED = {"seconds", "environment"}  # of the machine and the moment, not of the finding


def record_drifts(report: Report, where: Where, subject: "Subject", folder: RunFolder) -> list[Drift]:
    """Everything in which a report, or its pages, differ from what ledger and measurements give.

    Raises:
        LedgerError: the ledger was changed after it was written.
        ToolError: the run was made on other weights.
        UnreadableReport: the run that it is set beside has a report that was changed.
    """
    is_comparison = (folder.path / COMPARISON).is_file()
    with retest_desk(folder, subject) if is_comparison else desk_for(where, subject, folder) as desk:
        again = build_report(desk, desk.view(recorded(desk.ledger)))
    was, now = (r.model_dump(mode="json", exclude=NOT_COMPARED) for r in (report, again))
    drifts = [Drift(id="report", path=path, was=a, now=b) for path, a, b in differences(was, now)]
    drifts += drifts_beside(report, folder)
    pages = {"report.html": render_report_html(report), "report.md": render_report_markdown(report)}
    for name, text in pages.items():
        path = folder.path / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            drifts.append(Drift(id=name, path="", was="the page in the folder", now="what report.json gives"))
    return drifts


def recorded(ledger: "Ledger") -> dict[str, Any]:
    """What a run's last checkpoint knew of its experiments, as the ledger tells it."""
    state: dict[str, Any] = {"done": [], "failed": []}
    for entry in ledger.entries():
        if "key" in entry.body and "measurement" in entry.body:
            state["done"].append([entry.body["key"], entry.body["measurement"]])
        elif "failed" in entry.body:
            state["failed"].append([entry.body["key"], entry.body["failed"]])
    return state
