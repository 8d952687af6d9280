"""`vesalius audit …`: what is asked, run, and what came of it."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...tools import ToolError
from ..audit.cells import Cell, cells_of
from ..audit.spec import Spec, read_spec
from ..audit.store import Store
from ..audit.table import Audited, table_of
from ..budget import prices_of
from ..failing import Stopped, stopped_by_term
from ..report._text import cut
from ..settings import Settings
from .live_table import shown
from .output import print_json, print_line, print_table
from .progress import span

if TYPE_CHECKING:
    from ..audit.changes import Change
    from ..audit.table import Row
    from ..processes import Start


def _read(settings: Settings, path: Path) -> tuple[Spec, tuple[Cell, ...], Store]:
    spec, lined = read_spec(path)
    cells = cells_of(spec, lined, path.parent, settings)
    return spec, cells, Store(settings.home, spec.audit)


def _subjects(cells: Iterable[Cell]) -> list[str]:
    """Labels of the models, in the order of the spec."""
    return list(dict.fromkeys(cell.subject for cell in cells if not cell.spike))


def validate_command(settings: Settings, path: Path, as_json: bool) -> None:
    """Say whether a spec can be run, and what it comes to."""
    spec, cells, _ = _read(settings, path)
    found = {"audit": spec.audit, "cells": len(cells), "subjects": _subjects(cells)}
    if as_json:
        print_json({**found, "items": list(dict.fromkeys(cell.item for cell in cells))})
    else:
        print_line(f"{path} can be run: {len(cells)} cells.")


def batteries_command(as_json: bool) -> None:
    """List the ready batteries."""
    from ..audit.ready import batteries

    known = batteries()
    if as_json:
        print_json({name: one.model_dump(mode="json") for name, one in known.items()})
        return
    for name, one in known.items():
        print_line(name)
        for said in (one.about, f"Needs {one.needs}.", *(f"{item.id}: {item.asks}" for item in one.items)):
            print_line(f"  {said}")
    print_line("")
    print_line("In a spec: batteries: [" + ", ".join(list(known)[:2]) + "]")


def plan_command(settings: Settings, path: Path, workers: int | None, as_json: bool, on: str = "local") -> None:
    """Print every cell, and what they may take; nothing is loaded."""
    from ..audit.estimate import estimate
    from ..audit.ray_cluster import refuse_unknown_place

    refuse_unknown_place(on)
    spec, cells, store = _read(settings, path)
    found = estimate(spec, cells, store, _places(settings, cells, workers, on), prices_of(settings))
    done = store.found(cells)
    if as_json:
        listed = [
            {**cell.model_dump(include={"item", "subject", "seed", "question"}), "done": cell in done} for cell in cells
        ]
        print_json({"audit": spec.audit, **found.model_dump(mode="json"), "cells": listed})
        return
    rows = [(cell.item, cell.subject, cell.seed, "done" if cell in done else "", cell.question) for cell in cells]
    print_table(("item", "model", "seed", "", "question"), rows)
    time = "not known before a cell of it is done"
    if found.seconds is not None:
        time = f"about {span(found.seconds)}, from {found.n_timed} cells of it that are done"
    limit = "no limit on tokens" if found.most_tokens is None else f"at most {found.most_tokens:,} tokens"
    print_line("")
    if found.most_seconds is not None:
        time += f", and no cell is begun after {span(found.most_seconds)}"
    print_line(f"{found.n_cells} cells, {found.n_done} done; {found.workers} workers fit; time: {time}; {limit}.")


def run_command(
    settings: Settings, path: Path, workers: int | None, download: bool, as_json: bool, on: str = "local"
) -> bool:
    """Ask what was not asked yet, then write and print the table; whether nothing fails and all is done.

    Args:
        on: where the workers are: `local` for processes of this machine, or which Ray cluster.
    """
    from ..audit.driving import Driver, Halted
    from ..audit.ray_cluster import refuse_unknown_place
    from ..audit.written import write_table

    refuse_unknown_place(on)
    spec, cells, store = _read(settings, path)
    if any(cell.needs_language_model for cell in cells):
        _refuse_without_endpoint(settings)
    with store.held():
        store.keep_cells(cells)
        try:
            staff = _staff(settings, spec.audit, cells, workers, download, on)
            with staff as (launch, most, check), shown(spec.audit) as tell, stopped_by_term():
                Driver(store, launch, most, tell, check).drive(cells, spec.seconds, spec.tokens)
        except Halted:
            if found := store.found(cells):  # what a release waits for is not left as it was before
                write_table(table_of(spec.audit, cells, found), store.path)
            raise
        except KeyboardInterrupt:
            raise Stopped(f"Nothing finished is lost; to go on: vesalius audit run {path}") from None
    return _told(table_of(spec.audit, cells, store.found(cells)), store, as_json)


@contextmanager
def _staff(
    settings: Settings, audit: str, cells: tuple[Cell, ...], workers: int | None, download: bool, on: str
) -> "Iterator[tuple[Start, int, Callable[[], None]]]":
    """What starts workers, how many there are at a time, and what looks whether their place is still there."""
    if on == "local":
        from ..audit.working import process
        from ..processes import processes

        yield processes(process, settings, audit, download), workers or _fitting(cells), lambda: None
        return
    from ..audit.ray_cluster import cluster

    models = dict.fromkeys(cell.model for cell in cells)
    with cluster(on, settings.device, models, workers) as joined:
        from ..audit.on_ray import actors  # which imports Ray, whose settings are known by now

        yield actors(joined, settings, audit, download), joined.workers, joined.refuse_gone


def _places(settings: Settings, cells: tuple[Cell, ...], workers: int | None, on: str) -> int:
    """How many workers there is room for at a time; nothing is started."""
    from ..audit.ray_cluster import LOCAL, cluster

    if on in ("local", LOCAL):
        return workers or _fitting(cells)
    with cluster(on, settings.device, dict.fromkeys(cell.model for cell in cells), workers) as joined:
        return joined.workers


def report_command(settings: Settings, path: Path, as_json: bool) -> bool:
    """Write and print the table as far as it is done; whether nothing fails and all is done."""
    return _told(*_table(settings, path), as_json)


def _table(settings: Settings, path: Path) -> tuple[Audited, Store]:
    """The table of a spec's audit, as far as it is done.

    Raises:
        ToolError: nothing of it is.
    """
    spec, cells, store = _read(settings, path)
    if not (found := store.found(cells)):
        raise ToolError(f"Nothing of audit {spec.audit} is done.", mend=f"Run: vesalius audit run {path}")
    return table_of(spec.audit, cells, found), store


def status_command(settings: Settings, path: Path, as_json: bool) -> None:
    """Print how far an audit is, model by model."""
    spec, cells, store = _read(settings, path)
    audited = table_of(spec.audit, cells, store.found(cells))
    rows = []
    for subject in _subjects(cells):
        own = [row for row in audited.rows if row.subject == subject]
        done = [row for row in own if row.outcome is not None]
        rows.append(
            {"subject": subject, "cells": len(own), "done": len(done), "fail": sum(bool(r.fails) for r in done)}
        )
    if as_json:
        print_json({"audit": spec.audit, "done": audited.n_done, "cells": len(audited.rows), "subjects": rows})
    else:
        print_table(("model", "cells", "done", "fail"), [tuple(row.values()) for row in rows])


def compare_command(
    settings: Settings, a: Path, b: Path, model_a: str | None, model_b: str | None, as_json: bool
) -> bool:
    """Print what one audit found and another did not; whether nothing newly fails, and all of A was asked in B.

    Args:
        a, b: specs, or tables that were written earlier.
        model_a, model_b: the one model of each that is held against the other's; all, by their labels, where not given.
    """
    from ..audit.changes import KINDS, changes, of_model

    if (model_a is None) is not (model_b is None):
        raise ToolError("One model alone cannot be compared.", mend="Give both --model-a and --model-b, or neither.")
    name = f"{model_a} and {model_b}"
    sides = [of_model(_rows_of(settings, path), model, str(path), name) for path, model in ((a, model_a), (b, model_b))]
    found = changes(*sides)
    counts = Counter(one.kind for one in found)
    is_good = not any(counts[kind] for kind in ("newly fails", "only in A", "not done"))
    if as_json:
        listed = [one.model_dump(mode="json") for one in found]
        print_json({"a": str(a), "b": str(b), "counts": {kind: counts[kind] for kind in KINDS}, "cells": listed})
        return is_good
    rows = [change_cells(one) for one in found if one.kind != "same"]
    if rows:
        print_table(("item", "model", "seed", "", "A found", "B found", "answer"), rows)
        print_line("")
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    print_line(f"{len(found)} cells: {told}.")
    for kind in KINDS:
        if counts[kind] and kind != "same":
            print_line(f"  {kind}: {KINDS[kind]}")
    if any(one.same_weights for one in found if one.kind in ("newly fails", "found otherwise")):
        print_line("(*) The weights are the same: the spec, the settings or the program changed.")
    return is_good


def change_cells(one: "Change") -> tuple[str, ...]:
    """A change as a line of a table."""
    was, now = (", ".join(found) if found is not None else "–" for found in (one.was, one.now))
    mark = " (*)" if one.same_weights and one.was != one.now else ""
    return one.item, one.subject, str(one.seed), f"{one.kind}{mark}", was, now, cut(one.said)


def _rows_of(settings: Settings, path: Path) -> "Sequence[Row]":
    from ..audit.changes import read_table

    if path.suffix == ".jsonl":
        return read_table(path)
    return _table(settings, path)[0].rows


def _told(audited: Audited, store: Store, as_json: bool) -> bool:
    from ..audit.written import HEAD, calibrated, headline, summary_cells, write_table

    written = write_table(audited, store.path)
    is_good = audited.is_whole and not audited.failing
    if as_json:
        listed = [row.model_dump(mode="json") for row in audited.rows]
        files = {path.name: str(path) for path in written}
        counts = {"cells": len(audited.rows), "done": audited.n_done, "fail": len(audited.failing)}
        more = {"correction": audited.correction, "rows": listed, "files": files}
        found = audited.calibration
        print_json({"audit": audited.audit, **counts, "calibration": found and found.model_dump(mode="json"), **more})
    else:
        print_table(HEAD[:5], [summary_cells(row)[:5] for row in audited.rows])
        print_line("")
        print_line(headline(audited))
        if told := calibrated(audited):
            print_line(told)
        for path in written:
            print_line(str(path))
    sys.stdout.flush()
    return is_good


def _fitting(cells: tuple[Cell, ...]) -> int:
    from ..audit.room import most_workers

    return most_workers(dict.fromkeys(cell.model for cell in cells))


def _refuse_without_endpoint(settings: Settings) -> None:
    from ..endpoint import endpoint_of

    endpoint_of(settings)
