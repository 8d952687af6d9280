"""A language model plans whole runs: what it may decide, what it may not, and what becomes of a run that it spoils."""

import json
from pathlib import Path
from typing import Any

import pytest
from planned_runs import (
    AIM,
    ENOUGH,
    PlannedRun,
    begun,
    copying,
    honest,
    idle_head,
    look,
    planned_run,
    predict,
    true_head,
)
from scripted_endpoint import calls, says, serving, streamed
from vesalius.agent.asking import Where, ask, desk_for
from vesalius.agent.budget import Budget
from vesalius.agent.investigation import investigate
from vesalius.agent.planners import llm_course
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_course import USELESS_IN_A_ROW
from vesalius.agent.planners.llm_endpoint import Endpoint, EndpointError
from vesalius.agent.report.html import render_report_html
from vesalius.tools import ToolError, one_thread

MADE_UP = "0.83517"


@pytest.fixture(scope="module", autouse=True)
def a_single_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def honest_run(tmp_path_factory: pytest.TempPathFactory) -> PlannedRun:
    return planned_run(tmp_path_factory.mktemp("honest"), *honest())


@pytest.fixture(scope="module")
def boasting_run(tmp_path_factory: pytest.TempPathFactory) -> PlannedRun:
    """Predicts places that do nothing, in words that claim everything."""
    boast = f"proven, effect {MADE_UP} <b>sure</b> “{{{{c1:judgement.effect|.2f}}}}” `{MADE_UP}`"
    aim = {"why": boast, "would_change": boast}
    script = [
        calls(look(idle_head(), **aim), content=boast),
        calls(predict(idle_head(), reason=boast, alternative=boast), content=boast),
        calls(("finish", {"reason": boast})),
    ]
    return planned_run(tmp_path_factory.mktemp("boasting"), *script)


@pytest.fixture(scope="module")
def spoiled_run(tmp_path_factory: pytest.TempPathFactory) -> PlannedRun:
    return planned_run(tmp_path_factory.mktemp("spoiled"), says("I am sorry, I cannot help with that."))


def verdicts(run: PlannedRun) -> dict[str, str]:
    return {c.prediction.arms[0].args["sites"][0]: c.judgement.verdict for c in run.report.claims}


def conversation(run: PlannedRun, turn: int = -1) -> str:
    return json.dumps(run.asked[turn]["messages"])


def test_what_it_predicts_is_judged_by_what_is_so(honest_run: PlannedRun):
    found = verdicts(honest_run)
    assert set(found) == {true_head(), idle_head()}
    assert found[true_head()] == "supported"
    assert found[idle_head()] != "supported"


def test_the_report_says_who_planned_and_how_it_went(honest_run: PlannedRun):
    planning = honest_run.report.planning
    assert planning is not None
    assert (planning.model, planning.turns, planning.useless, planning.tokens) == ("tiny", 3, 0, 3150)
    assert planning.ended == "the language model finished, in its words: “enough was seen”"
    assert not planning.finished_by_protocol
    assert honest_run.report.planner == "language model tiny"
    assert "A language model" in honest_run.pages["html"]
    assert "was asked 3 times" in honest_run.pages["md"]


def test_what_was_measured_comes_back_with_its_id(honest_run: PlannedRun):
    first = next(m.measurement for m in honest_run.report.measurements if m.why.startswith("“"))
    told = honest_run.asked[1]["messages"][-1]
    assert told["role"] == "tool"
    assert json.loads(told["content"])["id"] == first.id


def test_prompts_that_confirm_are_never_shown(honest_run: PlannedRun):
    confirmed = {
        pair["base"]
        for m in honest_run.report.measurements
        if m.phase == "confirm"
        for pair in m.measurement.args["pairs"]
    }
    explored = {
        pair["base"]
        for m in honest_run.report.measurements
        if m.phase == "explore"
        for pair in m.measurement.args.get("pairs", ())
    }
    assert confirmed
    assert not confirmed & explored
    assert not any(prompt in conversation(honest_run) for prompt in confirmed)


def test_a_prompt_that_confirms_cannot_be_measured_first(tmp_path: Path, honest_run: PlannedRun):
    kept = next(m for m in honest_run.report.measurements if m.phase == "confirm").measurement.args["pairs"][0]
    pair = {name: kept[name] for name in ("base", "corrupted", "answer", "foil")}
    spaced = ("next_token", {"prompts": [f" {kept['base']}  "], **AIM})
    run = planned_run(tmp_path, calls(look(true_head(), pairs=[pair]), spaced), calls(ENOUGH))
    assert conversation(run).count("kept back to test predictions on") == 2
    assert not any(m.phase == "explore" and m.why.startswith("“") for m in run.report.measurements)


def test_a_planner_that_claims_everything_gets_nothing_supported(boasting_run: PlannedRun):
    assert set(verdicts(boasting_run)) == {idle_head()}
    assert "supported" not in verdicts(boasting_run).values()


def test_no_figure_and_no_markup_of_the_planner_stands_in_a_report(boasting_run: PlannedRun):
    report = boasting_run.pages
    assert not any(MADE_UP in text for text in report.values())
    assert "<b>sure" not in report["html"]
    assert "“proven, effect #" in report["html"]
    (claim,) = boasting_run.report.claims
    assert claim.hypothesis.alternatives[-1].startswith("in the planner's words: “proven, effect # ")
    assert boasting_run.report.planning is not None
    assert boasting_run.report.planning.ended.startswith("the language model finished, in its words: “proven, effect #")


def test_what_the_planner_said_stays_in_the_ledger_as_it_was(boasting_run: PlannedRun):
    said = [body["turn"]["calls"] for body in boasting_run.ledger if "turn" in body]
    assert MADE_UP in json.dumps(said)


def test_after_useless_turns_the_deterministic_planner_finishes_and_the_report_says_so(spoiled_run: PlannedRun):
    assert len(spoiled_run.asked) == USELESS_IN_A_ROW
    planning = spoiled_run.report.planning
    assert planning is not None
    assert planning.finished_by_protocol
    assert "the deterministic planner finished" in planning.ended
    assert planning.useless == USELESS_IN_A_ROW
    assert verdicts(spoiled_run)[true_head()] == "supported"


@pytest.mark.parametrize("answers", [[(500, "boom")], [(400, "no")], [20.0]])
def test_an_endpoint_that_never_answered_stops_the_run_and_it_can_be_taken_up_again(answers: list[Any], tmp_path: Path):
    one, pairs = copying()
    folder = begun(tmp_path, one.organism.subject, pairs)
    where = Where(tmp_path, use_memory=False)
    with serving(*answers) as played:
        dead = Endpoint(base_url=played.url, model="tiny", timeout_s=0.1)
        consultant = Consultant(lambda: dead, "tiny")
        with (
            desk_for(where, one.organism.subject, folder, consultant=consultant) as desk,
            pytest.raises(EndpointError, match="Check the server"),
        ):
            ask(desk, lambda event: None)
    with serving(calls(ENOUGH)) as played:
        alive = Endpoint(base_url=played.url, model="tiny")
        with desk_for(where, one.organism.subject, folder, consultant=Consultant(lambda: alive, "tiny")) as desk:
            ask(desk, lambda event: None)
    assert (folder.path / "report.json").exists()


def test_an_endpoint_that_dies_in_the_middle_leaves_the_rest_to_the_deterministic_planner(tmp_path: Path):
    run = planned_run(tmp_path, calls(look(true_head())), (500, "boom"))
    assert run.report.planning is not None
    assert run.report.planning.finished_by_protocol
    assert run.report.planning.turns == 3  # one that was answered, and two that were waited for in vain
    assert verdicts(run)[true_head()] == "supported"


def test_an_endpoint_that_takes_no_calls_is_asked_in_json_and_then_in_plain_text(tmp_path: Path):
    wanted = [{"call": name, "arguments": given} for name, given in (predict(true_head()), ENOUGH)]
    run = planned_run(tmp_path, (400, "no tools"), (400, "no json"), says(f"Here: {json.dumps(wanted)}"))
    assert ["tools" in asked for asked in run.asked] == [True, False, False]
    assert ["response_format" in asked for asked in run.asked] == [False, True, False]
    assert [message["role"] for message in run.asked[2]["messages"]] == ["user"]
    assert "open_instrument" in conversation(run)
    assert set(verdicts(run)) == {true_head()}


def test_a_stream_that_breaks_off_costs_a_turn_and_nothing_else(tmp_path: Path):
    run = planned_run(tmp_path, streamed(calls(predict(idle_head())), breaks_off=True), *honest())
    assert run.report.planning is not None
    assert (run.report.planning.turns, run.report.planning.useless) == (4, 1)
    assert verdicts(run)[true_head()] == "supported"


def test_a_budget_ends_the_exploration_and_what_was_predicted_is_judged(tmp_path: Path):
    run = planned_run(tmp_path, *honest()[:2], calls(look(idle_head())), budget=Budget(calls=2))
    assert len(run.asked) == 2
    assert verdicts(run)[true_head()] == "supported"
    assert any("the budget of 2 calls" in sentence.text for sentence in run.report.not_found)


def test_refused_calls_say_why_and_how_to_do_it(tmp_path: Path):
    bad = [
        look("head.0.99"),
        look(true_head(), pairs="confirmation"),
        ("judge", {"verdict": "supported"}),
        ("patch", "{"),
        ("patch", '{"sites": ["head.0.0"], "random_draws": NaN}'),
        ("feature_activations", {"prompts": "discovery", "dictionary": "/etc/passwd", **AIM}),
        ("feature_activations", {"prompts": "discovery", "force_dictionary": True, **AIM}),
        look(true_head(), random_draws=1000),
        (
            "predict",
            {"claim": "holds_variable", "site": "resid_post.0", "at": "entity", "reason": "r", "alternative": "a"},
        ),
        ("predict", {"claim": "carries", "site": true_head(), "at": "last", "reason": "r", "alternative": "a"}),
        predict(true_head(), without=[true_head()]),
        predict("resid_post.0", "carries", without=[idle_head()]),
        look(true_head()),
        look(true_head()),
    ]
    run = planned_run(tmp_path, calls(*bad), calls(ENOUGH))
    told = [message["content"] for message in run.asked[1]["messages"] if message["role"] == "tool"]
    expected = ["head 99", "pairs", "Call one of", "no JSON object", "no JSON object", "own dictionaries"]
    expected += ["own dictionaries", "too long", "No task data", "is not said of"]
    expected += ["name other parts", "name other parts", '"id"', "was made before"]
    assert [word in text for word, text in zip(expected, told, strict=True)] == [True] * len(bad), told
    assert all("/etc/passwd" not in text for text in told)


def test_a_part_can_be_predicted_to_matter_with_others_taken_out_and_a_search_takes_the_runs_own_prompts(
    tmp_path: Path,
):
    aim = {"why": "w", "would_change": "c"}
    searching = ("circuit_search", {"families": "discovery", "slots": False, "resamples": 0, **aim})
    behind = look(true_head(), without=[idle_head()])
    run = planned_run(
        tmp_path, calls(searching, behind), calls(predict(true_head(), without=[idle_head()])), calls(ENOUGH)
    )
    (claim,) = run.report.claims
    assert claim.prediction.arms[0].args["without"] == [idle_head()]
    assert claim.judgement.verdict == "supported"
    assert claim.hypothesis.statement.startswith(f"With `{idle_head()}` taken out, `{true_head()}`")
    assert any("the model still answers" in sentence.text for sentence in run.report.answer)
    search = next(r.measurement for r in run.report.measurements if r.measurement.tool == "circuit_search")
    confirming = {pair["base"] for arm in claim.prediction.arms for pair in arm.args["pairs"]}
    assert not confirming & {pair["base"] for family in search.args["families"] for pair in family["pairs"]}


def test_a_planner_without_end_is_stopped_and_the_run_still_ends_with_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(llm_course, "MOST_MEASUREMENTS", 5)
    turn = iter(range(10**6))

    def again(asked: dict[str, Any]) -> tuple[int, str]:
        seed = next(turn)
        return calls(*(look(idle_head(), seed=20 * seed + i) for i in range(3)))

    run = planned_run(tmp_path, again)
    asked_for = [m for m in run.report.measurements if m.why.startswith("“")]
    assert len(asked_for) == 5
    assert run.report.planning is not None
    assert run.report.planning.finished_by_protocol
    assert verdicts(run).get(idle_head()) != "supported"


def test_no_more_predictions_are_sealed_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llm_course, "MOST_PREDICTIONS", 2)
    subject = copying()[0].organism.subject
    heads = [f"head.{layer}.{head}" for layer in range(subject.shape.n_layers) for head in range(subject.shape.n_heads)]
    run = planned_run(tmp_path, calls(*map(predict, heads[:4])), calls(ENOUGH))
    assert "You have made 2 predictions" in conversation(run)
    assert len(run.report.claims) == 2


@pytest.mark.parametrize("refuses", [False, True])
def test_a_run_that_is_stopped_after_every_turn_ends_with_the_same_ledger(
    refuses: bool, tmp_path: Path, honest_run: PlannedRun
):
    one, pairs = copying()
    subject, where = one.organism.subject, Where(tmp_path, use_memory=False)
    script = [(400, "no tools"), *honest()] if refuses else honest()
    whole = planned_run(tmp_path / "whole", *script) if refuses else honest_run
    folder, stops = begun(tmp_path, subject, pairs), 0
    with serving(*script) as played:
        endpoint = Endpoint(base_url=played.url, model="tiny")
        while not (folder.path / "report.json").exists():
            with desk_for(where, subject, folder, consultant=Consultant(lambda: endpoint, "tiny")) as desk:
                for event in investigate(desk, desk.folder.info.question):
                    if event["event"] in ("said", "finished") and stops < 8:
                        stops += 1
                        break
    assert stops == 8
    bodies = [json.loads(line)["body"] for line in folder.ledger.read_text().splitlines()]
    assert bodies == whole.ledger
    assert len(played.asked) == len(script)  # nothing that was said was asked for again


def test_another_model_cannot_go_on_with_a_run(tmp_path: Path):
    one, pairs = copying()
    folder = begun(tmp_path, one.organism.subject, pairs)
    other = Endpoint(base_url="http://127.0.0.1:9/v1", model="other")
    where = Where(tmp_path, use_memory=False)
    with (
        desk_for(where, one.organism.subject, folder, consultant=Consultant(lambda: other, "tiny")) as desk,
        pytest.raises(ToolError, match="VESALIUS_PLANNER_MODEL=tiny"),
    ):
        ask(desk, lambda event: None)


def test_a_long_conversation_is_shortened_by_code_and_keeps_every_id(tmp_path: Path):
    sites = [f"resid_post.{layer}" for layer in range(copying()[0].organism.subject.shape.n_layers)]
    turns = [calls(*(look(*sites, seed=10 * turn + i) for i in range(2)), content="so " * 5_000) for turn in range(4)]
    room = 14_000
    run = planned_run(tmp_path, *turns, calls(ENOUGH), room=room)
    assert max(len(conversation(run, turn)) for turn in range(len(run.asked))) <= room + 1_000
    mine = [m.measurement.id for m in run.report.measurements if m.why.startswith("“")]
    assert len(mine) == 8
    last = conversation(run)
    assert all(identifier in last for identifier in mine)
    assert "left out" in last


def test_the_page_of_a_planned_run_is_drawn_from_the_report_alone(honest_run: PlannedRun):
    assert "to see where" in render_report_html(honest_run.report)
