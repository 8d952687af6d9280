"""One run in which a language model plans blindly, tries its own claims, and words the answer."""

import json
from typing import NamedTuple

import pytest
from finished_runs import DALLAS
from rich.console import Console
from scripted_endpoint import Played, calls, says, serving
from vesalius.agent.answering import print_answer
from vesalius.agent.asking import Where, ask, desk_for, start_run
from vesalius.agent.ledger import read_ledger
from vesalius.agent.planners.llm_blinding import Blinding
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.planners.llm_words import quoted
from vesalius.agent.rebuilding import record_drifts
from vesalius.agent.rejudging import rejudged
from vesalius.agent.report.schema import Report, read_report
from vesalius.agent.runs import Planned, RunFolder
from vesalius.agent.wording import Rules

AIM = {"why": "to see where", "would_change": "nothing moves"}
GUESS = {"claim": "carries", "at": "entity", "reason": "it moved", "alternative": "it goes along"}
SENTENCES = (
    "The answer is carried in `resid_post.1` (effect {{c1:judgement.effect|.2f}}).",
    "It moves 97 percent of them.",
    "That `c2` holds was refuted.",
    "The model answers `Austin`.",
)
HIDDEN = Blinding("both", 0, 4, 4)


class Interrupted(Exception):
    """Stands for a kill."""


class Run(NamedTuple):
    """A run with what was said in it."""

    folder: RunFolder
    report: Report
    played: Played


def script() -> list[tuple[int, str]]:
    first, second = (HIDDEN.named(f"resid_post.{layer}") for layer in (1, 2))
    look = {"pairs": "discovery", "sites": [first, second], "positions": ["entity"], **AIM}
    return [
        calls(("patch", look), ("logit_lens", {"prompts": ["the capital"], **AIM})),
        calls(*(("predict", {**GUESS, "site": site}) for site in (first, second))),
        calls(("finish", {"reason": "enough"})),
        calls(("try_wordings", {"wordings": ["the capital of {town} is"]})),  # no slot that there is
        calls(("try_wordings", {"wordings": ["people in {word} know that the capital of their state is called"]})),
        says({"call": "answer", "arguments": {"sentences": SENTENCES}}),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory, atlas) -> Run:
    """The run, killed once in the middle of an attempt and taken up again."""
    where = Where(tmp_path_factory.mktemp("roles"), use_memory=False)
    planned = Planned(by="tiny", advised_by="tiny", refute="llm", attempts=1, writer="llm", blind="both")
    folder = start_run(where, atlas, DALLAS, 0, "cpu", planned=planned)

    def kill(event):
        if event["event"] == "sealed" and event["prediction"] == "c1.1":
            raise Interrupted

    with serving(*script()) as played:
        consultant = Consultant(lambda: Endpoint(base_url=played.url, model="tiny"), "tiny")
        with desk_for(where, atlas, folder, None, consultant) as desk, pytest.raises(Interrupted):
            ask(desk, kill)
        with desk_for(where, atlas, folder, None, consultant) as desk:
            ask(desk, lambda event: None)
    return Run(folder, read_report(folder.path / "report.json"), played)


def keys(run: Run) -> list[str]:
    return [entry.key for entry in read_ledger(run.folder.ledger)]


def test_a_run_taken_up_again_asks_nothing_twice(run):
    assert len(run.played.asked) == len(script())


def test_every_supported_claim_about_a_place_is_tried_and_no_other(run):
    first, second = run.report.claims
    assert (first.judgement.verdict, second.judgement.verdict) == ("supported", "refuted")
    assert [attempt.id for attempt in first.attempts] == ["c1.1"]
    assert not second.attempts


def test_an_attempt_is_about_the_very_place_on_other_prompts(run):
    (claim, _), ((attempt,), _) = run.report.claims, [claim.attempts for claim in run.report.claims]
    mine, theirs = claim.prediction.arms[0].args, attempt.prediction.arms[0].args
    assert {k: v for k, v in mine.items() if k != "pairs"} == {k: v for k, v in theirs.items() if k != "pairs"}
    assert all("know that the capital of their state is called" in pair["base"] for pair in theirs["pairs"])
    assert attempt.prediction.direction == "none"
    assert attempt.outcome == "survived"
    assert attempt.judgement.effect > 0.8


def test_the_subject_is_asked_before_an_attempt_is_sealed_and_it_is_measured_after(run):
    order = [key for key in keys(run) if "c1.1" in key]
    assert order[:3] == ["prompts:c1.1", "measured:c1.1: asked", "sealed:c1.1"]
    assert all(key.startswith("confirmed:c1.1:") for key in order[3:-1])
    assert order[-1] == "attempted:c1.1"


def test_wordings_that_cannot_be_filled_come_back_with_the_mend(run):
    again = run.played.asked[4]["messages"][-1]["content"]
    assert "has not the right slots" in again
    assert "{word} in it once" in again


def test_the_units_of_the_report_are_those_that_claims_were_corrected_for(run):
    # Two claims, each a place that was looked at: the attempts to break one come after its verdict.
    assert run.report.coverage.units_looked_at == 2
    gates = [gate for claim in run.report.claims for gate in claim.judgement.gates if gate.name == "permutation"]
    assert gates
    assert all("among 2 units" in gate.reason for gate in gates)


def test_a_report_with_attempts_and_wording_is_built_again_without_an_endpoint(run, atlas):
    assert not record_drifts(run.report, Where(run.folder.path.parents[1], use_memory=False), atlas, run.folder)


def test_attempts_are_judged_again_as_claims_are(run):
    again = rejudged(run.report, {r.measurement.id: r.measurement for r in run.report.measurements})
    (attempt,) = run.report.claims[0].attempts
    assert again["c1.1"] == attempt.judgement
    assert {claim.id: again[claim.id] for claim in run.report.claims} == {c.id: c.judgement for c in run.report.claims}


def test_the_planner_never_saw_the_true_name_of_a_place_or_which_effect_was_its(run):
    told = [m["content"] for m in run.played.asked[2]["messages"] if m["role"] != "assistant"]
    (patched,) = (json.loads(text) for text in told if text.startswith('{"id"') and "effects" in text)
    assert [place["site"] for place in patched["effects"]] == [HIDDEN.named(f"resid_post.{i}") for i in (1, 2)]
    assert all(place.keys() == {"site", "position", "A", "B"} for place in patched["effects"])
    assert any("`logit_lens` would show what is hidden" in text for text in told)
    assert not any("resid_post.1" in text for text in told if "resid_post" in text and "Noted" in text)


def test_what_was_hidden_is_in_the_ledger_after_the_seal_and_in_the_report(run):
    order = keys(run)
    assert order.index("unblinded") > order.index("sealed:p2")
    assert order.index("unblinded") < min(i for i, key in enumerate(order) if key.startswith("confirmed:"))
    (entry,) = (entry for entry in read_ledger(run.folder.ledger) if entry.key == "unblinded")
    assert entry.body["unblinded"]["layers"] == list(HIDDEN.layers)
    assert run.report.planning is not None
    assert "which layer and head was which" in run.report.planning.blinded


def test_sentences_that_keep_to_the_rules_stand_beside_the_answer_and_others_are_listed_with_why(run):
    worded = run.report.worded
    assert worded is not None
    assert [sentence.text for sentence in worded.sentences] == [SENTENCES[0], SENTENCES[2]]
    assert [one.text for one in worded.left_out] == [quoted(SENTENCES[1]), quoted(SENTENCES[3])]
    assert "97" not in worded.left_out[0].text
    assert "cites no claim" in worded.left_out[1].why
    assert not {sentence.text for sentence in run.report.answer} & {*SENTENCES}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Half of the answers move: `c1`.", "figure in words"),
        ("The effect is `97`, as `c1` says.", "no name of this report"),
        ('As "97 percent" of `c1`.', "quotes nothing but a number"),
        ('As "about 97" of `c1`.', "no name of this report"),
        ("`c2` holds at `resid_post.2`.", "cites a claim that is refuted, and does not say so"),
        ("`c2` is not refuted.", "denies a verdict"),
        ("`c1` was refuted.", "no claim that it cites is refuted"),
        ("`c1` is undecided.", "no claim that it cites is inconclusive"),
        ("The effect is {{c9:judgement.effect}}.", "holds no c9"),
        ("The effect is {{c1:judgement.size}}.", "no `size` here"),
        ("{{c1:judgement.reason}} says `c1`.", "not a number"),
        ("`c1` and `c2`, which was refuted, cause it.", "does not bear 'cause'"),
        ("`c1` shows that `resid_post.2` carries the answer.", "it names `resid_post.2`, which no claim that it cites"),
    ],
)
def test_a_sentence_that_breaks_a_rule_is_left_out(said, why, run):
    assert why in Rules(run.report).refusal_of(said)


@pytest.mark.parametrize(
    "said",
    [
        "`resid_post.1` carries the answer, and `c1` always held.",
        "`c1` is supported, with effect {{c1:judgement.effect|.2f}}; `c2` was refuted.",
    ],
)
def test_a_sentence_that_keeps_them_is_shown(said, run):
    assert not Rules(run.report).refusal_of(said)


def test_a_figure_of_what_was_only_explored_is_told_as_observed(run):
    explored = next(r.measurement.id for r in run.report.measurements if r.measurement.tool == "patch")
    rules = Rules(run.report)
    assert "does not bear 'causes'" in rules.refusal_of(f"It causes {{{{{explored}:cells.0.effect}}}}.")
    assert not rules.refusal_of(f"While exploring {{{{{explored}:cells.0.effect}}}} was seen.")


def test_every_page_tells_of_attempts_and_of_whose_words_they_are(run, capsys):
    for page in ("report.md", "report.html"):
        text = (run.folder.path / page).read_text()
        assert "Attempts to break it: 1 (1 survived)" in text
        assert "Whether the sentences are true was not checked" in text
        assert "Hidden from it until its predictions were sealed" in text
        assert "It moves" in text  # among those left out
        assert "97 percent" not in text  # neither in its words nor in why
    print_answer(Console(width=200), run.report, {"html": "", "md": "", "json": ""}, "vesalius verify")
    told = capsys.readouterr().out
    assert "Attempts to break it: 1 (1 survived)" in told
    assert "Sentences left out: 2" in told
