"""`vesalius memory search` and `contradictions`: what earlier runs found, and where they disagree."""

import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ..asking import Where
from ..console import TEXT, VERDICT_STYLE, hang
from ..report._text import cut, visible
from ..settings import Settings
from .output import print_json, print_line

if TYPE_CHECKING:
    from ...memory import ClaimRecord, Contradiction, FeatureCard, Hit, Memory, Only, Present

EACH_TWICE = 2  # a claim and its hypothesis say the same
SHOWN_CONTEXTS = 3
SHOWN_TOKENS = 6
SHOWN_DIGITS = 12  # of a fingerprint
ANY_SIZE = 10**9  # a site is named here without a model whose size could bound it
NOTHING = "Nothing is remembered yet; `vesalius ask` fills the memory."
SIDES = {"opposite verdicts": ("effect", "no effect"), "intervals that exclude each other": ("larger", "smaller")}


def conditions(
    model: str | None = None,
    site: str | None = None,
    tier: str | None = None,
    verdict: str | None = None,
    run: str | None = None,
) -> "Only":
    """What the options of a command ask for exactly; a site may have any name that is read elsewhere.

    Raises:
        ToolError: a tier, verdict or site that there is not.
    """
    from pydantic import ValidationError

    from ...memory import Only
    from ...tools import ToolError, parse_site

    named = None if site is None else str(parse_site(site, ANY_SIZE, ANY_SIZE, ANY_SIZE))
    asked = {"model": model, "site": named, "tier": tier, "verdict": verdict, "run": run}
    try:
        return Only.model_validate(asked)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ToolError(f"`--{problem['loc'][0]}` is {problem['input']!r}.", mend=f"{problem['msg']}.") from error


def search_command(
    settings: Settings,
    text: str,
    kind: str | None,
    limit: int,
    as_json: bool,
    only: "Only | None" = None,
    check: str | None = None,
) -> None:
    """Print records nearest to a text, whatever weights they are about; with `check`, say which no longer hold."""
    from ...memory._records import KINDS
    from ...tools import ToolError

    if kind is not None and kind not in KINDS:
        raise ToolError(f"There is no collection `{kind}`.", mend=f"Collections: {', '.join(KINDS)}.")
    present = None if check is None else _present(check, settings.device)
    wanted = limit if as_json else EACH_TWICE * limit
    with open_memory(settings) as memory:
        hits = memory.search(text, kind=kind, only=only, limit=wanted, present=present)  # pyright: ignore[reportArgumentType]  # checked above
        held = sum(memory.status().counts.values())
    if as_json:
        print_json({"checked": check, "hits": [_plain(hit) for hit in hits]})
        return
    if not hits:
        print_line("Nothing that is remembered fits." if held else NOTHING)
        return
    console = _console()
    shown = findings(hits)[:limit]
    for hit in shown:
        _print(console, hit)
    for note in () if present else _doubts(shown):
        hang(console, Text(f"note: {note}", style="yellow"), 0, 2 * TEXT)


def contradictions_command(settings: Settings, only: "Only", as_json: bool) -> None:
    """Print both sides of every contradiction."""
    with open_memory(settings) as memory:
        found = memory.contradictions(only)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    console = _console()
    for contradiction in found.contradictions:
        _print_contradiction(console, contradiction)
    n = len(found.contradictions)
    said = (
        f"{n or 'No'} contradiction{'' if n == 1 else 's'} among {found.compared} decided claims that can be compared; "
        f"{found.undecided} inconclusive, {found.not_comparable} of an earlier version, which did not keep what tested "
        "them"
    )
    hang(console, Text(said), 0, 2 * TEXT)


def open_memory(settings: Settings) -> "Memory":
    """The memory that the settings name."""
    opener = Where(settings.home, settings.memory).opener()
    assert opener is not None, "a memory was wanted"
    return opener()


def _console() -> Console:
    return Console(soft_wrap=not sys.stdout.isatty())


def _present(model: str, device: str) -> "Present":
    """The model as it is now, with every dictionary of it that is fit for its weights."""
    from ...memory import Present
    from ...tools import ToolError, dictionary_of, load_subject

    subject = load_subject(model, device)
    folder = (subject.folder or Path(subject.name)) / "dictionaries"
    names = {path.stem if path.suffix == ".safetensors" else path.name for path in folder.glob("*")}
    digests = []
    for name in ("neurons", *sorted(names)):
        try:
            digests.append(dictionary_of(subject, name).digest)
        except ToolError:  # a dictionary of other weights, or a file that is none: nothing found in it holds here
            continue
    return Present(subject=subject.key, dictionaries=tuple(digests))


def _doubts(hits: "Sequence[Hit]") -> list[str]:
    """Models under whose name findings about different weights were shown, of which one at most is the present one."""
    weights: dict[str, set[str]] = {}
    for hit in hits:
        weights.setdefault(hit.record.subject.model, set()).add(hit.record.subject.fingerprint)
    return [
        f"findings about {len(found)} sets of weights have the name {visible(model)}; --check {visible(model)} tells "
        "which hold of the present ones"
        for model, found in weights.items()
        if len(found) > 1
    ]


def findings(hits: "Sequence[Hit]") -> "list[Hit]":
    """Each finding once, nearest first: of a claim and the hypothesis it came from, the claim, which says more."""
    claimed = {_finding(hit) for hit in hits if hit.record.kind == "claims"}
    return [hit for hit in hits if hit.record.kind != "hypotheses" or _finding(hit) not in claimed]


def _finding(hit: "Hit") -> tuple[str, str]:
    return hit.record.run, _said(hit)


def _said(hit: "Hit") -> str:
    record = hit.record
    if record.kind == "claims":
        return record.text
    return record.statement if record.kind == "hypotheses" else record.told


def _plain(hit: "Hit") -> dict[str, Any]:
    """A hit as data; of a card also what its name is worth, which follows from its tests."""
    worth = {"name_status": hit.record.status} if hit.record.kind == "feature_cards" else {}
    return {
        "similarity": hit.similarity,
        "id": hit.id,
        "stale": hit.stale,
        **hit.record.model_dump(mode="json"),
        **worth,
    }


def details(card: "FeatureCard") -> list[str]:
    """The figures behind a card's sentence, a line each."""
    lines = [f"{one.claim}: {one.verdict}, {one.tier}: {cut(one.statement)}" for one in card.claims]
    for what, score in (("detection", card.detection), ("fuzzing", card.fuzzing)):
        if score is not None:
            beside = "" if score.permuted is None else f", other names {score.permuted:.2f}"
            lines.append(
                f"{what} {score.score:.2f} ({score.low:.2f} to {score.high:.2f}, {score.n} contexts{beside}; guessing "
                f"0.50), by {cut(card.scorer)}"
            )
    if card.reason:
        lines.append(f"class by rule {cut(card.rule)!r}: {cut(card.reason)}")
    for text, peak in zip_longest(card.contexts[:SHOWN_CONTEXTS], card.peaks[:SHOWN_CONTEXTS], fillvalue=""):
        lines.append(f"fires in {cut(text)!r}" + (f", most at {cut(peak)!r}" if peak else ""))
    if card.promoted:
        lines.append("promotes " + ", ".join(repr(cut(token)) for token in card.promoted[:SHOWN_TOKENS]))
    return lines


def _print(console: Console, hit: "Hit") -> None:
    """What was found, how near and how sure, and by which run."""
    record = hit.record
    verdict = "" if record.kind == "feature_cards" else record.verdict
    line = Text(f"{hit.similarity:.2f}  ", style="cyan")
    line.append(f"{verdict}, {record.tier}" if verdict else record.tier, style=VERDICT_STYLE.get(verdict, "default"))
    weights = record.subject.fingerprint[:SHOWN_DIGITS]
    line.append(f"  {record.kind.replace('_', ' ')}, model {visible(record.subject.model)} {weights}", style="dim")
    hang(console, line, 0, 2 * TEXT)
    if hit.stale:
        hang(console, Text(f"stale: {visible(hit.stale)}", style="yellow"), 2 * TEXT, 3 * TEXT)
    hang(console, Text(cut(_said(hit))), 2 * TEXT, 2 * TEXT)
    for part in details(record) if record.kind == "feature_cards" else ():
        hang(console, Text(part, style="dim"), 2 * TEXT, 3 * TEXT)
    console.print(Text(" " * 2 * TEXT + f"run {visible(record.run)}", style="dim"), soft_wrap=True)


def _print_contradiction(console: Console, found: "Contradiction") -> None:
    """What is disputed, and both sides, each with its figures and runs."""
    subject, tested = found.one[0].subject, found.tested
    line = Text(found.why, style="bold").append(f"  {cut(tested.place)}", "default")
    hang(console, line, 0, 2 * TEXT)
    about = f"model {subject.model} {subject.fingerprint[:SHOWN_DIGITS]}; {tested.behaviour}; {tested.intervention}"
    hang(console, Text(cut(about), style="dim"), TEXT, 2 * TEXT)
    for side, claims in zip(SIDES[found.why], (found.one, found.other), strict=True):
        alike: dict[tuple[str, str, str], list[ClaimRecord]] = {}
        for claim in claims:
            alike.setdefault((_decided(claim), claim.text, claim.verdict), []).append(claim)
        for (decided, text, verdict), some in alike.items():
            said = Text(f"{side}: ", style="cyan").append(decided, VERDICT_STYLE[verdict])
            hang(console, said, TEXT, 3 * TEXT)
            hang(console, Text(cut(text)), 2 * TEXT, 2 * TEXT)
            for claim in some:
                console.print(Text(f"{' ' * 2 * TEXT}run {visible(claim.run)}", style="dim"), soft_wrap=True)
    console.print()


def _decided(claim: "ClaimRecord") -> str:
    effect = "" if claim.effect is None else f"; effect {claim.effect:.2f}"
    interval = "" if claim.interval is None else f", interval {claim.interval[0]:.2f} to {claim.interval[1]:.2f}"
    return f"{claim.verdict}, {claim.tier}{effect}{interval}"
