"""A circuit on the page and in the summary: the picture, what it keeps beside random circuits, its links as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._circuit_picture import SLOTS, Sizes, circuit_picture, kind_of, of_circuit
from ._circuit_words import TOOL, circuit_sentences, circuits_of
from ._line_plot import Series, line_plot
from ._markdown_supernodes import in_cell
from ._sentence import Reference
from ._svg import element
from ._tables import Cell, quoted, table
from ._text import markdown_code
from .figures import Lookup, figure_text, render_html, render_markdown
from .schema import MeasurementRecord, Report

MOST_IN_SUMMARY = 12  # links of a Markdown table
HEAD = ("link", "read as", "effect (share of the gap)", "family", "largest with these taken out")
BY_FAMILY = ("gaps", "faithfulness", "random_faithfulness", "complement", "random_complement")
READ_AS = {"q": "query", "k": "key", "v": "value", "mlp_in": "MLP input", "logits": "answer"}


def circuit_view(report: Report) -> Markup:
    """Every circuit that was searched; nothing where none was."""
    lookup = Lookup.of(report)
    records = [record for record in report.measurements if record.measurement.tool == TOOL]
    return Markup("").join(_circuit(record, report, lookup) for record in records)


def _circuit(record: MeasurementRecord, report: Report, lookup: Lookup) -> Markup:
    m = record.measurement
    links = of_circuit(m.result["links"])
    on_twin = "" if m.subject.reinit_seed is None else " on re-initialised weights"
    source = Markup('<p class="meta">Measurement <a href="#{0}">{0}</a>{1}.</p>').format(m.id, on_twin)
    told = [element("p", render_html(one, lookup)) for one in circuit_sentences(m, record.phase == "explore")]
    drawing = circuit_picture(Sizes.of(report.subject.shape), links, f"Circuit of {m.id}")
    drawn = element(
        "figure",
        element("div", element("div", drawing, **_FRAME), _curve(m), class_="circuit-beside"),
        element("figcaption", _KEY, _drawn_note(m, len(links))),
    )
    listed = element("details", element("summary", "The links as a table"), _link_table(m))
    return source + Markup("").join(told) + _families(m) + drawn + listed


_FRAME: dict[str, str] = {"class_": "circuit-frame", "tabindex": "0", "role": "region", "aria_label": "Circuit"}


def _key(drawing: str, text: str) -> str:
    return f'<li><svg viewBox="0 0 26 20" aria-hidden="true">{drawing}</svg> {text}</li>'


def _line_key(kind: str, text: str) -> str:
    return _key(f'<line class="key slot {kind}" x1="1" x2="25" y1="10" y2="10"></line>', text)


_KEY = Markup(
    '<ul class="graph-legend">'
    + "".join(_line_key(f"slot-{kind}", f"read as {READ_AS[kind]}") for kind in SLOTS)
    + _line_key("aside", "it shows only with other parts taken out, which may stand in for it")
    + _key('<path class="key tip" d="M13,3 L7,15 L19,15 Z"></path>', "raises the answer; a wider line weighs more")
    + _key('<path class="key tip" d="M6,8 L20,8 L20,12 L6,12 Z"></path>', "lowers it")
    + _key('<circle class="key circuit-idle" cx="13" cy="10" r="4"></circle>', "part without a link of the circuit")
    + "</ul>"
)


def _drawn_note(m: Measurement, n_drawn: int) -> str:
    whole = m.result["n_circuit"]
    said = f"All {whole} links" if n_drawn == whole else f"The strongest {n_drawn} of the {whole} links"
    left = "" if n_drawn == whole else f"; {whole - n_drawn} are not drawn"
    return (
        f"{said} of the circuit of {m.id} are drawn{left}. An effect is the share of the gap that is lost when the "
        "link carries the counterfactual, in the family where that is most. Keys and values that several heads share "
        "are drawn into those of them that write a link. The bar embed is what stands before the first block."
    )


def _families(m: Measurement) -> Markup:
    found = m.result
    rows: list[tuple[Cell, ...]] = [
        (
            quoted(family),
            *(_at(found[field], at) for field in BY_FAMILY),
        )
        for at, family in enumerate(found["families"])
    ]
    head = ("family", "gap (nats)", "circuit alone", "random circuits alone", "all but it", "all but random ones")
    draws = m.args.get("random_draws", 0)
    caption = f"Share of the gap that is kept, by {m.id}; controls are means of {draws} random circuits of its size"
    return table(head, rows, caption)


def _at(values: Sequence[float | int], place: int) -> Cell:
    """A figure as a table cell; none where no control was drawn."""
    return element("span", f"{values[place]:z.3f}", class_="tabular") if values else None


def _curve(m: Measurement) -> Markup:
    points = m.result["curve"]
    kept = Series("strongest links alone (mean of families)", tuple(point["faithfulness"] for point in points))
    title = f"Faithfulness by size ({m.id})"
    return line_plot(
        [str(point["n_links"]) for point in points],
        [kept],
        title,
        "share of the gap kept, by links (count)",
        include=(0.0, 1.0),
    )


def _link_table(m: Measurement) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (
            link["source"],
            link["slot"],
            READ_AS[kind_of(link["slot"])],
            link["score"],
            link["family"] or None,
            ", ".join(link["without"]) or None,
            link["in_circuit"],
        )
        for link in m.result["links"]
    ]
    head = ("from", "into", "read as", "effect (share of the gap)", "family", HEAD[-1], "in the circuit")
    caption = f"The strongest {len(rows)} of the {m.result['n_links']} links of the model, by {m.id}"
    return table(head, rows, caption, most=len(rows))


def circuit_summary(report: Report, lookup: Lookup) -> list[str]:
    """Heading, findings and strongest links for Markdown; nothing where no circuit was searched."""
    phases = {record.measurement.id: record.phase for record in report.measurements}
    parts: list[str] = []
    for m in circuits_of([record.measurement for record in report.measurements]):
        told = circuit_sentences(m, phases[m.id] == "explore")
        parts += ["\n".join(f"- {render_markdown(one, lookup)}" for one in told), *_summary_table(m, lookup)]
    return ["## Circuit", *parts] if parts else []


def _summary_table(m: Measurement, lookup: Lookup) -> list[str]:
    chosen = of_circuit(m.result["links"])[:MOST_IN_SUMMARY]
    if not chosen:
        return []
    rows = [_row(m, link, lookup) for link in chosen]
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return ["\n".join(f"| {' | '.join(cells)} |" for cells in lines)]


def _row(m: Measurement, link: Mapping[str, Any], lookup: Lookup) -> tuple[str, ...]:
    place = m.result["links"].index(link)
    effect = figure_text(Reference(m.id, f"links.{place}.score", ".2f"), lookup)
    cells = (
        markdown_code(f"{link['source']} → {link['slot']}"),
        READ_AS[kind_of(link["slot"])],
        f"{effect} [{m.id}]",
        markdown_code(link["family"]) if link["family"] else "–",
        ", ".join(map(markdown_code, link["without"])) or "–",
    )
    return tuple(map(in_cell, cells))
