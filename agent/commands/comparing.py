"""`vesalius compare`: what of one model holds on another."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ...tools import ToolError
from ..asking import Where, ask, desk_for, refuse_what_is_no_text, start_run
from ..comparing.results import MEANING, Compared, counts
from ..console import TEXT, Watcher, hang
from ..failing import Stopped
from ..planners.reading import read_question
from ..report._text import visible
from ..report.compare import (
    ASKED,
    BADGES,
    CLAIMS,
    GROUPS,
    LOST,
    MOST_LOST,
    asked_row,
    circuit_told,
    claim_row,
    group_rows,
    headline,
    label_of,
    lost_rows,
    reason_of,
    searched,
    tokens_told,
    verify_commands,
    worth_saying,
)
from ..settings import Settings
from .asking import read_pairs
from .output import print_json, print_table
from .progress import shown

if TYPE_CHECKING:
    from ...tools import Subject
    from ..comparing.inputs import Load

STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "": ""}
FILES = ("comparison.html", "comparison.md", "comparison.json", "report.html")


def compare_command(
    settings: Settings,
    sources: Sequence[str],
    question: str,
    pairs: Path | None,
    out: Path | None,
    download: bool,
    as_json: bool,
) -> bool:
    """Compare and print what came of it; whether nothing weakened, moved or broke."""
    *first, last = sources
    if not first:
        raise ToolError("Only one of the two was given.", mend="Usage: vesalius compare A B; runs or models.")
    if pairs and not question:
        raise ToolError("--pairs is for the question that is asked first.", mend="Give --question too.")
    from ..comparing.inputs import side_a, side_b

    load = _loader(settings, download)
    b = side_b(settings.home, last)
    if question:
        first = [_asked(settings, first, question, pairs, load)]
    a = side_a(settings.home, first, load)
    from ..comparing.whole import compared

    try:
        with shown("testing again") as progress:
            whole, path = compared(settings.home, a, b, load, settings.seed, out, progress)
    except KeyboardInterrupt:
        raise Stopped("Nothing measured is lost; the same command goes on.") from None
    files = {name: str(path / name) for name in FILES}
    if as_json:
        print_json({**whole.model_dump(mode="json"), "flagged": whole.retested.flagged, "files": files})
    else:
        _told(whole, path, _verifying(settings, whole, out))
    return not whole.retested.flagged


def _loader(settings: Settings, download: bool) -> "Load":
    """Loads each model once."""
    kept: dict[str, Subject] = {}

    def load(name: str) -> "Subject":
        from ...tools import load_subject

        if name not in kept:
            kept[name] = load_subject(name, settings.device, download=download)
        return kept[name]

    return load


def _asked(settings: Settings, first: Sequence[str], question: str, pairs: Path | None, load: "Load") -> str:
    """Ask a question of model A; returns the name of the run."""
    if len(first) != 1:
        raise ToolError("--question is asked of one model A.", mend="Give A and B alone.")
    refuse_what_is_no_text(question)
    given = read_pairs(pairs) if pairs else ()
    read_question(question, given)
    where = Where(settings.home, use_memory=False)
    folder = start_run(where, load(first[0]), question, settings.seed, settings.device, given)
    console = Console(stderr=True, soft_wrap=not sys.stderr.isatty())
    with desk_for(where, load(first[0]), folder) as desk, Watcher(console) as watcher:
        ask(desk, watcher.see)
    return folder.name


def _verifying(settings: Settings, whole: Compared, out: Path | None) -> Sequence[str]:
    """Commands that find these runs."""
    is_default = settings.home == Settings.model_fields["home"].default
    return verify_commands(whole, "" if out is None else str(out), "" if is_default else str(settings.home))


def _told(whole: Compared, path: Path, verifying: Sequence[str]) -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    hang(console, Text(visible(f"{whole.a.model} → {whole.b.model}"), style="bold"), 0, TEXT)
    hang(console, Text(headline(whole), style="bold"), 0, TEXT)
    hang(console, Text(visible(whole.weights.told)), 0, TEXT)
    for run in whole.runs:
        console.print(Text(f"\nClaims of {visible(run)} (effects are shares of the gap)", style="bold"))
        print_table(CLAIMS, [claim_row(one) for one in whole.retested.claims if one.earlier.run == run])
    for one in worth_saying(whole):
        style = STYLES[BADGES.get(one.label, "")]
        said = Text(f"{one.earlier.id} {label_of(one)}", style=style).append(f": {visible(reason_of(one))}", "default")
        hang(console, said, 0, TEXT)
        if one.looked_at:
            hang(console, Text(visible(searched(one))), TEXT, TEXT)
    if asked := whole.retested.behaviours:
        console.print(Text("\nWhat the models answer", style="bold"))
        print_table(ASKED, [asked_row(one) for one in asked])
        if lost := lost_rows(asked):
            print_table(LOST, [(*said, f"{a:.2g}", f"{b:.2g}") for *said, a, b in lost[:MOST_LOST]])
    for one in whole.retested.circuits:
        console.print(Text("\nCircuits", style="bold"))
        hang(console, Text(visible(circuit_told(one))), 0, TEXT)
    if whole.weights.groups:
        console.print(Text("\nWeights that differ", style="bold"))
        print_table(GROUPS, group_rows(whole.weights))
    if told := tokens_told(whole.weights):
        hang(console, Text(visible(told)), 0, TEXT)
    console.print(Text("\nWhat the words mean", style="bold"))
    for one in counts(whole.retested):
        hang(console, Text(one.label, style="bold").append(f": {MEANING[one.label]}", "default"), 2, 2 + TEXT)
    for left in whole.passed_over:
        hang(console, Text(visible(f"passed over: {left}"), style="yellow"), 0, TEXT)
    console.print(Text("\nMeasure again", style="bold"))
    for command in verifying:
        console.print(Text(visible(command)), soft_wrap=True)
    console.print()
    for name in FILES:
        console.print(Text(visible(str(path / name))), soft_wrap=True)
