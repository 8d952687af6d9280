"""The report in short, for a pull request: answer, claims with failed gates, supernodes, what was not found."""

from .._attempts import tier_of
from ._asked import how_asked
from ._attempt_words import attempt_sentence, how_tried, tally
from ._beside_words import HEAD, HIDDEN, NOTE as BESIDE_NOTE, interval_cell, rows_of, verdict_cell
from ._circuit_view import circuit_summary
from ._markdown_supernodes import in_cell, supernode_table
from ._sentence import Sentence
from ._text import markdown_block, markdown_code, markdown_text
from ._worded import NOTE
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
        *_asked(report),
        *(render_markdown(sentence, lookup) for sentence in report.answer),
        *_worded(report, lookup),
        f"**Premise:** {render_markdown(report.premise.sentence, lookup)}",
        *_claims(report, lookup),
        *_beside(report, lookup),
        *supernode_table(report, lookup),
        *circuit_summary(report, lookup),
        *_listed("Not found", report.not_found, lookup),
        *_listed("Prompting alone", report.black_box, lookup),
        _coverage(report),
        *_planning(report),
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


def _asked(report: Report) -> list[str]:
    """The question in the person's own words, where a language model read them."""
    asked = report.asked
    return [] if asked is None else [markdown_text(how_asked(asked)), markdown_block(asked.words)]


def _worded(report: Report, lookup: Lookup) -> list[str]:
    """The answer in a language model's words, with what was left out of it."""
    worded = report.worded
    if worded is None:
        return []
    said = [render_markdown(sentence, lookup) for sentence in worded.sentences]
    left_out = [f"- {markdown_text(one.text)} ({markdown_text(one.why)})" for one in worded.left_out]
    return [
        f"## In the words of {markdown_code(worded.by)}",
        f"*{NOTE}*",
        *([markdown_text(worded.problem)] if worded.problem else []),
        *([" ".join(said)] if said else []),
        *(["Left out:\n\n" + "\n".join(left_out)] if left_out else []),
    ]


def _claims(report: Report, lookup: Lookup) -> list[str]:
    if not report.claims:
        return ["No prediction was sealed, so nothing is claimed."]
    rows = [_row(claim, lookup) for claim in report.claims]
    details = [line for claim in report.claims for line in _unpassed(claim)]
    head = "| claim | verdict | tier | effect (interval) | what it says | measurements |"
    table = "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])
    return ["## Claims", table, *(["\n".join(details)] if details else []), *_attempts(report, lookup)]


def _attempts(report: Report, lookup: Lookup) -> list[str]:
    """What was tried to break claims."""
    if report.refuting is None:
        return []
    lines = []
    for claim in report.claims:
        lines += [f"- {claim.id}: {tally(claim.attempts)}"] if claim.attempts else []
        told = (attempt_sentence(claim.id, place, one) for place, one in enumerate(claim.attempts))
        lines += [f"  - {render_markdown(sentence, lookup)}" for sentence in told]
    tried = ["\n".join(lines)] if lines else []
    return ["## Attempts to break claims", markdown_text(how_tried(report.refuting)), *tried]


def _beside(report: Report, lookup: Lookup) -> list[str]:
    """What the run with names hidden found, beside this one."""
    beside = report.beside
    if beside is None:
        return []
    lines = [list(HEAD), ["---"] * len(HEAD)]
    for row in rows_of(report):
        found = [cell(brief) for brief in (row.hidden, row.shown) for cell in (verdict_cell, interval_cell)]
        lines.append([in_cell(markdown_code(row.place)), row.says, *found])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return [
        "## With names hidden",
        " ".join(render_markdown(sentence, lookup) for sentence in beside.sentences),
        *([table] if len(lines) > 2 else []),
        f"*{BESIDE_NOTE}*",
        f"The run {HIDDEN} is {markdown_code(beside.run)}. Measure its figures again:\n\n"
        + markdown_block(f"vesalius verify {beside.run}"),
    ]


def _row(claim: Claim, lookup: Lookup) -> str:
    judged = claim.judgement
    sentence = in_cell(render_markdown(claim.sentence, lookup))
    cells = (
        claim.id,
        f"{VERDICTS[judged.verdict][0]} {judged.verdict}",
        tier_of(claim),
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


def _planning(report: Report) -> list[str]:
    planned = report.planning
    if planned is None:
        return []
    about = "about " if planned.estimated else ""
    return [
        f"**Planning:** {markdown_code(planned.model)} was asked {planned.turns} times, {planned.useless} of them in "
        f"vain, with {about}{planned.tokens} tokens; {markdown_text(planned.ended)}. It chose experiments and places; "
        "prompts, controls, bars, verdicts and words are by code."
        + (
            f" Hidden from it until its predictions were sealed: {markdown_text(planned.blinded)}."
            * bool(planned.blinded)
        )
        + (
            f" As its endpoint refuses a parameter, it was asked with {markdown_text(planned.asked_otherwise)}."
            * bool(planned.asked_otherwise)
        )
    ]


def _coverage(report: Report) -> str:
    examined = ", ".join(f"{count} {markdown_code(kind)}" for kind, count in report.coverage.examined.items())
    left_out = "; ".join(markdown_text(what) for what in report.coverage.not_examined)
    said = f"**Coverage:** {report.coverage.units_looked_at} units looked at; examined {examined or 'no site'}."
    return f"{said} Not examined: {left_out}." if left_out else said
