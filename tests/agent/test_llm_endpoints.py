"""Whole runs with endpoints that are choosy: what they refuse is found out once, and written down."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from planned_runs import ENOUGH, QUESTION, begun, copying, honest, look, predict, true_head
from scripted_endpoint import calls, says, serving
from vesalius.agent.asking import Where, ask, desk_for
from vesalius.agent.investigation import investigate
from vesalius.agent.planners import llm_endpoint
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.report.schema import Report, read_report
from vesalius.tools import one_thread

Reply = tuple[int, str]
Refusal = Callable[[dict[str, Any]], Reply | None]
ROLES = {"You plan experiments": "planner", "You try to break": "refuter", "You word the findings": "writer"}


@pytest.fixture(scope="module", autouse=True)
def a_single_thread():
    with one_thread():
        yield


@pytest.fixture(autouse=True)
def a_process_that_has_asked_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llm_endpoint, "_learnt", {})


def refusing(message: str, param: str | None = None) -> Reply:
    return 400, json.dumps({"error": {"message": message, "param": param, "type": "invalid_request_error"}})


def size(asked: dict[str, Any]) -> int:
    """Characters of what was sent."""
    beside = json.dumps(asked["tools"]) if "tools" in asked else ""
    return len(beside) + sum(len(json.dumps(message)) for message in asked["messages"])


def role(asked: dict[str, Any]) -> str:
    return next(name for begins, name in ROLES.items() if asked["messages"][0]["content"].startswith(begins))


def written(reply: Reply) -> Reply:
    """The calls of a reply as an endpoint writes them that has none."""
    message = json.loads(reply[1])["choices"][0]["message"]
    functions = [one["function"] for one in message["tool_calls"]]
    return says([{"call": one["name"], "arguments": json.loads(one["arguments"])} for one in functions])


class Choosy:
    """An endpoint that refuses some requests, and says to each role in turn what it has for it."""

    def __init__(self, refuses: Refusal, planner: list[Reply] | None = None, **others: list[Reply]) -> None:
        self._refuses = refuses
        self._script = {"planner": iter(planner or honest()), **{name: iter(said) for name, said in others.items()}}

    def __call__(self, asked: dict[str, Any]) -> Reply:
        if (refused := self._refuses(asked)) is not None:
            return refused
        said = next(self._script[role(asked)])
        assert isinstance(said, tuple)
        return said if "tools" in asked else written(said)


class Run:
    """A run of the model that copies, with what was asked of whom."""

    def __init__(self, home: Path, choosy: Choosy, stops: int = 0, **planned: Any) -> None:
        one, pairs = copying()
        subject, where = one.organism.subject, Where(home, use_memory=False)
        with serving(choosy) as played:
            folder = begun(home, subject, pairs, **planned)
            endpoint = Endpoint(base_url=played.url, model="tiny")
            consultant = Consultant(lambda: endpoint, "tiny")
            for _ in range(stops):  # each time as another process would
                llm_endpoint._learnt.clear()
                with desk_for(where, subject, folder, consultant=consultant) as desk:
                    next(event for event in investigate(desk, QUESTION) if event["event"] in ("said", "finished"))
            llm_endpoint._learnt.clear()
            with desk_for(where, subject, folder, consultant=consultant) as desk:
                ask(desk, lambda event: None)
        self.asked, self.path = played.asked, folder.path
        self.ledger = [json.loads(line)["body"] for line in folder.ledger.read_text().splitlines()]

    @property
    def report(self) -> Report:
        return read_report(self.path / "report.json")

    @property
    def turns(self) -> Iterator[dict[str, Any]]:
        return (body["turn"] for body in self.ledger if "turn" in body)


def newer(asked: dict[str, Any]) -> Reply | None:
    """As OpenAI's newer models refuse."""
    if "max_tokens" in asked:
        return refusing("'max_tokens' is not supported with this model. Use 'max_completion_tokens'.", "max_tokens")
    return refusing("Only the default (1) value is supported.", "temperature") if "temperature" in asked else None


def test_a_newer_model_plans_a_run_and_the_report_says_how_it_was_asked(tmp_path: Path):
    run = Run(tmp_path, Choosy(newer))
    planning = run.report.planning
    assert planning is not None
    assert (planning.turns, planning.useless) == (3, 0)
    assert planning.asked_otherwise == "max_completion_tokens instead of max_tokens and no temperature"
    assert not planning.finished_by_protocol
    assert len(run.asked) == 2 + 3, "each parameter was refused once"
    assert all("tools" in asked and "max_completion_tokens" in asked for asked in run.asked[2:])
    assert "max_completion_tokens instead of max_tokens" in (run.path / "report.html").read_text()
    assert "refuses a parameter" in (run.path / "report.md").read_text()
    assert {tuple(turn["left_out"]) for turn in run.turns} == {("max_tokens", "temperature")}


def test_a_run_that_is_taken_up_again_asks_without_what_was_refused_and_has_the_same_ledger(tmp_path: Path):
    whole = Run(tmp_path / "whole", Choosy(newer))
    stopped = Run(tmp_path / "stopped", Choosy(newer), stops=6)
    assert stopped.ledger == whole.ledger
    assert len(stopped.asked) == len(whole.asked)


def limited(most: int) -> Refusal:
    """An endpoint that reads so many characters."""

    def refuses(asked: dict[str, Any]) -> Reply | None:
        if size(asked) <= most:
            return None
        return refusing("This model's maximum context length is 8192 tokens. Please reduce the length.", "messages")

    return refuses


def long_script(turns: int) -> list[Reply]:
    layers = copying()[0].organism.subject.shape.n_layers
    sites = [f"resid_post.{layer}" for layer in range(layers)]
    looks = [calls(*(look(*sites, seed=10 * i + j) for j in range(3)), content="so " * 3_000) for i in range(turns)]
    opened = calls(("open_instrument", {"instrument": "probe_prompts"}), ("open_instrument", {"instrument": "steer"}))
    return [opened, *looks, calls(predict(true_head())), calls(ENOUGH)]


@pytest.mark.parametrize("tools", [True, False])
@pytest.mark.slow
def test_a_long_run_never_outgrows_its_room_whatever_is_opened_and_said(tools: bool, tmp_path: Path):
    room = 24_000
    fits = limited(room)

    def refuses(asked: dict[str, Any]) -> Reply | None:
        return fits(asked) if tools or "tools" not in asked else (400, "no tools")

    run = Run(tmp_path, Choosy(refuses, long_script(6)), room=room)
    assert max(map(size, run.asked)) <= room
    assert run.report.planning is not None
    assert run.report.planning.ended.startswith("the language model finished")
    assert all(asked["max_tokens"] == room // 16 for asked in run.asked)
    assert not any(turn["too_long"] for turn in run.turns)
    mine = [m.measurement.id for m in run.report.measurements if m.why.startswith("“")]
    assert len(mine) == 18
    assert all(name in json.dumps(run.asked[-1]["messages"]) for name in mine)


def test_a_conversation_that_is_too_long_is_shortened_and_costs_no_mode_and_no_turn(tmp_path: Path):
    run = Run(tmp_path, Choosy(limited(16_000), long_script(4)), room=30_000)
    turns = list(run.turns)
    assert 0 < sum(turn["too_long"] for turn in turns) < 3
    assert {turn["mode"] for turn in turns} == {"native"}
    planning = run.report.planning
    assert planning is not None
    assert (planning.useless, planning.finished_by_protocol) == (0, False)
    assert run.asked[-1]["max_tokens"] < run.asked[0]["max_tokens"]


def test_an_endpoint_for_which_everything_is_too_long_is_given_up_in_the_end(tmp_path: Path):
    run = Run(tmp_path, Choosy(limited(10)))
    planning = run.report.planning
    assert planning is not None
    assert planning.finished_by_protocol
    assert [turn["too_long"] for turn in run.turns] == [True] * 3 + [False] * 4
    assert planning.useless == 4


def test_one_refusal_in_the_middle_is_a_turn_in_vain_and_no_mode(tmp_path: Path):
    answers = iter([None, (400, "something is wrong"), *[None] * 9])
    run = Run(tmp_path, Choosy(lambda asked: next(answers)))
    turns = list(run.turns)
    assert [turn["refused"] for turn in turns] == [False, True, False, False]
    assert {turn["mode"] for turn in turns} == {"native"}
    planning = run.report.planning
    assert planning is not None
    assert (planning.turns, planning.useless, planning.finished_by_protocol) == (4, 1, False)
    assert not planning.asked_otherwise
    assert "refuses a parameter" not in (run.path / "report.md").read_text()


def test_a_server_that_takes_functions_and_not_what_follows_a_call_is_asked_in_the_next_mode(tmp_path: Path):
    def no_tool_messages(asked: dict[str, Any]) -> Reply | None:
        follows = any(message["role"] == "tool" for message in asked["messages"])
        return (400, "roles must alternate user and assistant") if follows else None

    run = Run(tmp_path, Choosy(no_tool_messages))
    assert [turn["mode"] for turn in run.turns] == ["native", "native", "native", "json", "json"]
    assert [turn["refused"] for turn in run.turns] == [False, True, False, False, False]
    assert [turn["mode_refused"] for turn in run.turns] == [False, False, True, False, False]
    planning = run.report.planning
    assert planning is not None
    assert not planning.finished_by_protocol


def test_what_is_refused_to_the_planner_is_not_tried_again_by_who_comes_after(tmp_path: Path):
    wordings = ("try_wordings", {"wordings": ["{word} w1 w1"]})
    others = {"refuter": [calls(wordings)] * 9, "writer": [calls(("answer", {"sentences": ["`c1` holds."]}))] * 9}

    def refuses(asked: dict[str, Any]) -> Reply | None:
        return (400, "no tools") if "tools" in asked else newer(asked)

    run = Run(tmp_path, Choosy(refuses, None, **others), refute="llm", attempts=2, writer="llm", advised_by="tiny")
    assert [role(asked) for asked in run.asked if "tools" in asked] == ["planner"]
    assert sum("max_tokens" in asked for asked in run.asked) == 1 + 1, "with the tools, and once without"
    assert {role(asked) for asked in run.asked} == {"planner", "refuter", "writer"}
    assert next(turn["mode"] for turn in run.turns if turn["role"] != "planner") == "json"
    assert sum(turn["mode_refused"] for turn in run.turns) == 1
