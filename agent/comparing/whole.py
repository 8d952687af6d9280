"""Two models compared, from their names to a folder with all that was found.

HOME/comparisons/NAME/comparison.json, .html, .md     what changed
                      report.json, .html, .md         B's measurements and verdicts, as those of any run
                      ledger.jsonl, measurements/     what was sealed, measured and judged

The name follows from the reports of A, the weights of B and the seed, so the same comparison goes on where it was
stopped.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ...tools import Progress, Subject, ToolError, digest, silent
from .._retest_desk import COMPARISON, digest_of
from ..report.figures import Lookup
from ..report.schema import Report, read_report
from ..retesting import CORRECTION, retest, retest_folder
from ..runs import COMPARISONS, RunFolder, write_whole
from ..server.comparing_claims import Side, Told, rows_of
from .inputs import Load, SideA, SideB, same_model
from .results import BesideRow, Compared, WeightsCompared
from .weights import compared_weights

NAME_LENGTH = 40


def compared(
    home: Path, a: SideA, b: SideB, load: Load, seed: int = 0, out: Path | None = None, progress: Progress = silent
) -> tuple[Compared, Path]:
    """Compare, and write what was found; returns it with its folder.

    Args:
        load: a model by name.
        out: folder to write; by default one under HOME/comparisons.

    Raises:
        ToolError: B cannot be loaded, or its weights are not those that its run was about.
        LedgerError: the folder's ledger was changed.
    """
    subject = load(b.model)
    if b.report is not None and b.report.subject.key.fingerprint != subject.key.fingerprint:
        raise ToolError(
            f"The weights of {b.model} have changed since run {b.report.run}.",
            mend="Restore them, or give the model itself in place of the run.",
        )
    name = _name(a, subject, seed)
    path = out or home / COMPARISONS / name
    folder = retest_folder(path, a.reports, subject, seed)
    retested = retest(a.reports, subject, folder, progress)
    whole = Compared(
        name=path.name,
        a=a.reports[0].subject.key,
        b=subject.key,
        runs=tuple(report.run for report in a.reports),
        passed_over=a.passed_over,
        retested=retested,
        weights=_weights(a, subject, load, progress),
        beside=tuple(_beside(a.reports, b.report, same_shape=_same_shape(a, subject))) if b.report else (),
        correction=CORRECTION,
        environment=_environment(folder),
    )
    _write(whole, path)
    return whole, path


def _write(whole: Compared, path: Path) -> None:
    """All formats; the JSON, which is the source, last."""
    from ..report._compare_html import comparison_html
    from ..report._compare_markdown import comparison_markdown

    write_whole(path / "comparison.html", comparison_html(whole))
    write_whole(path / "comparison.md", comparison_markdown(whole))
    write_whole(path / COMPARISON, whole.model_dump_json(indent=1) + "\n")


def _name(a: SideA, subject: Subject, seed: int) -> str:
    key = digest([[digest_of(report) for report in a.reports], subject.key.fingerprint, seed])
    return f"{_slug(a.model)}--{_slug(subject.name)}-{key[:8]}"


def _slug(model: str) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name).strip("-.") or "model"
    return words[:NAME_LENGTH]


def _weights(a: SideA, subject: Subject, load: Load, progress: Progress) -> WeightsCompared:
    """What changed in the weights; a reason where A's are not there any more, which its claims do without."""
    measured = a.reports[0].subject.key.fingerprint
    if measured == subject.key.fingerprint:
        return compared_weights(subject, subject, progress)
    if same_model(a.model, subject.name):
        problem = f"{a.model} has other weights now than A's claims are about"
        return WeightsCompared(problem=problem, told=f"Not compared: {problem}.")
    try:
        parent = load(a.model)
    except ToolError as error:
        return WeightsCompared(problem=str(error), told=f"Not compared: {error}")
    if parent.key.fingerprint != measured:
        problem = f"{a.model} has other weights now than A's claims are about"
        return WeightsCompared(problem=problem, told=f"Not compared: {problem}.")
    return compared_weights(parent, subject, progress)


def _same_shape(a: SideA, subject: Subject) -> bool:
    return a.reports[0].subject.shape == vars(subject.shape)


def _environment(folder: RunFolder) -> dict[str, str]:
    return read_report(folder.path / "report.json").environment


def _beside(reports: Sequence[Report], theirs: Report, same_shape: bool) -> list[BesideRow]:
    """B's own claims beside A's, as the page sets two runs side by side."""
    rows: list[BesideRow] = []
    for report in reports:
        same_question = report.question.split() == theirs.question.split()
        for row in rows_of(_told(report), _told(theirs), frozenset(), same_question, same_shape):
            rows.append(BesideRow(place=row.place, a=_side(row.a), b=_side(row.b), words=row.words))
    return rows


def _told(report: Report) -> Told:
    confirming = frozenset(one.measurement.id for one in report.measurements if one.phase == "confirm")
    return Told(report.claims, Lookup.of(report), confirming)


def _side(side: Side | None) -> str:
    return "" if side is None else f"{side.id} {side.verdict}, {side.tier}; effect {side.effect:.2f}"
