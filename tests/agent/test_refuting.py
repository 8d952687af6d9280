"""A claim that holds only in the wording it was tested in is broken; a language model that tries again is told how its
attempts came out."""

import json
from typing import Any

import pytest
from finished_runs import DALLAS
from scripted_endpoint import Played, calls, serving
from typer.testing import CliRunner
from vesalius.agent._attempts import in_words
from vesalius.agent._evidence import Arm, Hypothesis, Prediction
from vesalius.agent.advice import Advice
from vesalius.agent.asking import Where, start_run
from vesalius.agent.budget import Budget
from vesalius.agent.cli import app
from vesalius.agent.desk import Desk
from vesalius.agent.failing import EXIT_ERROR
from vesalius.agent.investigation import investigate
from vesalius.agent.ledger import Ledger, LedgerError, read_ledger
from vesalius.agent.planners._counter_prompts import material_of, pairs_for
from vesalius.agent.planners.interface import Experiment, Proposal
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.planners.llm_turns import Turn
from vesalius.agent.planners.protocol import ProtocolPlanner
from vesalius.agent.purse import Purse
from vesalius.agent.rebuilding import recorded
from vesalius.agent.report.figures import Lookup, render_plain
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import Planned, RunFolder

WORDING = "the capital of the state containing {word} is"
LAST_BUT_ONE = "-2"  # where the city stands in that wording, and in no other


class OneWording(ProtocolPlanner):
    """Tests in a single wording what it says of all, at a place that only this wording has."""

    name = "one wording"

    def _pairs(self, view, split):
        family = next(f for f in view.card.tasks if f.name == "two_hop")
        mine = {row.slots["city"] for row in family.rows if row.split == split}
        material = material_of({"pairs": []}, family)
        facts = tuple(fact for fact in material.facts if fact.word in mine)
        return pairs_for(material.model_copy(update={"facts": facts}), [WORDING], (), set(), split)[:20]

    def _args(self, view, split):
        return {"pairs": list(self._pairs(view, split)), "sites": ["resid_post.1"], "positions": [LAST_BUT_ONE]}

    def next_experiment(self, view):
        first = super().setting_up(view)
        if first is not None or "look" in view.results:
            return first
        return Experiment(key="look", tool="patch", args=self._args(view, "train"), why="to see it first")

    def propose(self, view):
        arm = Arm(label="a", counterfactual_family="a", tool="patch", args=self._args(view, "held_out"))
        hypothesis = Hypothesis(
            id="h1", statement="The last but one token carries it.", kind="mediation", alternatives=(), refuted_if="no"
        )
        prediction = Prediction(
            id="p1",
            hypothesis="h1",
            direction="positive",
            arms=(arm,),
            chance=0.1,
            holds_out_entities=True,
            holds_out_template=True,
        )
        return (Proposal(hypothesis=hypothesis, prediction=prediction),)

    def closing(self, view):
        return ()


def tried(home, atlas, refute: str):
    where = Where(home, use_memory=False)
    folder = start_run(where, atlas, DALLAS, seed=0, device="cpu", planned=Planned(refute=refute))
    with Ledger(folder.ledger) as ledger:
        list(investigate(Desk(atlas, OneWording(0), folder, ledger, None, 0), DALLAS))
    return folder, read_report(folder.path / "report.json")


@pytest.fixture(scope="module")
def broken(tmp_path_factory, atlas):
    return tried(tmp_path_factory.mktemp("broken"), atlas, "protocol")


def test_what_holds_in_one_wording_alone_is_broken_in_others_and_said_to_be(broken):
    _, report = broken
    (claim,) = report.claims
    first, second = claim.attempts
    assert claim.judgement.verdict == "supported"
    assert first.outcome == "broken"
    assert abs(first.judgement.effect) < 0.05
    assert (first.by, first.way) == ("", "in wordings that it was not tested in")
    assert second.way == "behind a sentence that has nothing to do with them"
    (said,) = (sentence for sentence in report.answer if "claim `c1` does not hold on all prompts" in sentence.text)
    confirmed = {r.measurement.id for r in report.measurements if r.phase == "confirm"} & {*first.measurements}
    assert render_plain(said, Lookup.of(report)).count("[") == 1
    assert all(f"[{name}]" in render_plain(said, Lookup.of(report)) for name in confirmed), "it cites the claim's own"
    assert report.refuting is not None
    assert report.refuting.most == 2


def test_no_prompt_of_an_attempt_was_measured_before(broken):
    _, report = broken
    before = {
        pair["base"]
        for record in report.measurements
        if record.measurement.tool == "patch" and record.why.partition(",")[0] in ("to see it first", "p1")
        for pair in record.measurement.args["pairs"]
    }
    assert before
    for attempt in report.claims[0].attempts:
        pairs = attempt.prediction.arms[0].args["pairs"] if attempt.prediction else []
        assert not before & {pair["base"] for pair in pairs}


def test_only_pairs_that_the_subject_answers_as_they_say_are_used(broken):
    _, report = broken
    asked = {record.measurement.id: record.measurement for record in report.measurements}
    for attempt in report.claims[0].attempts:
        answers = asked[attempt.measurements[0]].result["answers"]
        right = {answer["prompt"] for answer in answers if answer["rank"] == 1}
        assert len(answers) == 2 * attempt.n_asked
        pairs = attempt.prediction.arms[0].args["pairs"] if attempt.prediction else []
        assert all({pair["base"], pair["corrupted"]} <= right for pair in pairs)


def test_a_run_that_tries_nothing_has_the_same_ledger_up_to_its_verdict(broken, tmp_path, atlas):
    folder, report = tried(tmp_path, atlas, "off")
    without = [entry.hash for entry in read_ledger(folder.ledger)]
    assert [entry.hash for entry in read_ledger(broken[0].ledger)][: len(without)] == without
    assert not report.claims[0].attempts
    assert report.refuting is None
    assert "Attempts to break" not in (folder.path / "report.html").read_text()


def test_a_counter_prediction_cannot_be_sealed_after_it_was_measured(broken, atlas):
    folder, _ = broken
    with Ledger(folder.ledger) as ledger:
        desk = Desk(atlas, OneWording(0), folder, ledger, None, 0)
        counter = desk.docket.counters[0]
        again = counter.model_copy(update={"prediction": counter.prediction.model_copy(update={"id": "c1.9"})})
        with pytest.raises(LedgerError, match="not measured before"):
            desk.docket.seal([again], desk.view(recorded(ledger)), attempt="c1.9")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["--blind", "arms"], "nobody can be blinded"),
        (["--refute", "llm"], "No language model is set"),
        (["--writer", "llm"], "No language model is set"),
        (["--refute", "always"], "'off', 'protocol' or 'llm'"),
    ],
)
def test_a_part_that_nobody_can_play_is_refused_before_anything_runs(asked, why, tmp_path, monkeypatch):
    monkeypatch.delenv("VESALIUS_PLANNER_URL", raising=False)
    result = CliRunner().invoke(app, ["ask", DALLAS, *asked, "--home", str(tmp_path)])
    assert result.exit_code == EXIT_ERROR
    assert why in result.output
    assert not (tmp_path / "runs").exists()


def test_the_budget_of_words_holds_for_who_tries_claims_too():
    said = [Turn(number=i, role="refuter", mode="native", model="tiny") for i in (1, 2)]
    purse = Purse(Budget(calls=2))
    assert "budget of 2" in purse.gone(said, lambda: 0.0)
    assert not purse.gone(said[:1], lambda: 0.0)
    assert not purse.reached(said, lambda: 0.0, exploring=False), "what code does goes on"


# The first is the wording of the claim itself behind other words, so that the place is where it was; in the second
# another token stands there; nothing can be answered in the third.
WORDINGS = (
    "people know that the capital of the state containing {word} is",
    "{word} belongs to a state ruled from",
    "is is is {word} is",
)
RAN_OUT = 60  # turns of a run that is stopped ever again


def wanted(wording: str) -> tuple[int, str]:
    return calls(("try_wordings", {"wordings": [wording]}))


def advised(home: Any, atlas: Any, stops: int) -> tuple[RunFolder, Played]:
    """A run that is stopped so often, each time after something was said or measured."""
    where = Where(home, use_memory=False)
    planned = Planned(advised_by="tiny", refute="llm", attempts=len(WORDINGS) + 1)
    folder = start_run(where, atlas, DALLAS, seed=0, device="cpu", planned=planned)
    with serving(*map(wanted, WORDINGS), wanted(WORDINGS[0])) as played:
        consultant = Consultant(lambda: Endpoint(base_url=played.url, model="tiny"), "tiny")
        while not (folder.path / "report.json").exists():
            with Ledger(folder.ledger) as ledger:
                desk = Desk(atlas, OneWording(0), folder, ledger, None, 0, advice=Advice(ledger, None, consultant))
                for event in investigate(desk, DALLAS):
                    if event["event"] in ("said", "finished") and stops:
                        stops -= 1
                        break
    return folder, played


@pytest.fixture(scope="module")
def advised_run(tmp_path_factory, atlas) -> tuple[RunFolder, Played]:
    return advised(tmp_path_factory.mktemp("tried"), atlas, 0)


def test_each_attempt_is_told_what_came_of_those_before(advised_run):
    _, played = advised_run
    told = [played.about(i)["tried_before"] for i in range(len(played.asked))]
    assert [len(one) for one in told] == [0, 1, 2, 3]
    first, second, third = told[-1]
    assert told[1] == [first]
    assert told[2] == [first, second]
    assert WORDINGS[0] in first["prompts"]
    assert first["came_out"].startswith("The effect stays: ")
    assert second["came_out"].startswith("The effect is gone: 0.00 on ")
    assert third["came_out"].startswith("It was not tested: ")
    assert "the subject answers 0 as they say" in third["came_out"]


def test_what_it_is_told_is_what_was_measured_and_agrees_with_what_is_judged(advised_run):
    folder, played = advised_run
    (claim,) = read_report(folder.path / "report.json").claims
    first, second, *_ = claim.attempts
    assert (first.outcome, second.outcome) == ("survived", "broken")
    (one, *_), own = played.about(1)["tried_before"], claim.judgement.effect
    assert f"{first.judgement.effect:.2f} on {first.n_pairs} pairs" in one["came_out"]
    assert f"{own:.2f} on the claim's own prompts" in one["came_out"]
    assert not any(word in json.dumps(played.asked) for word in ("survived", "broken")), "no verdict is told"


def test_a_run_that_is_stopped_at_every_step_asks_nothing_twice_and_says_the_same(advised_run, tmp_path, atlas):
    folder, played = advised(tmp_path, atlas, stops=RAN_OUT)
    assert played.asked == advised_run[1].asked
    assert [e.body for e in read_ledger(folder.ledger)] == [e.body for e in read_ledger(advised_run[0].ledger)]


@pytest.mark.parametrize(
    ("direction", "own", "here", "words"),
    [
        ("positive", 0.9, 0.8, "The effect stays: 0.80 on 2 pairs"),
        ("positive", 0.9, 0.3, "The effect is weaker: 0.30"),
        ("positive", 0.9, 0.05, "The effect is gone: 0.05"),
        ("positive", 0.9, -0.3, "The effect is reversed: -0.30"),
        ("none", 0.01, 0.02, "There is no effect either: 0.02"),
        ("none", 0.01, -0.4, "There is an effect: -0.40"),
    ],
)
def test_what_came_out_is_put_in_words_by_code(direction, own, here, words):
    claimed = Prediction(
        id="p",
        hypothesis="h",
        direction=direction,
        arms=(Arm(label="a", counterfactual_family="a", tool="patch", args={}),),
        chance=0.0,
        holds_out_entities=False,
        holds_out_template=False,
    )
    assert in_words(claimed, own, {"effect": here, "effects": [here] * 2, "moved": 0.5}).startswith(words)
