"""What is to be compared, found and checked before any model is loaded: earlier reports of A, and the model B."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ...tools import REFERENCE_FOLDER, Subject, ToolError, reference_models
from ..ledger import Entry, LedgerError, read_ledger
from ..rejudging import rejudged
from ..report.figures import Lookup, render_plain
from ..report.schema import Claim, Report, Sentence, UnreadableReport, read_report
from ..report.verify import altered, judged_otherwise
from ..runs import RunFolder, UnknownRun, runs_of

Load = Callable[[str], Subject]
ASK = "Ask first: vesalius ask 'QUESTION' --model {model}"


class SideA(NamedTuple):
    """The reports whose claims are tested, all of one model."""

    reports: tuple[Report, ...]
    passed_over: tuple[str, ...]  # runs of the model that were left out, with the reason

    @property
    def model(self) -> str:
        """Name of that model, as its reports have it."""
        return self.reports[0].subject.key.model


class SideB(NamedTuple):
    """The model that they are tested on."""

    model: str
    report: Report | None  # where it was given as a run


def find(home: Path, source: str) -> Report | str:
    """The report that is meant: a run by name or folder, `last`, or a report.json; else the name of a model.

    Raises:
        UnreadableReport: a run without a report, or one that is damaged.
        LedgerError: a run whose ledger was changed, or is not that of its report.
        ToolError: a measurement of it was changed.
    """
    path = Path(source)
    if path.is_file():
        run = RunFolder(path.parent)
        return report_of(run) if path.name == "report.json" and run.ledger.is_file() else _sound(read_report(path))
    if not _is_model(source) or source == "last":
        try:
            return report_of(RunFolder.open(home, source))
        except UnknownRun as error:
            if path.exists() or "/" not in source:  # else it may be the name of a model on the hub
                known = ", ".join(reference_models())
                raise UnknownRun(f"{error} Or give a model: {known}, its folder or hub id.") from None
    return source


def _is_model(source: str) -> bool:
    return source in reference_models() or (Path(source) / "config.json").is_file()


def report_of(folder: RunFolder) -> Report:
    """The report of a run, held against the run's own ledger."""
    report = _sound(read_report(folder.finished_report(f"Go on with it: vesalius ask --resume {folder.name}.")))
    entries = {entry.hash: entry for entry in read_ledger(folder.ledger)}
    if report.ledger_digest not in entries or not all(_is_as_sealed(claim, entries) for claim in report.claims):
        raise LedgerError(
            f"The ledger of run {folder.name} is not the one that its report was made from.",
            mend="Restore both from a copy, or ask the question again.",
        )
    return report


def _is_as_sealed(claim: Claim, entries: Mapping[str, Entry]) -> bool:
    if claim.sealed not in entries:
        return False
    sealed = entries[claim.sealed].body.get("proposal", {}).get("prediction")
    return sealed == claim.prediction.model_dump(mode="json")


def _sound(report: Report) -> Report:
    """A report whose verdicts follow from what it measured; what a lone file sealed beforehand nobody can tell.

    Raises:
        ToolError: a measurement is not as it was written, a verdict is not the one that follows, or a claim cannot be
            said.
    """
    mend = "Restore the report from a copy, or ask the question again."
    for record in report.measurements:
        if drift := next(altered(record.measurement), None):
            told = f"Measurement {drift.id} of run {report.run} was changed after it was made ({drift.path})."
            raise ToolError(told, mend=mend)
    for claim in report.claims:
        try:
            Sentence(text=claim.hypothesis.statement)
        except ValidationError as error:
            told = f"Claim {claim.id} of run {report.run} states what no claim does: {error.errors()[0]['msg']}."
            raise ToolError(told, mend=mend) from error
    if drift := next(iter(judged_otherwise(report, lambda stored: rejudged(report, stored))), None):
        told = f"The judgement of {drift.id} in run {report.run} does not follow from what it measured ({drift.path})."
        raise ToolError(told, mend=mend)
    return report


def side_a(home: Path, sources: Sequence[str], load: Load) -> SideA:
    """The reports of A; where a model is given, those of all runs about its weights.

    Raises:
        ToolError: no claim to test, or reports of different models.
    """
    found = [find(home, source) for source in sources]
    reports = [one for one in found if isinstance(one, Report)]
    passed_over: list[str] = []
    for model in (one for one in found if isinstance(one, str)):
        mine, left = _about(home, model, load)
        reports += mine
        passed_over += left
    unlike = {report.subject.key.fingerprint for report in reports}
    if len(unlike) > 1:
        named = ", ".join(dict.fromkeys(report.subject.key.model for report in reports))
        raise ToolError(f"The reports of A are about different weights ({named}).", mend="Compare them one by one.")
    if not any(report.claims for report in reports):
        told = (f"{one.run} ({render_plain(one.premise.sentence, Lookup.of(one))})" for one in reports)
        raise ToolError(
            f"Nothing is claimed by {'; '.join(told)}, so there is nothing to test again.",
            mend=ASK.format(model=reports[0].subject.key.model),
        )
    return SideA(tuple({report.run: report for report in reports}.values()), tuple(passed_over))


def _about(home: Path, model: str, load: Load) -> tuple[list[Report], list[str]]:
    """The newest run of each question about a model's weights, and what was passed over."""
    if not (runs := runs_of(home)):
        raise ToolError(f"There are no runs about {model} in {home}.", mend=ASK.format(model=model))
    fingerprint = load(model).key.fingerprint
    found: dict[tuple[str, str], Report] = {}
    left: list[str] = []
    for folder in runs:
        if not (folder.path / "report.json").is_file():
            if folder.info.model == model:
                left.append(f"{folder.name}: it has no report yet")
            continue
        try:
            report = report_of(folder)
        except (UnreadableReport, LedgerError, ToolError) as error:
            left.append(f"{folder.name}: {error}")
            continue
        if report.subject.key.fingerprint != fingerprint:
            continue
        question = (report.question, str(folder.info.pairs))
        if not report.claims:
            left.append(f"{folder.name}: it claims nothing")
        elif question in found:
            left.append(f"{folder.name}: {found[question].run} asks the same, and is newer")
        else:
            found[question] = report
    if not found:
        why = f" ({'; '.join(left)})" if left else ""
        raise ToolError(f"No run in {home} claims anything about {model}{why}.", mend=ASK.format(model=model))
    return list(found.values()), left


def side_b(home: Path, source: str) -> SideB:
    """The model B, or that of a run."""
    found = find(home, source)
    return SideB(found, None) if isinstance(found, str) else SideB(found.subject.key.model, found)


def same_model(a: str, b: str) -> bool:
    """Whether two names are one folder, so that one of them need not be loaded."""
    ours, theirs = (REFERENCE_FOLDER / name if name in reference_models() else Path(name) for name in (a, b))
    return a == b or (ours.is_dir() and theirs.is_dir() and ours.resolve() == theirs.resolve())
