"""`vesalius ask`: from the question to the printed answer."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape

from ..asking import Where, ask, desk_for, start_run
from ..console import Watcher, print_answer
from ..planners.interface import ContrastPair
from ..planners.reading import read_question
from ..runs import RunFolder, UnreadableFile
from ..settings import Settings
from .output import print_json

if TYPE_CHECKING:
    from ..report.schema import Report


def ask_command(
    settings: Settings, question: str, pairs: Path | None, resume: str, use_memory: bool, download: bool, as_json: bool
) -> "Report":
    """Start or go on with a run, show it, and print what it found; returns the report."""
    from ...tools import load_subject
    from ..report.schema import read_report

    where = Where(settings.home, settings.memory, use_memory)
    if resume:
        folder = RunFolder.open(settings.home, resume)
        subject = load_subject(folder.info.model, device=folder.info.device, download=download)
    else:
        given = read_pairs(pairs) if pairs else ()
        read_question(question, given)  # before the model is loaded
        subject = load_subject(settings.model, device=settings.device, download=download)
        folder = start_run(where, subject, question, settings.seed, settings.device, given)
    console = Console(stderr=as_json, soft_wrap=not sys.stdout.isatty())
    console.print(f"[bold]{escape(folder.info.question)}[/]  [dim]run {folder.name}[/]", highlight=False)
    console.print(
        f"[dim]model {escape(subject.key.model)}, fingerprint {subject.key.fingerprint[:12]}, "
        f"{subject.shape.n_layers} layers, on {subject.device}[/]\n",
        highlight=False,
    )
    with desk_for(where, subject, folder) as desk, Watcher(console) as watcher:
        ask(desk, watcher.see)
    report = read_report(folder.path / "report.json")
    paths = {kind: str(folder.path / f"report.{kind}") for kind in ("json", "html", "md")}
    if as_json:
        print_json(summary(report, paths))
    else:
        print_answer(console, report, paths)
    return report


def summary(report: "Report", paths: dict[str, str]) -> dict[str, Any]:
    """What `--json` prints."""
    from ..report.figures import Lookup, render_plain

    lookup = Lookup.of(report)
    return {
        "run": report.run,
        "answer": " ".join(render_plain(sentence, lookup) for sentence in report.answer),
        "premise_holds": report.premise.holds,
        "claims": [
            {
                "id": claim.id,
                "text": render_plain(claim.sentence, lookup),
                "verdict": claim.judgement.verdict,
                "tier": claim.judgement.tier,
                "measurements": list(claim.measurements),
            }
            for claim in report.claims
        ],
        "measurements": [
            {"id": m.measurement.id, "tool": m.measurement.tool, "phase": m.phase, "digest": m.measurement.digest}
            for m in report.measurements
        ],
        "ledger_digest": report.ledger_digest,
        "report": paths,
        "seconds": report.seconds,
    }


def read_pairs(path: Path) -> tuple[ContrastPair, ...]:
    """Contrast pairs from JSON (a list of objects) or CSV (a header row).

    Raises:
        UnreadableFile: not there, not of that form, or a row without clean, corrupted, answer and foil.
    """
    due = "rows with clean, corrupted, answer and foil (cluster is optional), as a JSON list or CSV"
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".csv":
            rows: Any = list(csv.DictReader(text.splitlines()))
        else:
            rows = json.loads(text)
        pairs = TypeAdapter(tuple[ContrastPair, ...]).validate_python(rows)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}. It must hold {due}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnreadableFile(f"{path}, at {place}: {first['msg']}. It must hold {due}.") from error
    if not pairs:
        raise UnreadableFile(f"{path} holds no pair. It must hold {due}.")
    return pairs
