"""The supernodes of a report's graph as a Markdown table: which names held when tested, and why others are none.

The same statuses as on the page (`_supernode_view.py`). A name that does not hold is no name here either: the group is
called unnamed, and what it would be called stands beside, with what became of that. Figures stand with the measurements
that they come from; counts that no measurement made are left out.
"""

from collections.abc import Iterable, Sequence

from ...tools import Measurement
from ._supernode_status import SupernodeStatus, probes_of, supernode_statuses
from ._text import markdown_code, markdown_text
from .effects import effect_cell
from .figures import Lookup, render_markdown
from .legend import VERDICTS
from .schema import Claim, Report

HEAD = ("supernode", "class", "features", "tests of the name: effect (interval)", "measurements", "why")
MOST_FEATURES = 24  # named in a cell; a page has all


def supernode_table(report: Report, lookup: Lookup) -> list[str]:
    """Heading, lead and table; nothing where there is no graph, or its features were not named."""
    measurements = [record.measurement for record in report.measurements]
    graph = next((m for m in measurements if m.id == report.graph), None)
    probes = probes_of(graph, measurements) if graph else None
    if graph is None or probes is None:
        return []
    statuses = supernode_statuses(probes, report.claims, measurements)
    claims = {claim.id: claim for claim in report.claims}
    rows = [_row(one, [claims[c.id] for c in one.claims], probes, lookup) for one in statuses]
    lead = (
        f"Features of the attribution graph [{graph.id}], grouped by where probe prompts make them fire [{probes.id}]. "
        "A group is called by its name only where every prediction that was sealed about what its features do held."
    )
    table = "\n".join([_line(HEAD), _line(["---"] * len(HEAD)), *rows])
    return ["## Supernodes", lead, table, *_ungrouped(statuses, probes)]


def _row(one: SupernodeStatus, claims: Sequence[Claim], probes: Measurement, lookup: Lookup) -> str:
    called = markdown_code(one.name)
    tests = (
        f"{c.id} {VERDICTS[c.judgement.verdict][0]} {c.judgement.verdict} {effect_cell(c, lookup)}" for c in claims
    )
    ids = dict.fromkeys((probes.id, *(name for claim in claims for name in claim.measurements)))
    cells = (
        called if one.holds else f"unnamed; {called} by where it fires",
        markdown_text(", ".join(one.classes)),
        _features(one.features),
        "; ".join(tests) or "none sealed",
        ", ".join(ids),
        _why(one, claims, lookup),
    )
    return _line(map(in_cell, cells))


def _verdict(claim: Claim) -> str:
    said = claim.judgement.verdict
    return f"{VERDICTS[said][0]} {said}"


def _why(one: SupernodeStatus, claims: Sequence[Claim], lookup: Lookup) -> str:
    """Why it has its name or none; of a name that was tested and did not hold, what the judge said of each test."""
    reason = render_markdown(one.reason, lookup)
    if one.holds:
        return reason
    failed = (claim for claim in claims if claim.judgement.verdict != "supported")
    judged = (f"{claim.id}: {markdown_text(claim.judgement.reason)}" for claim in failed)
    return " ".join([f"{one.status}: {reason}", *judged])


def _ungrouped(statuses: Sequence[SupernodeStatus], probes: Measurement) -> list[str]:
    grouped = {feature for one in statuses for feature in one.features}
    probed = [f"{one['layer']}/{one['feature']}" for one in probes.result["features"]]
    left = [feature for feature in probed if feature not in grouped]
    return [f"Probed features in no supernode [{probes.id}]: {_features(left)}."] if left else []


def _features(names: Sequence[str]) -> str:
    shown = ", ".join(map(markdown_code, names[:MOST_FEATURES]))
    return f"{shown} and others" if len(names) > MOST_FEATURES else shown


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def in_cell(markdown: str) -> str:
    """Markdown whose bars divide no table: those of code spans are not escaped yet."""
    escaped, bare = "", False
    for character in markdown:
        escaped += "\\|" if character == "|" and not bare else character
        bare = character == "\\" and not bare
    return escaped
