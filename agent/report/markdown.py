"""The report in short, for a pull request: answer, claims with failed gates, supernodes, what was not found."""

from ._circuit_view import circuit_summary
from ._markdown_supernodes import in_cell, supernode_table
from ._sentence import Sentence
from ._text import markdown_block, markdown_code, markdown_text
from .effects import effect_cell
from .figures import Lookup, render_markdown
from .legend import OUTCOMES, VERDICTS, words_of
from .schema import Claim, Report


def render_report_markdown(report: Report) -> str:
    """The whole summary."""
    lookup = Lookup.of(report)
    key = report.subject.key
    parts = [
        "# Circuit report",
        markdown_block(report.question),
        *(render_markdown(sentence, lookup) for sentence in report.answer),
        f"**Premise:** {render_markdown(report.premise.sentence, lookup)}",
        *_claims(report, lookup),
        *supernode_table(report, lookup),
        *circuit_summary(report, lookup),
        *_listed("Not found", report.not_found, lookup),
        *_listed("Prompting alone", report.black_box, lookup),
        _coverage(report),
        f"Model {markdown_code(key.model)}, fingerprint {markdown_code(key.fingerprint[:16])}; planner "
        f"{markdown_code(report.planner)}; {len(report.measurements)} measurements; ledger "
        f"{markdown_code(report.ledger_digest[:16])}.",
        f"Measure every number again:\n\n{markdown_block(f'vesalius verify {report.run}')}",
    ]
    return "\n\n".join([*parts, *_words(parts)]) + "\n"


def _words(parts: list[str]) -> list[str]:
    """The words that the summary used, with what they mean."""
    words = words_of("\n".join(parts))
    return [
        "## What the words mean",
        "\n".join(f"- {markdown_code(w.name)}: {markdown_text(w.meaning)}" for w in words),
    ]


def _claims(report: Report, lookup: Lookup) -> list[str]:
    if not report.claims:
        return ["No prediction was sealed, so nothing is claimed."]
    rows = [_row(claim, lookup) for claim in report.claims]
    details = [line for claim in report.claims for line in _unpassed(claim)]
    head = "| claim | verdict | tier | effect (interval) | what it says | measurements |"
    table = "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])
    return ["## Claims", table, *(["\n".join(details)] if details else [])]


def _row(claim: Claim, lookup: Lookup) -> str:
    judged = claim.judgement
    sentence = in_cell(render_markdown(claim.sentence, lookup))
    cells = (
        claim.id,
        f"{VERDICTS[judged.verdict][0]} {judged.verdict}",
        judged.tier,
        effect_cell(claim, lookup),
        sentence,
        ", ".join(claim.measurements),
    )
    return f"| {' | '.join(cells)} |"


def _unpassed(claim: Claim) -> list[str]:
    return [
        f"- {claim.id}, gate {markdown_code(gate.name)} {OUTCOMES[gate.outcome][1]}: {markdown_text(gate.reason)}"
        for gate in claim.judgement.gates
        if gate.outcome != "pass"
    ]


def _listed(title: str, sentences: tuple[Sentence, ...], lookup: Lookup) -> list[str]:
    if not sentences:
        return []
    return [f"## {title}", "\n".join(f"- {render_markdown(sentence, lookup)}" for sentence in sentences)]


def _coverage(report: Report) -> str:
    examined = ", ".join(f"{count} {markdown_code(kind)}" for kind, count in report.coverage.examined.items())
    left_out = "; ".join(markdown_text(what) for what in report.coverage.not_examined)
    said = f"**Coverage:** {report.coverage.units_looked_at} units looked at; examined {examined or 'no site'}."
    return f"{said} Not examined: {left_out}." if left_out else said
