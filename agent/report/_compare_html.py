"""A comparison as one page: `comparison.html`."""

from collections.abc import Iterable

from markupsafe import Markup

from ..comparing.results import MEANING, ClaimAgain, Compared, WeightsCompared, counts
from ._svg import element
from ._tables import Cell, marked_text, quoted, table
from ._text import cut
from .compare import (
    ASKED,
    BADGES,
    BESIDE,
    CLAIMS,
    GROUPS,
    LINKS,
    LOST,
    MOST_GROUPS,
    MOST_LINKS,
    MOST_LOST,
    RANKS,
    asked_row,
    circuit_told,
    claim_row,
    first,
    group_rows,
    headline,
    label_of,
    link_row,
    lost_rows,
    reason_of,
    searched,
    tests_told,
    tokens_told,
    verify_commands,
    worth_saying,
)
from .html import page_of


def comparison_html(whole: Compared) -> str:
    """One file that asks no host for anything and runs nothing."""
    body = (
        element("p", "Comparison of two models", class_="kicker"),
        element("h1", f"{whole.a.model} → {whole.b.model}"),
        element("div", element("p", headline(whole)), element("p", marked_text(whole.weights.told)), class_="answer"),
        element("p", f"A: fingerprint {whole.a.fingerprint[:16]}. B: {whole.b.fingerprint[:16]}.", class_="meta"),
        *_claims(whole),
        *_behaviours(whole),
        *_circuits(whole),
        *_weights(whole.weights),
        *_beside(whole),
        *_ending(whole),
    )
    return page_of(f"{whole.a.model} → {whole.b.model}", Markup("").join(body))


def _claims(whole: Compared) -> Iterable[Markup]:
    yield element("h2", "Claims of A, tested again on B")
    for run in whole.runs:
        mine = [one for one in whole.retested.claims if one.earlier.run == run]
        rows = [_claim_cells(one) for one in mine]
        yield table(CLAIMS, rows, f"Claims of {run}; effects are shares of the gap", most=len(rows))
    for one in worth_saying(whole):
        kind = BADGES.get(one.label, "")
        head = element("h3", f"{one.earlier.id} ", element("span", label_of(one), class_=f"badge {kind}"))
        yield element("section", head, _statement(one), _detail(one), class_=f"claim {kind}")


def _claim_cells(one: ClaimAgain) -> list[Cell]:
    name, label, place, *effects, claim = claim_row(one)
    badge = element("span", label, class_=f"badge {BADGES.get(one.label, '')}".strip())
    link = element("a", claim, href=f"report.html#{claim}") if one.claim else Markup("–")
    return [name, badge, quoted(place), *(element("span", effect, class_="num") for effect in effects), link]


def _statement(one: ClaimAgain) -> Markup:
    return element("p", marked_text(one.earlier.statement), class_="statement")


def _detail(one: ClaimAgain) -> Markup:
    parts = [element("p", marked_text(reason_of(one)))]
    if one.left_out:
        parts.append(element("p", f"{one.left_out} pairs of prompts were left out, as B cannot read them."))
    if one.looked_at:
        parts.append(element("p", searched(one)))
    return Markup("").join(parts)


def _behaviours(whole: Compared) -> Iterable[Markup]:
    asked = whole.retested.behaviours
    if not asked:
        return
    yield element("h2", "What the models answer")
    rows = [[marked_text(why), *cells] for why, *cells in map(asked_row, asked)]
    yield table(ASKED, rows, "The prompts of A's runs, asked of both", most=len(rows))
    if lost := lost_rows(asked):
        rows = [[quoted(p), quoted(a), quoted(b), before, after] for p, a, b, before, after in lost]
        caption = f"Answered as expected by A and not by B{first(MOST_LOST, len(rows))}"
        yield table(LOST, rows[:MOST_LOST], caption)


def _circuits(whole: Compared) -> Iterable[Markup]:
    for one in whole.retested.circuits:
        yield element("h2", "Circuits side by side")
        yield element("p", circuit_told(one))
        if one.links:
            rows = [[quoted(source), quoted(slot), *cells] for source, slot, *cells in map(link_row, one.links)]
            shown = (
                f" (first {MOST_LINKS} of {len(rows)}; all are in comparison.json)" if len(rows) > MOST_LINKS else ""
            )
            yield table(LINKS, rows[:MOST_LINKS], f"Links of either, the strongest first{shown}")


def _weights(weights: WeightsCompared) -> Iterable[Markup]:
    yield element("h2", "What changed in the weights")
    yield element("p", marked_text(weights.told))
    if weights.groups:
        rows = group_rows(weights)
        shown = f"Groups of weights that differ, the most changed first{first(MOST_GROUPS, len(rows))}"
        yield table(GROUPS, rows[:MOST_GROUPS], shown)
        yield element("p", RANKS)
    if told := tokens_told(weights):
        yield element("p", marked_text(told))


def _beside(whole: Compared) -> Iterable[Markup]:
    if not whole.beside:
        return
    yield element("h2", "B's own run beside A's")
    rows = [[quoted(one.place), one.a or "–", one.b or "–", " ".join(one.words)] for one in whole.beside]
    yield table(BESIDE, rows, "What each run claimed of its own model", most=len(rows))


def _ending(whole: Compared) -> Iterable[Markup]:
    yield element("h2", "What the words mean")
    used = counts(whole.retested)
    yield element("ul", *(element("li", element("strong", one.label), f": {MEANING[one.label]}") for one in used))
    yield element("p", whole.correction)
    yield element("p", tests_told(whole))
    if whole.passed_over:
        yield element("h2", "Runs of A that were passed over")
        yield element("ul", *(element("li", cut(one)) for one in whole.passed_over))
    yield element("h2", "Measure again")
    page = element("a", "report.html", href="report.html")
    yield element("p", Markup("Every number on B is in {}, with its controls.").format(page))
    yield from (element("pre", command) for command in verify_commands(whole))
