"""Parts that show only where others write nothing: what a search saw of them, looked at again and put to the test.

A backup head does nothing while the head works that it stands in for, and that head does nothing that the backup would
not do: patched one at a time, neither shows. A circuit search scores links with nodes taken out as well. What it saw
only so is patched with the same nodes taken out, and where that moves the answer, a prediction says so of held-out
prompts. After Wang et al. 2022 (backup heads) and McGrath et al. 2023 (self-repair).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from .._parts import can_be_taken_out
from ..report.schema import Sentence
from ._circuits import KEY
from ._mediation import WORTH_A_TEST, Cells, Draft, places_patched, with_taken_out
from ._pairs import Pool
from ._plain import effect_of, name, number, say
from .interface import Experiment, JudgedClaim, View

MOST_CONTEXTS = 4  # each is one more sweep
SWEEPS = ("components", "heads")  # of the whole subject


def explorations(view: View, pool: Pool) -> Iterator[Experiment]:
    """Patch what a circuit search saw only with nodes taken out, with these taken out, on discovery pairs."""
    for out, parts in _hidden(view):
        args = {
            "pairs": list(pool.discovery.swap),
            "sites": list(parts),
            "positions": places_patched(pool),
            "without": list(out),
        }
        why = f"what takes over where {', '.join(out)} write{'s' * (len(out) == 1)} nothing"
        yield Experiment(key=_key(out), tool="patch", args=args, why=why)


def drafts(pool: Pool, view: View) -> Iterator[Draft]:
    """A prediction about every part that moved the answer so, and had not without anything taken out."""
    for out, parts in _hidden(view):
        cells = Cells(view.results.get(_key(out)))
        for part in parts:
            best = max(
                (
                    (cell["effect"], position)
                    for position in places_patched(pool)
                    for _, cell in cells.at(position, [part])
                ),
                default=None,
            )
            if best is not None and best[0] >= WORTH_A_TEST:
                yield with_taken_out(pool, part, best[1], out)


def sentences(claims: Sequence[JudgedClaim], view: View) -> Iterator[Sentence]:
    """What takes over where others write nothing, as supported claims have it, and how little it did before."""
    for claim in claims:
        args = claim.proposal.prediction.arms[0].args
        out = ", ".join(map(name, args["without"]))
        seen = _seen_in_the_whole(view, args["sites"][0], args["positions"][0])
        yield say(
            f"With {out} taken out the model still answers, and {name(args['sites'][0])} is part of the path (effect",
            effect_of(claim) + ").",
            *(
                (f"In the whole model patching {name(args['sites'][0])} moved", number(*seen), "of the gap while")
                if seen
                else ()
            ),
            "exploring (observed, not tested)." if seen else "",
        )


def _hidden(view: View) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Nodes that were taken out, with the parts that showed only then; and these taken out, with what they hid."""
    search = view.results.get(KEY)
    if search is None:
        return
    best: dict[str, tuple[float, tuple[str, ...]]] = {}
    for link in search.result["links"]:
        part = link["source"]
        if link["hidden"] and link["in_circuit"] and can_be_taken_out(part) and not _shows(view, part):
            best[part] = max(best.get(part, (0.0, ())), (abs(link["score"]), tuple(link["without"])))
    contexts: dict[tuple[str, ...], list[str]] = {}
    for part, (_, out) in best.items():
        if part not in out:
            contexts.setdefault(out, []).append(part)
    for out, parts in [(out, tuple(sorted(parts))) for out, parts in contexts.items()]:
        if hid := [node for node in out if not _shows(view, node)]:
            contexts.setdefault(parts, []).extend(hid)
    for out, parts in list(contexts.items())[:MOST_CONTEXTS]:
        yield out, tuple(dict.fromkeys(parts))


def _shows(view: View, part: str) -> bool:
    """Whether a part moved the answer with nothing taken out."""
    return any(cell["effect"] >= WORTH_A_TEST for _, _, cell in _in_the_whole(view, part))


def _seen_in_the_whole(view: View, part: str, position: str) -> tuple[str, str] | None:
    """Where the effect stands that a part had with nothing taken out; none where nobody looked."""
    seen = ((id_, f"cells.{at}.effect") for id_, at, cell in _in_the_whole(view, part) if cell["position"] == position)
    return next(seen, None)


def _in_the_whole(view: View, part: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What was seen of a part with nothing taken out: measurement, place among its cells, cell."""
    for swept in (view.results[key] for key in SWEEPS if key in view.results):
        for at, cell in enumerate(swept.result["cells"]):
            if cell["site"] == part:
                yield swept.id, at, cell


def _key(out: Sequence[str]) -> str:
    return f"without {', '.join(out)}"
