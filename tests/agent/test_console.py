"""What a person sees in the terminal: short while it runs, then the answer and every claim once, at any width."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text
from vesalius.agent.answering import print_answer
from vesalius.agent.console import Watcher, hang, in_short
from vesalius.agent.report.figures import Lookup, render_plain
from vesalius.agent.report.legend import words_of

PATHS = {
    kind: f"/a/long/path/to/a/folder/of/runs/20260102-a-run-with-a-long-name/report.{kind}"
    for kind in ("html", "md", "json")
}
VERIFY = "vesalius verify last --home '/a/folder with spaces and a name that is longer than the console is wide'"


def console(width: int, **more) -> Console:
    return Console(file=io.StringIO(), width=width, **more)


def printed(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def answer_of(report, width: int, **more) -> str:
    to = console(width, **more)
    print_answer(to, report, PATHS, VERIFY)
    return printed(to)


def said(report, claim) -> str:
    return render_plain(claim.sentence, Lookup.of(report))


def watched(*events, width: int = 80) -> str:
    to = console(width)
    watcher = Watcher(to)
    for event in events:
        watcher.see(event)
    return printed(to)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_lines_fit_the_console_and_hang_but_commands_and_paths_stay_whole(dallas, width):
    shown = answer_of(dallas.report, width)
    whole = [line for line in shown.splitlines() if "/a/" in line]
    assert [line.strip() for line in whole] == [*PATHS.values(), f"Measure every number again: {VERIFY}"]
    assert [line for line in shown.splitlines() if len(line) > width and line not in whole] == []
    starts = [line for line in shown.splitlines() if re.match(r"  c\d+ ", line)]
    assert len(starts) == len(dallas.report.claims)


def test_a_line_uses_the_width_it_has():
    to = console(20)
    hang(to, Text("one two three four five six seven"), 2, 5)
    assert printed(to).splitlines() == ["  one two three four", "     five six seven"]


def test_a_file_gets_every_sentence_in_one_line(dallas):
    shown = answer_of(dallas.report, 80, soft_wrap=True)
    texts = [line.strip() for line in shown.splitlines()]
    for claim in dallas.report.claims:
        assert said(dallas.report, claim) in texts


def test_each_claim_is_printed_once_with_verdict_tier_effect_and_interval(dallas):
    shown = answer_of(dallas.report, 80, soft_wrap=True)
    for claim in dallas.report.claims:
        judged = claim.judgement
        assert shown.count(said(dallas.report, claim)) == 1
        effect = f"effect {judged.effect:z.2f}, interval {judged.low:z.2f} to {judged.high:z.2f}"
        assert f"{claim.id} {judged.verdict}, {judged.tier}; {effect}" in shown
    assert shown.index("Answer") < shown.index("Claims") < shown.index("Report") < shown.index("What the words mean")


def test_why_is_said_only_where_a_claim_is_not_supported(dallas):
    held = tuple(claim for claim in dallas.report.claims if claim.judgement.verdict == "supported")
    report = dallas.report.model_copy(update={"claims": held})
    assert held
    assert "Why:" not in answer_of(report, 100)
    changes = {"verdict": "inconclusive", "tier": "observed", "reason": "Too few clusters: 3."}
    judged = held[0].judgement.model_copy(update=changes)
    claims = (held[0].model_copy(update={"judgement": judged}), *held[1:])
    shown = answer_of(report.model_copy(update={"claims": claims}), 100)
    assert shown.count("Why:") == 1
    assert "Why: Too few clusters: 3." in shown


def test_the_words_that_were_printed_are_explained_and_no_others(dallas):
    above, legend = answer_of(dallas.report, 80, soft_wrap=True).split("What the words mean")
    listed = [line.strip() for line in legend.strip().splitlines()]
    prose = above[: above.index("\nReport\n")]
    assert listed == [f"{word.name}: {word.meaning}" for word in words_of(prose)]
    assert any(line.startswith("resid_post.L: ") for line in listed)


def test_seals_and_verdicts_are_short_while_it_runs(dallas):
    shown = watched(*dallas.events, width=140)
    sealed = re.findall(r"^ +(p\d+) (.*)$", shown, re.MULTILINE)
    assert ("p1", in_short(dallas.report.claims[0].hypothesis.statement)) in sealed
    assert "exchanging what" not in shown
    judged = re.findall(r"^ +(c\d+) (.*)$", shown, re.MULTILINE)
    assert judged == [(c.id, f"{c.judgement.verdict} ({c.judgement.tier})") for c in dallas.report.claims]


def test_each_confirmation_is_one_line_and_each_exploration_says_its_why_first(dallas):
    lines = watched(*dallas.events, width=400).splitlines()
    ran = [e for e in dallas.events if e["event"] == "started"]
    assert sum(line.startswith(" confirm p") for line in lines) == sum(e["phase"] == "confirm" for e in ran)
    assert sum(line.startswith(" explore ") for line in lines) == sum(e["phase"] == "explore" for e in ran)


@pytest.mark.parametrize(
    ("statement", "short"),
    [
        ("At `a:b`, it holds: more.", "At `a:b`, it holds"),
        ("`a: b` is part of the path: more.", "`a: b` is part of the path"),
        ("It holds.", "It holds."),
        ("An `odd one: more", "An `odd one: more"),
    ],
)
def test_a_statement_is_cut_at_its_own_colon_and_at_none_of_a_name(statement, short):
    assert in_short(statement) == short


def test_what_is_recalled_is_called_a_hint_that_is_no_evidence():
    finding = {"text": "supported, replicated: `x` holds it.", "run": "earlier"}
    again = {**finding, "run": "before"}
    shown = watched({"event": "recalled", "findings": [finding, again]}, width=200)
    assert "none counts as evidence" in shown
    assert "    hint supported, replicated: `x` holds it.  run earlier and 1 more" in shown


HOSTILE = "a\x1b[31mred\x07\u202ex"


@pytest.mark.parametrize(
    "event",
    [
        {"event": "started", "phase": "explore", "tool": "patch", "why": HOSTILE},
        {"event": "sealed", "prediction": "p1", "statement": HOSTILE},
        {"event": "notice", "text": HOSTILE},
        {"event": "recalled", "findings": [{"text": HOSTILE, "run": HOSTILE}]},
    ],
)
def test_text_of_the_model_cannot_steer_the_terminal(event):
    shown = watched(event, width=200)
    assert "a\\u001b[31mred\\u0007\\u202ex" in shown
    assert not re.search(r"[\x07\x1b\u202e]", shown)


def test_the_readme_shows_what_is_printed(dallas):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example = readme.split("```text\n")[1].split("$ vesalius verify")[0]
    printed_here = " ".join(answer_of(dallas.report, 110).split())
    parts = [" ".join(part.split()) for part in re.split(r"^ *…$", example, flags=re.MULTILINE)[1:]]
    assert [part for part in parts if part not in printed_here] == []
