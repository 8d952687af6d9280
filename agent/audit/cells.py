"""What an audit asks, cell by cell: one question of one model with one seed."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ...tools import Frozen, ToolError, canonical, digest
from ..budget import budget_of, prices_of
from ..commands.asking import read_pairs
from ..planners.interface import ContrastPair
from ..planners.reading import read_question
from ..runs import UnreadableFile
from ..settings import Settings
from .ready import FOLDER as BATTERIES, read_battery
from .spec import Found, Item, Spec
from .spec_lines import Lined
from .versions import Version, versions

SLOT = re.compile(r"\{([A-Za-z0-9._-]+)\}")
HOW = ("refute", "refute_attempts", "writer", "blind", "probes")
MOST_CELLS = 100_000
SPIKED = "spike-in"  # in a model's place
Truth = Literal["planted", "null"]
PROGRAM = version("vesalius")  # read once: every cell's key holds it


class Cell(Frozen):
    """One question of one model with one seed."""

    item: str  # with its place in the matrix
    subject: str  # label of the model
    model: str  # as it is loaded
    question: str
    pairs: tuple[ContrastPair, ...]
    seed: int
    planner: str
    by: str  # language model that plans, refutes, or words prompts or answers; empty where code does it all
    budget: str
    how: str = "{}"  # settings that change an answer, as JSON
    fails_if: tuple[Found, ...]
    report: str = ""  # file of an earlier report, whose claims are tested again
    report_digest: str = ""  # of all that is in it
    spike: Truth | Literal[""] = ""  # a question of known truth, or one of the audit's own

    @property
    def needs_language_model(self) -> bool:
        """Whether one plans, refutes, or words prompts or answers."""
        return "llm" in (self.planner, *json.loads(self.how).values())

    @property
    def asked(self) -> str:
        """Stands for the cell's place in the table and all that could change its answer, but the weights."""
        fields = ("item", "subject", "question", "seed", "planner", "by", "budget", "how")
        plain = {name: getattr(self, name) for name in fields}
        pairs = [pair.model_dump(mode="json") for pair in self.pairs]
        if self.report:  # where it lies says nothing
            plain |= {"report": self.report_digest}
        return digest(plain | {"pairs": pairs, "program": PROGRAM})

    def key(self, fingerprint: str) -> str:
        """Names what comes of it: a cell is asked once of the same weights, and what fails an audit may change."""
        return digest({"asked": self.asked, "fingerprint": fingerprint})


def cells_of(spec: Spec, lined: Lined, folder: Path, settings: Settings) -> tuple[Cell, ...]:
    """Every cell, in the order of the table: items, then models, then seeds.

    Args:
        lined: where each part of the spec stands, for what is wrong with it.
        folder: the spec's own.
        settings: whose language model plans, where one does.

    Raises:
        UnreadableFile: a question that has no form that is read, a slot without a value, or pairs that are not there.
    """
    found: list[Cell] = []
    how = _how(spec, settings)
    by = settings.planner_model if "llm" in (spec.planner, *how.values()) else ""
    if how["blind"] != "off" and spec.planner != "llm":
        place = lined.place(("controls", "blind"))
        raise UnreadableFile(f"{place}: `blind` is {how['blind']}, but code plans, from which nothing is hidden.")
    same: dict[str, Any] = {"planner": spec.planner, "by": by, "how": canonical(how)}
    subjects = versions(spec.subjects, lined, folder)
    budget = _budget(spec.budget, lined.place(("budget",)), settings)
    for source in _sources(spec, lined, folder):
        item, place = source.item, source.place
        own = budget if item.budget is None else _budget(item.budget, place, settings)
        for asked in _asked(item, source, spec, settings):
            fails_if = spec.policy.fails_if if item.fails_if is None else item.fails_if
            for subject, seed in itertools.product(subjects, spec.seeds):
                of = {"subject": subject.name, "model": subject.model, "seed": seed}
                found.append(Cell(**asked, **of, **same, budget=own, fails_if=fails_if))
            if len(found) > MOST_CELLS:
                raise UnreadableFile(f"{place}: the audit has more than {MOST_CELLS:,} cells; split it.")
    _refuse_repeats(found, lined)
    return (*found, *(_spiked(spec, subjects, {**same, "budget": budget}) if spec.calibrate else ()))


def _how(spec: Spec, settings: Settings) -> dict[str, Any]:
    """The settings beyond the spec that change an answer, as its controls say."""
    given = spec.controls.model_dump(exclude_none=True)
    own = {"blind": "off" if settings.blind == "compare" or spec.planner != "llm" else settings.blind}
    return {**{name: getattr(settings, name) for name in HOW}, **own, **given}


def _asked(item: Item, source: "_Source", spec: Spec, settings: Settings) -> Iterator[dict[str, Any]]:
    """Every question of an item, as fields of its cells."""
    if item.claims is not None:
        yield from _claims(item, source, spec, settings)
        return
    for name, question, file in _filled(item, source.place):
        pairs = read_pairs(source.folder / file) if file else ()
        _refuse_unreadable(question, pairs, source.place)
        yield {"item": name, "question": question, "pairs": pairs}


def _claims(item: Item, source: "_Source", spec: Spec, settings: Settings) -> Iterator[dict[str, Any]]:
    """Every earlier report of an item."""
    assert item.claims is not None
    if item.matrix or item.pairs:
        raise UnreadableFile(f"{source.place}: earlier claims have their own prompts; leave `matrix` and `pairs` out.")
    if "{baseline}" in item.claims and spec.baseline is None:
        raise UnreadableFile(f"{source.place}: give `baseline`, the model that the others are held against.")
    from .._retest_desk import digest_of
    from .earlier import earlier

    named = item.claims.replace("{baseline}", spec.baseline or "")
    try:
        found = earlier(settings.home, named, source.home, spec.audit)
    except UnreadableFile as error:
        raise UnreadableFile(f"{source.place}: {error}") from error
    for path, report in found:
        yield {
            # Of several each by its own name, which another report does not change.
            "item": item.id if len(found) == 1 else f"{item.id}.{digest_of(report)[:6]}",
            "question": f"Which claims of {report.run} hold?",
            "pairs": (),
            "report": str(path),
            "report_digest": digest_of(report),
        }


class _Source(NamedTuple):
    item: Item
    place: str
    folder: Path  # that files of pairs are looked for in
    home: Path  # the spec's own


def _sources(spec: Spec, lined: Lined, folder: Path) -> Iterator[_Source]:
    """Every item, the spec's own and those of batteries, with where it stands."""
    for i, item in enumerate(spec.items):
        yield _Source(item, lined.place(("items", i)), folder, folder)
    for i, name in enumerate(spec.batteries):
        try:
            battery, _ = read_battery(name)
        except UnreadableFile as error:
            raise UnreadableFile(f"{lined.place(('batteries', i))}: {error}") from error
        for item in battery.items:
            yield _Source(item, lined.place(("batteries", i)), BATTERIES, folder)


def _refuse_repeats(cells: Sequence[Cell], lined: Lined) -> None:
    """What a row of a matrix, or a battery, is called may be another item's name."""
    counts = Counter((cell.item, cell.subject, cell.seed) for cell in cells)
    if twice := sorted({item for (item, _, _), times in counts.items() if times > 1}):
        raise UnreadableFile(f"{lined.name}: more than one item is called {', '.join(twice)}; give each its own `id`.")


def _spiked(spec: Spec, subjects: Sequence[Version], same: dict[str, Any]) -> Iterator[Cell]:
    """Questions of known truth, asked with the first seed by whoever plans the others."""
    from .spikes import MODEL, spikes

    if SPIKED in (subject.name for subject in subjects):
        raise UnreadableFile(f"With `calibrate`, {SPIKED!r} names what is asked beside; give your model another label.")
    seed = spec.seeds[0]
    for one in spikes(seed):
        asked = {"item": one.item, "question": one.question, "pairs": one.pairs, "seed": seed, "spike": one.truth}
        yield Cell(**asked, **same, subject=SPIKED, model=MODEL, fails_if=())


def _budget(text: str, place: str, settings: Settings) -> str:
    try:
        budget_of(text, prices_of(settings))
    except ToolError as error:
        raise UnreadableFile(f"{place}: {error}") from error
    return text


def _filled(item: Item, place: str) -> Iterator[tuple[str, str, str]]:
    """The questions of an item, each with its name and the file of its pairs."""
    file = item.pairs or ""
    if item.feature is not None:
        if item.matrix:
            raise UnreadableFile(f"{place}: a feature has no {{NAME}} to fill; leave `matrix` out.")
        yield item.id, f"What does feature {item.feature} stand for?", file
        return
    assert item.question is not None
    if not item.matrix:
        yield item.id, item.question, file
        return
    for number, values in enumerate(_rows(item), 1):
        slots = set(SLOT.findall(item.question)) | set(SLOT.findall(file))
        if slots != set(values):
            lacking, unused = sorted(slots - set(values)), sorted(set(values) - slots)
            said = [f"{{{name}}} has no value" for name in lacking] + [
                f"`{name}` is not in the question" for name in unused
            ]
            raise UnreadableFile(f"{place}, row {number} of its matrix: {', '.join(said)}.")
        question, filled = (
            SLOT.sub(lambda slot, values=values: str(values[slot[1]]), text) for text in (item.question, file)
        )
        yield f"{item.id}.{number}", question, filled


def _rows(item: Item) -> Iterator[dict[str, str | int]]:
    assert item.matrix is not None, "asked of items with a matrix alone"
    if isinstance(item.matrix, dict):
        for values in itertools.product(*item.matrix.values()):
            yield dict(zip(item.matrix, values, strict=True))
    else:
        yield from item.matrix


def _refuse_unreadable(question: str, pairs: tuple[ContrastPair, ...], place: str) -> None:
    try:
        read_question(question, pairs)
    except ToolError as error:
        raise UnreadableFile(f"{place}: {error}") from error
