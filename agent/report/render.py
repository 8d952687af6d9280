"""Writes a report in its three formats."""

from pathlib import Path

from ..runs import write_whole
from .html import render_report_html
from .markdown import render_report_markdown
from .schema import Report


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Write report.json, report.html and report.md, each whole or not at all; the JSON, which is the source, last.

    Returns:
        Paths by format: `json`, `html`, `md`.
    """
    texts = {
        "html": render_report_html(report),
        "md": render_report_markdown(report),
        "json": report.model_dump_json(indent=1) + "\n",
    }
    paths = {kind: folder / f"report.{kind}" for kind in texts}
    for kind, text in texts.items():
        write_whole(paths[kind], text)
    return paths
