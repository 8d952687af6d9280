"""Scores of links and parts beside what cutting them does; single links exchanged; shares of a split."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._heat_map import large_map
from ._patching_words import arrow
from ._scatter import scatter
from ._scoring_words import link_name, scored_name
from ._svg import element
from ._tables import Cell, table
from .plots import DotRow, effects_plot

MOST_ROWS = 7  # of a picture
MOST_LISTED = 20  # of a table
CUT = "effect of cutting it (share of the gap)"


def scores_view(m: Measurement) -> Markup:
    """Scores against cutting, the strongest with their pairs, and of parts a map."""
    scored: list[Mapping[str, Any]] = m.result["scored"]
    rows = [
        DotRow(f"{scored_name(one)}, in {one['family']}", "confirm", tuple(_family(one)["pairs"]), mean=one["score"])
        for one in scored[:MOST_ROWS]
    ]
    drawn = [
        _against_cutting(m),
        effects_plot(rows, 0, f"The strongest scores ({m.id})", "score (share of the gap)", (0.0,)),
    ]
    pictures = element("div", *filter(None, drawn), class_="beside")
    caption = element(
        "figcaption", "A score is an estimate of what cutting does. In the rows a dot is a pair and the bar the score."
    )
    values = {} if scored[0]["slot"] else {one["source"]: one["score"] for one in scored}
    return element("figure", pictures, caption) + part_map(values, f"Scores of parts ({m.id})") + _score_table(m)


def _family(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the family that decides says of a link or part."""
    return next(family for family in one["families"] if family["family"] == one["family"])


def _cuts(m: Measurement) -> Iterator[tuple[int, float, float, str]]:
    """Of every family and checked link or part: the family, score, effect, and what it is."""
    for one in m.result["scored"]:
        for at, family in enumerate(one["families"]):
            if family["measured"] is not None:
                yield at, family["effect"], family["measured"], f"{scored_name(one)}, in {family['family']}"


def _against_cutting(m: Measurement) -> Markup | None:
    names = [one["family"] for one in m.result["families"]]
    cuts = list(_cuts(m))
    return scatter(cuts, names, f"Scores against cutting ({m.id})", "score (share of the gap)", CUT) if cuts else None


def _score_table(m: Measurement) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (scored_name(one), one["score"], _family(one)["measured"], one["family"]) for one in m.result["scored"]
    ]
    r = m.result["measured_pearson"]
    agreed = (
        f"; scores and effects of {m.result['n_measured']} that were cut correlate by {r:.2f}" if r is not None else ""
    )
    caption = f"The strongest {len(rows)} of {m.result['n_scored']}{agreed}. Scores and cuts are shares of the gap"
    return table(("link or part", "score", "cut", "family"), rows, caption, most=MOST_LISTED)


def part_map(values: Mapping[str, float], title: str, of: str = "the gap") -> Markup:
    """Parts as a map, layers upwards, heads and the MLP along; nothing where none of them has a layer."""
    cells: dict[tuple[int, str], float] = {}
    for part, value in values.items():
        kind, *numbers = part.split(".")
        if kind == "head" and len(numbers) == 2:
            cells[int(numbers[0]), f"head {numbers[1]}"] = value
        elif kind == "mlp_out":
            cells[int(numbers[0]), "MLP"] = value
    if len(cells) < 2:
        return Markup("")
    layers = sorted({layer for layer, _ in cells})
    columns = sorted({column for _, column in cells}, key=_column)
    placed = {(layers.index(layer), columns.index(column)): value for (layer, column), value in cells.items()}
    names = [f"layer {layer}" for layer in layers]
    drawn, note = large_map(names, columns, placed, title)
    return element("figure", element("figcaption", f"Share of {of}, of each part that is listed. {note}"), drawn)


def _column(name: str) -> tuple[int, int]:
    """Heads by number, then the MLP."""
    return (0, int(name.split()[1])) if name.startswith("head") else (1, 0)


def paths_view(m: Measurement) -> Markup:
    """The strongest links, a dot for each pair, and a table."""
    cells = sorted(m.result["cells"], key=lambda cell: -abs(cell["effect"]))
    rows = [DotRow(link_name(cell), "confirm", tuple(cell["effects"])) for cell in cells[:MOST_ROWS]]
    drawn = effects_plot(rows, 0, f"Effects of links ({m.id})", "effect (share of the gap)", (0.0,))
    found = m.result
    listed: list[tuple[Cell, ...]] = [
        (", ".join(map(arrow, cell["links"])), cell["effect"], min(cell["effects"]), max(cell["effects"]))
        for cell in cells
    ]
    caption = (
        f"{len(cells)} measured, {found['patched']} exchanged at once, strongest first. Gap {found['gap']:.3g} nats; "
        f"the no-op moves {found['no_op_change']:.1g} nats; {found['spot_checked']} links measured again in the model "
        f"itself differ by {found['spot_difference']:.1g} of the gap at most"
    )
    head = ("links", "effect (share of the gap)", "least of a pair", "most of a pair")
    shown = element("figure", drawn, element("figcaption", f"The strongest {len(rows)}. A dot is a pair."))
    return shown + table(head, listed, caption, most=MOST_LISTED)


def contextual_view(m: Measurement) -> Markup:
    """The strongest sources, a map of parts or of tokens, and the circuit that was found step by step."""
    rows: Sequence[Mapping[str, Any]] = m.result["relevances"]
    to_logits = m.result["target"] == "logits"
    over, unit = (m.result["gap"], "the gap") if to_logits else (1.0, m.result["target"])
    strongest = sorted(rows, key=lambda row: -abs(row["share"]))
    dots = [
        DotRow(f"{row['source']} at {row['position']}", "confirm", tuple(value / over for value in row["relevances"]))
        for row in strongest[:MOST_ROWS]
    ]
    drawn = effects_plot(dots, 0, f"Relevance ({m.id})", f"relevance (share of {unit})", (0.0,))
    caption = element("figcaption", f"The strongest {len(dots)} of {len(rows)} sources. A dot is a pair.")
    both = element("div", element("figure", drawn, caption), _by_place(rows, unit, m), class_="evidence")
    return both + _shares(strongest, m) + _steps(m)


def _by_place(rows: Sequence[Mapping[str, Any]], unit: str, m: Measurement) -> Markup:
    positions = list(dict.fromkeys(row["position"] for row in rows))
    sources = list(dict.fromkeys(row["source"] for row in rows))
    title = f"Relevance of each part ({m.id})"
    if len(positions) == 1:
        return part_map({row["source"]: row["share"] for row in rows}, title, unit)
    if len(sources) < 2:
        return Markup("")
    values = {(sources.index(row["source"]), positions.index(row["position"])): row["share"] for row in rows}
    drawn, note = large_map(sources, [f"token {one}" for one in positions], values, title)
    return element("figure", element("figcaption", f"Share of {unit}, of each source at each token. {note}"), drawn)


def _shares(strongest: Sequence[Mapping[str, Any]], m: Measurement) -> Markup:
    found = m.result
    rows: list[tuple[Cell, ...]] = [
        (row["source"], row["position"], row["share"], row["relevance"]) for row in strongest
    ]
    caption = (
        f"Sources, strongest first. Gap {found['gap']:.3g} nats; both parts together miss the model by "
        f"{found['split_error']:.1g} of its largest value; nothing gives {found['nothing_relevance']:.1g} nats; the "
        f"whole stream misses {found['everything_missed']:.1g} nats"
    )
    unit = "nats" if found["target"] == "logits" else "share"
    head = ("source", "tokens", "share", f"relevance ({unit})")
    return table(head, rows, caption, most=MOST_LISTED)


def _steps(m: Measurement) -> Markup:
    parts: list[tuple[Cell, ...]] = [
        (part["step"], part["node"], part["position"], part["target"], part["share"]) for part in m.result["circuit"]
    ]
    head = ("step", "part", "tokens", "relevant to", "share")
    return table(head, parts, "Circuit, found step by step from the answer down") if parts else Markup("")
