"""A sweep on the page: a heat map for each kind of part, parts upwards and tokens along, and its strongest places."""

from collections.abc import Sequence

from markupsafe import Markup

from ...tools import Measurement
from ._heat_map import large_map
from ._patching_words import WITH_HEADS, SweptCell, swept_cells, token_names
from ._svg import element
from ._tables import Cell, table

MOST_LISTED = 10
KINDS = {
    "resid_pre": "the stream before each block",
    "attn_out": "what each block's attention adds",
    "mlp_out": "what each block's MLP adds",
    "head": "output of each head",
    "q": "queries of each head",
    "k": "keys of each head",
    "v": "values of each head",
}
WHAT = {
    "noising": "A cell is the share of the gap that is lost when the part has the counterfactual's value at the token; "
    "orange cells raise the answer instead.",
    "denoising": "A cell is the share of the gap that comes back when the counterfactual's run gets the part's value "
    "at the token; orange cells take more away.",
}


def sweep_view(m: Measurement) -> Markup:
    """Maps, controls and the strongest places."""
    cells = list(swept_cells(m))
    kinds = [grid["kind"] for grid in m.result["grids"]]
    maps = [_map([cell for cell in cells if cell.kind == kind], kind, m) for kind in kinds]
    told = element("p", f"{WHAT[m.args['direction']]} Means of {m.result['n_pairs']} pairs.", class_="meta")
    return told + element("div", *maps, class_="maps") + _strongest(cells, m)


def _map(cells: Sequence[SweptCell], kind: str, m: Measurement) -> Markup:
    places = {(cell.layer, cell.head): None for cell in cells}
    row_of = {place: i for i, place in enumerate(places)}
    names = [f"{layer}.{head}" if kind in WITH_HEADS else f"layer {layer}" for layer, head in places]
    values = {(row_of[cell.layer, cell.head], cell.at): cell.effect for cell in cells}
    title = f"Effect of patching {KINDS[kind]} at each token ({m.id})"
    drawn, note = large_map(names, token_names(m), values, title)
    named = "; rows are layer.head" if kind in WITH_HEADS else ""
    caption = element("figcaption", f"{kind}: {KINDS[kind]}{named}. {note}")
    return element("figure", caption, drawn)


def _strongest(cells: Sequence[SweptCell], m: Measurement) -> Markup:
    order = sorted(cells, key=lambda cell: -abs(cell.effect))[:MOST_LISTED]
    rows: list[tuple[Cell, ...]] = [(cell.site, cell.token, cell.effect) for cell in order]
    found = m.result
    caption = (
        f"The strongest {len(rows)} of {found['n_cells']} places. Gap {found['gap']:.3g} nats; the no-op moves "
        f"{found['no_op_change']:.1g} nats; {found['spot_checked']} places measured again in the model itself differ "
        f"by {found['spot_difference']:.1g} of the gap at most"
    )
    return table(("site", "token", "effect (share of the gap)"), rows, caption)
