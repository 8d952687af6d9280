"""An audit's table as files: JSON lines for programs, Markdown and HTML to read, JUnit XML for what stops a release."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

from ..report._svg import element
from ..report._tables import table
from ..report._text import cut, markdown_line, markdown_text, visible
from ..report.html import page_of
from ..runs import write_whole
from .spec import FOUND
from .spikes import Rate
from .table import Audited, Row

FILES = ("table.jsonl", "summary.md", "summary.html", "junit.xml")
COUNTED = {"fails": "failing", "passes": "passing", "not done": "not done"}
SPIKED_ON = (
    "They were put to the reference model, among the others and judged alike: small clear cases, which say how sharp "
    "the audit is and not how hard its models are. Intervals take them for independent, which questions about one "
    "model are not quite."
)
HEAD = ("item", "model", "seed", "", "found", "answer")
_UNDER = "| --- "
# Not written in XML 1.0, whatever a model says.
_XML = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F, 0xFFFE, 0xFFFF) if chr(code) not in "\n\t"}


def write_table(audited: Audited, folder: Path) -> list[Path]:
    """Write all four; each is whole or as it was."""
    texts = (jsonl(audited), markdown(audited), page(audited), junit(audited))
    for name, text in zip(FILES, texts, strict=True):
        write_whole(folder / name, text)
    return [folder / name for name in FILES]


def jsonl(audited: Audited) -> str:
    """A line for each cell: the same to the byte whenever the same came of it."""
    return "".join(f"{row.model_dump_json()}\n" for row in (*audited.rows, *audited.spiked))


def verdict(row: Row) -> str:
    """Of a cell, in a word."""
    if row.outcome is None:
        return "not done"
    return "fails" if row.fails else "passes"


def headline(audited: Audited) -> str:
    """The audit in a sentence."""
    counts = Counter(map(verdict, audited.rows))
    told = ", ".join(f"{counts[word]} {said}" for word, said in COUNTED.items() if counts[word])
    return f"{len(audited.rows)} cell{'s' * (len(audited.rows) != 1)}: {told}."


def markdown(audited: Audited) -> str:
    """To read, and to paste into a release."""
    lines = [
        f"# Audit {markdown_text(audited.audit)}",
        "",
        f"**{headline(audited)}**",
        "",
        _rule(HEAD),
        _UNDER * len(HEAD) + "|",
    ]
    lines += [_rule(map(markdown_text, summary_cells(row))) for row in audited.rows]
    lines += ["", "What is found: " + "; ".join(f"**{name}** {said}" for name, said in FOUND.items()) + ".", ""]
    beside = _spiked_in_markdown(audited) if audited.spiked else []
    return "\n".join([*lines, *beside, f"{_claims(audited)} {audited.correction}", ""])


def _spiked_in_markdown(audited: Audited) -> list[str]:
    rows = [_rule((row.item, row.spike, ", ".join(row.found))) for row in audited.spiked]
    head = ("spike-in", "truth", "found")
    told = [f"**{calibrated(audited)}** {SPIKED_ON}", ""]
    return [*told, _rule(head), _UNDER * len(head) + "|", *rows, ""]


def calibrated(audited: Audited) -> str:
    """What came of the spike-ins, in a sentence or two; empty where there are none."""
    found = audited.calibration
    if found is None:
        return ""
    planted, null = _rate(found.planted), _rate(found.null)
    waiting = sum(row.outcome is None for row in audited.spiked)
    told = f"Of spike-ins in which something is to be found {planted}; of those in which nothing is {null}."
    return told + (f" {waiting} are not done." if waiting else "")


def _rate(rate: Rate) -> str:
    if rate.low is None or rate.high is None:
        return "none is done"
    return f"{rate.n_supported} of {rate.n} end in a supported claim (95 % interval {rate.low:.0%} to {rate.high:.0%})"


def _rule(cells: Iterable[str]) -> str:
    return "| " + " | ".join(markdown_line(cell).replace("\n", " ") for cell in cells) + " |"


def _claims(audited: Audited) -> str:
    withdrawn = sum(len(row.withdrawn) for row in audited.rows)
    kept = sum(len(row.supported) for row in audited.rows)
    told = f"{kept} claims are supported; {withdrawn} are so in their own investigation alone."
    return f"{told} {audited.n_claims} claims of effects are counted together."


def summary_cells(row: Row) -> tuple[str, ...]:
    """A cell of the audit as a line of its table."""
    said = _said(row)
    return row.item, row.subject, str(row.seed), verdict(row), ", ".join(row.found), cut(said)


def _said(row: Row) -> str:
    if row.outcome is None:
        return ""
    return row.outcome.failed or row.outcome.unanswerable or row.outcome.answer


def page(audited: Audited) -> str:
    """One file that asks no host for anything and runs nothing."""
    cells = (summary_cells(row) for row in audited.rows)
    rows = [(item, subject, seed, _badge(word), *said) for item, subject, seed, word, *said in cells]
    meaning = [element("li", element("strong", name), f": {said}") for name, said in FOUND.items()]
    body = (
        element("h1", f"Audit {audited.audit}"),
        element("p", headline(audited), class_="answer"),
        table(HEAD, rows, "Every cell", most=len(rows)),
        element("h2", "What is found"),
        element("ul", *meaning),
        *_spiked_in_html(audited),
        element("h2", "Counted together"),
        element("p", f"{_claims(audited)} {audited.correction}"),
    )
    return page_of(f"Audit {audited.audit}", Markup("").join(body))


def _spiked_in_html(audited: Audited) -> tuple[Markup, ...]:
    if not audited.spiked:
        return ()
    rows = [(row.item, row.spike, ", ".join(row.found)) for row in audited.spiked]
    return (
        element("h2", "This audit, measured"),
        element("p", element("strong", calibrated(audited)), f" {SPIKED_ON}"),
        table(("spike-in", "truth", "found"), rows, "Questions of known truth", most=len(rows)),
    )


def _badge(word: str) -> Markup:
    kinds = {"fails": "refuted", "passes": "supported", "not done": "inconclusive"}
    return element("span", word, class_=f"badge {kinds[word]}")


def junit(audited: Audited) -> str:
    """As programs that run tests write it: a suite for each model, a case for each cell."""
    root = ElementTree.Element("testsuites", name=_xml(audited.audit))
    for subject in dict.fromkeys(row.subject for row in audited.rows):
        rows = [row for row in audited.rows if row.subject == subject]
        fails, waits = (sum(verdict(row) == word for row in rows) for word in ("fails", "not done"))
        counted = {"tests": len(rows), "failures": fails, "errors": 0, "skipped": waits}
        attributes = {"name": _xml(subject), **{name: str(count) for name, count in counted.items()}}
        suite = ElementTree.SubElement(root, "testsuite", attributes)
        for row in rows:
            case = ElementTree.SubElement(
                suite, "testcase", classname=_xml(subject), name=f"{row.item} seed {row.seed}"
            )
            if row.fails:
                message = f"{', '.join(row.fails)}: {FOUND[row.fails[0]]}"
                ElementTree.SubElement(case, "failure", message=message).text = _xml(_said(row))
            elif row.outcome is None:
                ElementTree.SubElement(case, "skipped", message="not done")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return visible(text, keep_lines=True).translate(_XML)
