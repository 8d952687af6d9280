"""The report as one page: a single file that asks no host for anything and runs no script but its own.

The content policy in its head names the hash of every script and style sheet, so text of the subject that slipped into
markup could neither run, nor load, nor send. It has no `unsafe-inline`, hence no style attributes anywhere.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._attempts import tier_of
from ._asked import how_asked
from ._attempt_words import attempt_sentence, how_tried, tally
from ._beside import Brief
from ._beside_words import HEAD, NOTE as BESIDE_NOTE, interval_cell, rows_of, verdict_cell
from ._circuit_view import circuit_view
from ._circuit_words import TOOL as CIRCUIT_SEARCH
from ._supernode_view import supernode_view
from ._tables import marked_text, quoted, table
from ._text import cut, visible
from ._worded import NOTE
from .figures import Lookup, render_html
from .legend import OUTCOMES, PHASES, TIERS, VERDICTS, words_of_report
from .plots import claim_plot
from .schema import Claim, MeasurementRecord, Report
from .views import view

HERE = Path(__file__).parent
LONGEST_ARGUMENTS = 20_000  # characters of JSON shown; report.json holds all


def render_report_html(report: Report) -> str:
    """The whole page."""
    lookup = Lookup.of(report)
    records = {record.measurement.id: record for record in report.measurements}
    has_graph = any(record.measurement.tool == "attribution_graph" for record in report.measurements)
    supernodes = supernode_view(report)
    sheets = ("style", "plots", "graph", "circuit")
    style = "".join(_asset(f"templates/{name}.css") for name in sheets)
    scripts = [_asset("templates/page.js")]
    if has_graph:
        scripts += [_asset("assets/cytoscape/cytoscape.min.js"), _asset("templates/graph.js")]
    if supernodes:
        scripts.append(_asset("templates/supernodes.js"))
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            created=f"{datetime.fromisoformat(report.created):%Y-%m-%d %H:%M %Z}".strip(),
            say=lambda sentence: render_html(sentence, lookup),
            records=records,
            owned=_owned(report),
            **_attempts(lookup),
            worded_note=NOTE,
            beside_note=BESIDE_NOTE,
            beside_table=_beside_table(report),
            how_asked=how_asked,
            claim_plot=lambda claim: claim_plot(claim, records),
            view=lambda record: _shown(record, report.graph),
            graph_view=view,
            supernodes=supernodes,
            circuits=circuit_view(report),
            arguments=_arguments,
            words=words_of_report(report),
            tiers=TIERS,
            verdicts=VERDICTS,
            outcomes=OUTCOMES,
            phases=PHASES,
            verify_command=f"vesalius verify {report.run}",
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            policy=_policy(style, scripts),
        )
    )


def _attempts(lookup: Lookup) -> dict[str, Any]:
    """What the page says of attempts to break claims."""

    def attempt(claim: Claim, place: int) -> Markup:
        return render_html(attempt_sentence(claim.id, place, claim.attempts[place]), lookup)

    return {"tier_of": tier_of, "tally": tally, "how_tried": how_tried, "attempt": attempt}


def _beside_table(report: Report) -> Markup:
    """What both runs claim, place by place; empty where there is one run, or neither claims anything."""
    rows = [
        (
            quoted(row.place),
            row.says,
            verdict_cell(row.hidden),
            interval_cell(row.hidden),
            _linked(row.shown),
            interval_cell(row.shown),
        )
        for row in rows_of(report)
    ]
    caption = "Claims of both runs; those with names shown are the claims of this report"
    return table(HEAD, rows, caption, most=len(rows)) if rows else Markup("")


def _linked(shown: Brief | None) -> Markup:
    """The verdict of a claim of this report, with a link to it."""
    if shown is None:
        return Markup("{}").format(verdict_cell(shown))
    told = verdict_cell(shown).removeprefix(shown.id)
    return Markup('<a href="#{}">{}</a>{}').format(shown.id, shown.id, told)


@cache
def _environment() -> Environment:
    """Made once: its templates are compiled when they are first used."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    environment.filters["cut"] = cut
    environment.filters["marked"] = marked_text
    environment.filters["visible_lines"] = lambda text: visible(text, keep_lines=True)
    return environment


def _asset(name: str) -> str:
    text = (HERE / name).read_text(encoding="utf-8")
    for end in ("</script", "</style", "<!--"):  # any of these would end the element it is put in, or hide its end
        assert end not in text.lower(), f"{name} holds {end}"
    return text


def _policy(style: str, scripts: list[str]) -> str:
    runs = " ".join(_source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {runs}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def page_of(title: str, body: Markup) -> str:
    """A page of another kind than a report, in its colours; it runs no script at all."""
    style = _asset("templates/style.css")
    policy = f"default-src 'none'; style-src {_source(style)}; base-uri 'none'; form-action 'none'"
    page = Markup(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}\n</main>\n</body>\n</html>\n"
    )
    return str(page.format(policy, visible(title), Markup(style), body))


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _shown(record: MeasurementRecord, graph: str | None) -> Markup:
    """A result within its measurement; what has a section of its own is shown there, and no element comes twice."""
    if record.measurement.id == graph:
        return Markup('<p>Shown under <a href="#graph">attribution graph</a>.</p>')
    if record.measurement.tool == CIRCUIT_SEARCH:
        return Markup('<p>Shown under <a href="#circuit">circuit</a>.</p>')
    return view(record.measurement)


def _owned(report: Report) -> dict[str, list[MeasurementRecord]]:
    """The measurements shown within each claim; one that several claims share is shown with the first."""
    records = {record.measurement.id: record for record in report.measurements}
    owned: dict[str, list[MeasurementRecord]] = {}
    for claim in report.claims:
        owned[claim.id] = _taken(claim, records)
    owned[""] = list(records.values())
    return owned


def _taken(claim: Claim, records: dict[str, MeasurementRecord]) -> list[MeasurementRecord]:
    tried = [m for attempt in claim.attempts for m in attempt.measurements]
    return [records.pop(m) for m in (*claim.measurements, *tried) if m in records]


def _arguments(value: Any) -> str:
    """As indented JSON; of what is long, which is most of what is measured, no more is written than is shown."""
    text = "".join(_first(json.JSONEncoder(indent=1, ensure_ascii=False).iterencode(value)))
    shown = visible(text, keep_lines=True)
    if len(shown) <= LONGEST_ARGUMENTS:
        return shown
    return f"{shown[:LONGEST_ARGUMENTS]}\n… cut here; report.json holds all of it."


def _first(parts: Iterator[str]) -> Iterator[str]:
    """As many as make a text that is too long to be shown whole."""
    written = 0
    for part in parts:
        yield part
        written += len(part)
        if written > LONGEST_ARGUMENTS:
            return
