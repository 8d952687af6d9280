"""Asking: what a message comes to, what a person says meanwhile, and what survives a worker or a server that dies."""

import json
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread

import pytest
from asked import PAIRS, WHERE, begun, ended, events_of, say, settled, until
from finished_runs import DALLAS
from scripted_endpoint import TWO_GUESSES, serving
from served import InThisProcess, Served, in_processes, served
from vesalius.agent.ledger import read_ledger
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import RunFolder, runs_of
from vesalius.agent.server.orders import Measure
from vesalius.agent.server.pool import Pool
from vesalius.agent.server.slot import MOST_STARTS
from vesalius.agent.server.waiting_line import WaitingLine
from vesalius.tools import Subject


@pytest.fixture
def page(tmp_path: Path, atlas: Subject) -> Iterator[Served]:
    """A server of an empty home, whose workers have the reference model."""
    with served(tmp_path, lambda name, device: atlas) as one:
        yield one


def investigated(page: Served, chat: str, **more: object) -> dict[str, object]:
    job = ended(page, say(page, chat, WHERE, PAIRS))
    assert job["state"] == "done", job
    assert job["reply"]["kind"] == "investigated", job["reply"]
    return job


def test_a_question_is_answered_each_experiment_told_and_a_follow_up_answered_from_the_report(page: Served) -> None:
    chat = begun(page)
    job = investigated(page, chat)
    run = job["reply"]["run"]
    events = events_of(page, job)
    started = [e["key"] for e in events if e["event"] == "started"]
    finished = [e for e in events if e["event"] == "finished"]
    assert started == [e["key"] for e in finished]
    report = read_report(page.home / "runs" / run / "report.json")
    assert {e["measurement"] for e in finished} == {m.measurement.id for m in report.measurements}
    assert [e["claim"] for e in events if e["event"] == "judged"] == [claim.id for claim in report.claims]
    for event in finished:
        assert page.get(f"/api/runs/{run}/measurements/{event['measurement']}")["measurement"]["result"]
    assert events_of(page, job, "end")[0]["state"] == "done"

    why = ended(page, say(page, chat, "how sure are you?"))
    assert why["reply"]["kind"] == "answered"
    assert why["reply"]["run"] == run
    shown = page.get(f"/api/chats/{chat}")
    assert [turn["said"] for turn in shown["turns"]] == [WHERE, "how sure are you?"]
    assert shown["jobs"] == []
    assert page.get("/api/chats")["chats"][0] == {"name": chat, "first": WHERE, "model": "atlas", "turns": 2}


def test_a_plan_waits_is_changed_and_sealed_as_the_person_wants_it(tmp_path: Path, atlas: Subject) -> None:
    with (
        serving(*TWO_GUESSES) as played,
        served(tmp_path, lambda name, device: atlas, planner_url=played.url, planner_model="tiny") as page,
    ):
        chat = begun(page, approve="plan", planner="llm")
        job = say(page, chat, DALLAS)
        until(page, job, "waiting")
        path = f"/api/chats/{chat}/messages/{job['handle']}"
        (waiting,) = [e for e in events_of_so_far(page, job) if e["event"] == "waiting"]
        assert [one["prediction"] for one in waiting["proposals"]] == ["p1", "p2"]
        page.post(f"{path}/decision", {"key": "another", "decision": {}}, 202)
        page.post(f"{path}/decision", {"key": "plan", "decision": {"drop": ["p99"]}}, 202)
        nowhere = {"drop": ["p1"], "changes": {"p2": {"site": "resid_post.9"}}}
        page.post(f"{path}/decision", {"key": "plan", "decision": nowhere}, 202)
        wanted = {"drop": ["p1"], "changes": {"p2": {"site": "resid_post.0"}}}
        page.post(f"{path}/decision", {"key": "plan", "decision": wanted}, 202)
        done = ended(page, job)
    report = read_report(tmp_path / "runs" / done["reply"]["run"] / "report.json")
    (claim,) = report.claims
    assert claim.prediction.arms[0].args["sites"] == ["resid_post.0"]
    refused = [e["text"] for e in events_of_so_far(page, job) if e["event"] == "not_taken"]
    assert [part in told for part, told in zip(("does not wait", "p99", "resid_post.9"), refused, strict=True)] == [
        True
    ] * 3
    assert not (tmp_path / "runs" / done["reply"]["run"] / "waiting.json").exists()


def test_what_is_stopped_is_gone_on_with_and_a_budget_is_raised_and_not_lowered(page: Served) -> None:
    chat = begun(page, approve="each", budget="seconds=500")
    job = say(page, chat, WHERE, PAIRS)
    until(page, job, "waiting")
    path = f"/api/chats/{chat}/messages/{job['handle']}"
    page.post(f"{path}/budget", {"budget": "seconds=100"}, 202)
    until(page, job, "not_taken")
    page.post(f"{path}/budget", {"budget": "seconds=900"}, 202)
    until(page, job, "notice")
    page.post(f"{path}/budget", {"budget": "stars=5"}, 422)
    page.post(f"/api/jobs/{job['handle']}/stop", status=200)
    ended(page, job)
    (turn,) = page.get(f"/api/chats/{chat}")["turns"]
    assert turn["reply"]["kind"] == "stopped"
    run = turn["reply"]["run"]
    ledger = read_ledger(RunFolder.open(page.home, run).ledger)
    assert [e.body["budget"]["seconds"] for e in ledger if e.key.startswith("budget:")] == [900]
    assert not any(e.kind == "measurement" for e in ledger), "nobody approved one"

    again = say(page, chat, f"/resume {run}")
    until(page, again, "waiting")
    for _ in range(100):
        if settled(page, again)["state"] != "waiting":
            break
        waiting = [e for e in events_of_so_far(page, again) if e["event"] == "waiting"][-1]
        word = {"key": waiting["key"], "decision": {"stop": bool(waiting["experiment"])}}
        page.post(f"/api/chats/{chat}/messages/{again['handle']}/decision", word, 202)
    assert ended(page, again)["reply"]["kind"] == "investigated"


def events_of_so_far(page: Served, job: dict[str, object]) -> list[dict[str, object]]:
    return list(page.pool.job(str(job["handle"])).events(0))


def test_messages_wait_their_turn_and_one_that_waits_is_stopped_at_once(tmp_path: Path, atlas: Subject) -> None:
    go_on = Event()

    def slow(name: str, device: str) -> Subject:
        assert go_on.wait(60)
        return atlas

    with served(tmp_path, slow) as page:
        first, second, third = (say(page, begun(page), "/help") for _ in range(3))
        assert [page.get(f"/api/jobs/{job['handle']}")["ahead"] for job in (first, second, third)] == [0, 1, 2]
        assert page.post(f"/api/jobs/{second['handle']}/stop", status=200)["state"] == "stopped"
        assert page.get(f"/api/jobs/{third['handle']}")["ahead"] == 1
        go_on.set()
        assert [ended(page, job)["state"] for job in (first, second, third)] == ["done", "stopped", "done"]


def test_a_run_that_waits_for_a_person_keeps_nobody_else_waiting(page: Served) -> None:
    job = say(page, begun(page, approve="each"), WHERE, PAIRS)
    until(page, job, "waiting")
    assert ended(page, say(page, begun(page), "/help"))["state"] == "done"
    assert page.get(f"/api/jobs/{job['handle']}")["state"] == "waiting"
    assert page.post(f"/api/jobs/{job['handle']}/stop", status=200)["state"] == "stopped"
    assert page.get(f"/api/chats/{job['chat']}")["turns"][0]["reply"]["kind"] == "stopped"


@pytest.mark.parametrize("kill", ["server", pytest.param("worker", marks=pytest.mark.slow)])
def test_a_run_whose_worker_or_server_is_killed_ends_as_one_that_never_was(
    tmp_path: Path, atlas: Subject, kill: str
) -> None:
    def load(name: str, device: str) -> Subject:
        return atlas

    with served(tmp_path / "calm", load) as page:
        investigated(page, begun(page))
    home = tmp_path / "killed"
    with served(home, load, start=in_processes) as page:
        chat = begun(page)
        job = say(page, chat, WHERE, PAIRS)
        until(page, job, "finished")
        if kill == "worker":
            (slot,) = [one for one in page.pool._slots if one.job is not None]
            os.kill(slot._running.pid, signal.SIGKILL)
            assert ended(page, job)["reply"]["kind"] == "investigated"
            assert "The worker died" in " ".join(e["text"] for e in events_of(page, job) if e["event"] == "notice")
    if kill == "server":
        assert list((home / "queue").glob("j*.json")), "the message is on disk until it is done"
        with served(home, load, start=in_processes) as page:
            assert ended(page, page.get(f"/api/jobs/{job['handle']}"))["reply"]["kind"] == "investigated"
            assert [turn["said"] for turn in page.get(f"/api/chats/{chat}")["turns"]] == [WHERE]
    assert not list((home / "queue").glob("j*.json"))
    (calm,), (killed,) = (list(runs_of(one)) for one in (tmp_path / "calm", home))
    assert [(e.key, e.kind, e.body) for e in read_ledger(killed.ledger)] == [
        (e.key, e.kind, e.body) for e in read_ledger(calm.ledger)
    ]


def test_a_worker_that_dies_of_an_order_is_not_given_it_for_ever(tmp_path: Path) -> None:
    loads = []

    def deadly(name: str, device: str) -> Subject:
        loads.append(name)
        for slot in page.pool._slots:
            if slot.job is not None:
                slot._running.terminate()
        raise RuntimeError("gone")

    with served(tmp_path, deadly) as page:
        job = ended(page, say(page, begun(page), "/help"))
    assert (job["state"], len(loads)) == ("failed", 3)
    assert "died 3 times" in job["error"]


def test_no_file_of_this_machine_is_read_because_a_message_names_it(page: Served, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(PAIRS))
    chat = begun(page)
    for said in (f"{WHERE} --pairs {secret}", WHERE, str(secret)):
        job = ended(page, say(page, chat, said))
        assert job["reply"]["kind"] in ("refused", "asked_back")
        assert "cold" not in json.dumps(job)
    assert not (page.home / "runs").exists()


def test_pairs_are_read_from_a_file_that_is_sent_and_refused_with_the_row(page: Served) -> None:
    text = "clean,corrupted,answer,foil\na b,a c,d,e\n"
    assert page.post("/api/pairs", {"name": "x.csv", "text": text}, 200)["pairs"][0]["foil"] == "e"
    assert "row 2" in page.post("/api/pairs", {"name": "x.csv", "text": text + "a b,a c\n"}, 422)["error"]
    many = json.dumps([{"clean": "a", "corrupted": "b", "answer": "c", "foil": "d"}] * 401)
    assert "401 pairs" in page.post("/api/pairs", {"name": "x", "text": many}, 422)["error"]
    page.post("/api/pairs", {"name": "x", "text": "a" * 70_000}, 413)


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fx", "a/b", "nothing", "x" * 65])
def test_a_chat_that_is_not_there_is_not_found(page: Served, name: str) -> None:
    assert page.client.get(f"/api/chats/{name}").status_code in (404, 422)


def test_settings_that_cannot_be_are_refused_before_anything_is_kept(page: Served, tmp_path: Path) -> None:
    for wrong in (
        {"model": str(tmp_path)},
        {"model": "someone/model"},
        {"planner": "llm"},
        {"budget": "stars=3"},
        {"seed": -1},
        {"approve": "all"},
    ):
        page.post("/api/chats", {"model": "atlas", **wrong}, 422)
    chat = begun(page)
    page.post(f"/api/chats/{chat}/settings", {"model": "other"}, 422)
    assert page.post(f"/api/chats/{chat}/settings", {"model": "atlas", "seed": 3}, 200)["settings"]["seed"] == 3
    assert page.get("/api/chats")["chats"] == []


def test_a_key_is_told_to_nobody(tmp_path: Path, atlas: Subject) -> None:
    settings = {"planner_url": "http://127.0.0.1:9/v1", "planner_model": "m", "planner_key": "sk-secret"}
    with served(tmp_path, lambda name, device: atlas, **settings) as page:
        chat = begun(page, planner="llm")
        told = [page.client.get(path).text for path in ("/api/chats", f"/api/chats/{chat}", "/api/models")]
    assert "sk-secret" not in " ".join(told)
    assert "sk-secret" not in " ".join(p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file())


def test_a_second_server_of_a_home_is_refused(page: Served) -> None:
    from vesalius.tools import ToolError

    with pytest.raises(ToolError, match=f"Another server \\(process {os.getpid()}\\)"):
        WaitingLine(page.home)


def test_an_order_that_cannot_be_read_is_left_and_told(
    tmp_path: Path, atlas: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "queue" / "j1.json"
    broken.parent.mkdir()
    broken.write_text("{")
    with served(tmp_path, lambda name, device: atlas) as page:
        assert ended(page, say(page, begun(page), "/help"))["state"] == "done"
    assert broken.exists()
    assert "holds no order" in capsys.readouterr().err


class Gone(InThisProcess):
    """A worker that has ended by itself, line and all."""

    def terminate(self) -> None:
        """Nothing is left to end."""


def test_an_experiment_that_kills_its_worker_each_time_is_not_begun_for_ever(tmp_path: Path) -> None:
    def dying(model: str) -> tuple[Connection, InThisProcess]:
        ours, theirs = Pipe()

        def die() -> None:
            order = theirs.recv()["order"]
            theirs.send({"job": order["handle"], "event": {"event": "started", "key": "x"}})
            theirs.close()

        thread = Thread(target=die, daemon=True)
        thread.start()
        return ours, Gone(thread, theirs)

    pool = Pool(dying, WaitingLine(tmp_path))
    try:
        job = pool.submit("atlas", Measure(tool="next_token", args={}))
        deadline = time.monotonic() + 20
        while not job.ended:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        pool.close()
    assert (job.state, job.stint) == ("failed", MOST_STARTS)
