"""Asking, attacked: words out of turn, names of other places, workers that do not listen, and kills at any moment."""

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event
from typing import Any
from urllib.request import Request, urlopen

import pytest
from asked import PAIRS, WHERE, begun, ended, events_of, say, settled, until
from served import InThisProcess, Served, served
from vesalius.agent.chat.history import open_history, stopped
from vesalius.agent.chat.turns import Reply, Turn, plain
from vesalius.agent.ledger import Ledger, read_ledger
from vesalius.agent.processes import Start
from vesalius.agent.purse import Purse
from vesalius.agent.raising import raise_budget
from vesalius.agent.runs import runs_of
from vesalius.agent.server.chat_settings import kept_settings
from vesalius.agent.server.guard import CSRF_HEADER
from vesalius.agent.server.hearing import _decision, hidden
from vesalius.agent.server.job import MOST_EVENTS, Job
from vesalius.agent.server.orders import ChatSettings, Hear, Order
from vesalius.agent.server.pool import MOST_WORDS, Pool
from vesalius.agent.server.problems import TooMany
from vesalius.agent.server.waiting_line import WaitingLine
from vesalius.agent.server.worker import _stamp_of
from vesalius.tools import Subject, ToolError


@pytest.fixture
def page(tmp_path: Path, atlas: Subject) -> Iterator[Served]:
    """A server of an empty home, whose workers have the reference model."""
    with served(tmp_path, lambda name, device: atlas) as one:
        yield one


def waiting(page: Served, chat: str) -> tuple[dict[str, Any], str]:
    """A question of a chat that waits for a person, and the key of what it waits for."""
    job = say(page, chat, WHERE, PAIRS)
    until(page, job, "waiting")
    return job, page.pool.job(job["handle"]).waits_for


def decide(page: Served, job: dict[str, Any], key: str, status: int = 202) -> None:
    path = f"/api/chats/{job['chat']}/messages/{job['handle']}/decision"
    page.post(path, {"key": key, "decision": {}}, status)


def told(page: Served, job: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in page.pool.job(job["handle"]).events(0) if one["event"] == kind]


@pytest.mark.parametrize("meanwhile", ["how sure are you?", "/undo"])
def test_a_run_that_waits_is_not_begun_anew_whatever_is_said_meanwhile(page: Served, meanwhile: str) -> None:
    chat = begun(page, approve="each")
    job, key = waiting(page, chat)
    ended(page, say(page, chat, meanwhile))
    decide(page, job, key)
    if meanwhile == "/undo":
        assert ended(page, job)["reply"]["kind"] == "stopped"
    else:
        until(page, job, "finished")
        assert settled(page, job)["state"] == "waiting"
        page.post(f"/api/jobs/{job['handle']}/stop", status=200)
        assert [t["reply"]["kind"] for t in page.get(f"/api/chats/{chat}")["turns"]] == ["stopped", "refused"]
    assert len(list(runs_of(page.home))) == 1


def test_a_turn_that_was_stopped_is_replaced_where_it_stands_and_an_undo_forgets_once(tmp_path: Path) -> None:
    def answered(said: str, order: str = "") -> Turn:
        return Turn(said=said, reply=Reply(kind="answered", lines=plain("yes")), order=order)

    with open_history(tmp_path, "mine") as history:
        history.close(answered("before"))
        history.open(Turn(said="one", reply=stopped("Why?", "a-run"), order="j1"))
    with open_history(tmp_path, "mine") as history:
        history.close(answered("two", "j2"))
        assert history.take_up("j1") is not None
        history.close(answered("one", "j1"))
    with open_history(tmp_path, "mine") as history:
        assert [turn.said for turn in history.turns] == ["before", "one", "two"]
        assert history.turns[1] == answered("one", "j1")
        assert history.undo("j3") == answered("two", "j2")
    with open_history(tmp_path, "mine") as history:  # killed before its order was taken from the queue
        assert history.undo("j3") == answered("two", "j2")
        assert [turn.said for turn in history.turns] == ["before", "one"]
        assert history.ended_of("j2") == answered("two", "j2"), "forgotten, and not to be heard anew"
        assert history.undo("j4") == answered("one", "j1")


def test_a_word_is_taken_for_what_was_shown_last_and_for_nothing_to_come(page: Served) -> None:
    chat = begun(page, approve="each")
    job, key = waiting(page, chat)
    decide(page, job, "pairs")  # what comes next, and nobody has seen
    assert [one["text"] for one in told(page, job, "not_taken")] == ["The run does not wait for that word."]
    decide(page, job, key)
    until(page, job, "finished")
    assert settled(page, job)["state"] == "waiting", "the word for what comes next was not kept"
    page.post(f"/api/jobs/{job['handle']}/stop", status=200)
    assert (
        "has ended"
        in page.post(f"/api/chats/{chat}/messages/{job['handle']}/budget", {"budget": "calls=99"}, 422)["error"]
    )
    decide(page, job, "pairs", 422)


def test_what_a_run_says_again_is_told_once_and_what_a_person_must_see_is_never_dropped(page: Served) -> None:
    job, key = waiting(page, begun(page, approve="each"))
    decide(page, job, key)
    until(page, job, "finished")
    assert settled(page, job)["state"] == "waiting"
    assert [len(told(page, job, kind)) for kind in ("run", "told", "waiting")] == [1, 1, 2]
    full = Job(order())
    for number in range(MOST_EVENTS + 10):
        full.note({"event": "said", "number": number})
    full.note({"event": "waiting", "key": "plan"})
    assert (len(full.events(0)), full.events(MOST_EVENTS)[-1]["key"]) == (MOST_EVENTS + 1, "plan")


def test_no_run_that_lies_elsewhere_is_read_or_gone_on_with(
    page: Served, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = begun(page)
    run = ended(page, say(page, chat, WHERE, PAIRS))["reply"]["run"]
    elsewhere = tmp_path_factory.mktemp("other") / "private"
    shutil.move(page.home / "runs" / run, elsewhere)
    monkeypatch.chdir(elsewhere.parent)  # where the server was started
    for said in (
        "/report private",
        f"/report {elsewhere}",
        f"/resume {elsewhere}",
        f"how sure are you in run {elsewhere}",
    ):
        reply = ended(page, say(page, chat, said))["reply"]
        assert reply["kind"] == "refused", reply
        assert "There is no run" in reply["lines"][0]["text"]
    assert not (elsewhere / "waiting.json").exists()


def test_where_the_home_lies_is_told_nowhere(page: Served) -> None:
    chat = begun(page)
    ended(page, say(page, chat, WHERE, PAIRS))
    jobs = [ended(page, say(page, chat, said)) for said in ("/report", "/verify", "/runs", "/budget")]
    (page.home / "chats" / f"{chat}.sqlite").write_text("garbage")
    for path in (page.home / "chats").glob(f"{chat}.sqlite-*"):
        path.unlink()
    jobs.append(ended(page, say(page, begun(page), "/help")))
    texts = [json.dumps(jobs), *(json.dumps(events_of(page, job)) for job in jobs)]
    assert "report.html" in texts[0]
    assert str(page.home) not in " ".join(texts)
    assert hidden({"a": [f"--home {page.home}", f"{page.home}/runs/x"]}, page.home) == {"a": ["--home HOME", "runs/x"]}


def test_half_a_character_and_a_seed_that_is_no_number_of_a_browser_are_refused(page: Served) -> None:
    half = '[{"clean": "a \\ud800", "corrupted": "b", "answer": "c", "foil": "d"}]'
    message = f'{{"said": "{WHERE}", "pairs": {half}}}'
    file = json.dumps({"name": "x", "text": half})
    for path, body in ((f"/api/chats/{begun(page)}/messages", message), ("/api/pairs", file)):
        headers = {CSRF_HEADER: page.access.csrf, "content-type": "application/json"}
        answer = page.client.post(path, content=body, headers=headers)
        assert (answer.status_code, "half a character" in answer.text) == (422, True)
    page.post("/api/chats", {"model": "atlas", "seed": 2**53}, 422)
    assert not list((page.home / "queue").glob("j*"))


def test_settings_that_were_changed_while_a_message_was_heard_are_kept(tmp_path: Path, atlas: Subject) -> None:
    go_on = Event()

    def slow(name: str, device: str) -> Subject:
        assert go_on.wait(60)
        return atlas

    with served(tmp_path, slow) as page:
        chat = begun(page)
        job = say(page, chat, "/budget calls=7")
        page.post(f"/api/chats/{chat}/settings", {"model": "atlas", "approve": "each"}, 200)
        go_on.set()
        ended(page, job)
    assert kept_settings(tmp_path, chat) == ChatSettings(model="atlas", approve="each", budget="calls=7")


def test_what_was_told_to_stop_is_not_taken_up_after_a_kill(tmp_path: Path, atlas: Subject) -> None:
    go_on = Event()

    def slow(name: str, device: str) -> Subject:
        assert go_on.wait(60)
        time.sleep(0.5)  # until the word has come
        return atlas

    with served(tmp_path, slow) as page:
        job = say(page, begun(page), "/help")
        until_running(page, job)
        assert page.post(f"/api/jobs/{job['handle']}/stop", status=200)["state"] == "stopping"
        assert not list((tmp_path / "queue").glob("j*")), "a server that is killed now leaves nothing to go on with"
        go_on.set()
        assert ended(page, job)["state"] == "stopped"


def until_running(page: Served, job: dict[str, Any]) -> None:
    until_so(lambda: page.get(f"/api/jobs/{job['handle']}")["state"] != "queued")


def until_so(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_message_that_no_worker_could_hear_is_kept_with_the_reason(tmp_path: Path) -> None:
    def none(name: str, device: str) -> Subject:
        raise ToolError(f"{tmp_path}/model is gone.", mend="Restore it.")

    with served(tmp_path, none) as page:
        chat = begun(page)
        job = ended(page, say(page, chat, WHERE, PAIRS))
        assert (job["state"], job["error"]) == ("failed", "model is gone. Restore it.")
        shown = page.get(f"/api/chats/{chat}")
        assert [(turn["said"], turn["reply"]["lines"][0]["text"]) for turn in shown["turns"]] == [(WHERE, job["error"])]
        with open_history(tmp_path, chat):  # where it cannot be written, the server still knows
            job = ended(page, say(page, chat, "/help"))
            assert page.get(f"/api/chats/{chat}")["jobs"] == [job["handle"]]


def test_limits_that_are_raised_twice_the_same_stand_in_the_ledger_once(tmp_path: Path) -> None:
    from vesalius.agent.budget import Budget, Prices

    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        purse = Purse(Budget(), Prices())
        for _ in range(2):
            raise_budget(ledger, purse, "calls=80")
        assert [entry.key for entry in ledger.entries()] == ["budget:1"]


def test_predictions_are_not_sealed_by_a_word_that_is_about_experiments() -> None:
    from vesalius.agent.approving import Waiting

    plan, one = Waiting(key="plan"), Waiting(key="x", experiment={"tool": "next_token"})
    for wrong, waits in (({"skip": True}, plan), ({"stop": True}, plan), ({"drop": ["all"]}, one)):
        with pytest.raises(ToolError, match=r"Drop them|Run it"):
            _decision({"decision": wrong}, waits)


def test_files_of_a_model_that_were_replaced_by_others_as_old_and_as_large_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "dictionaries" / "a.safetensors"
    file.parent.mkdir()
    file.write_text("one")
    before, written = _stamp_of(str(tmp_path)), file.stat().st_mtime_ns
    file.write_text("two")
    os.utime(file, ns=(written, written))
    assert _stamp_of(str(tmp_path)) != before


def test_streams_end_with_the_server_and_keep_it_waiting_for_nothing(page: Served) -> None:
    job, _ = waiting(page, begun(page, approve="each"))
    page.pool.is_leaving = True
    assert events_of(page, job, "end") == [], "and a browser asks the next server"


def test_an_order_that_cannot_be_removed_or_read_ends_no_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "queue" / "j1.json" / "x").mkdir(parents=True)
    line = WaitingLine(tmp_path)
    assert line.left() == []
    line.done("j1")
    line.close()
    assert "cannot be removed" in capsys.readouterr().err


def order(handle: str = "j1", model: str = "m") -> Order:
    return Order(handle=handle, model=model, work=Hear(chat="c", said="hi", settings=ChatSettings(model=model)))


Do = Callable[[Connection, int], object]


def scripted(do: Do) -> Start:
    """Starts workers that do what a script says, each told the how-manieth it is."""
    started: list[str] = []

    def start(model: str) -> tuple[Connection, InThisProcess]:
        started.append(model)
        ours, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=do, args=(theirs, len(started)), daemon=True)
        thread.start()
        return ours, InThisProcess(thread, theirs)

    return start


def test_a_worker_that_does_not_listen_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    pool = Pool(scripted(lambda line, number: Event().wait(60)), WaitingLine(tmp_path))
    job = pool.submit("m", order().work)
    until_so(lambda: job.state != "queued")
    spoken = threading.Thread(target=lambda: [pool.tell(job, {"budget": "x" * 60_000}) for _ in range(MOST_WORDS)])
    spoken.daemon = True
    spoken.start()
    spoken.join(10)
    assert not spoken.is_alive()
    assert pool.ahead(job) == 0
    with pytest.raises(TooMany, match="200 words"):
        pool.tell(job, {"budget": "calls=99"})
    pool.close()


def test_a_worker_that_dies_again_and_again_goes_on_as_long_as_there_is_something_new(tmp_path: Path) -> None:
    def dies_four_times(line: Connection, number: int) -> None:
        handle = line.recv()["order"]["handle"]
        line.send({"job": handle, "event": {"event": "finished", "key": str(number)}})
        if number == 5:
            line.send({"job": handle, "done": {}})
        else:
            InThisProcess(threading.current_thread(), line).terminate()

    pool = Pool(scripted(dies_four_times), WaitingLine(tmp_path))
    job = pool.submit("m", order().work)
    until_so(lambda: job.ended)
    pool.close()
    assert job.state == "done"


def test_a_worker_that_is_just_starting_has_its_model_already(tmp_path: Path) -> None:
    pool = Pool(scripted(lambda line, number: Event().wait(60)), WaitingLine(tmp_path))
    try:
        first, other = pool._slots
        with pool.changed:
            first.job, first.model = Job(order()), ""
            assert not pool._is_for(other, Job(order("j2"))), "two workers would have one chat"
            assert pool._is_for(other, Job(order("j3", "another")))
            first.job = None
    finally:
        pool.close()


class Serving:
    """`vesalius serve` as a process of its own, which can be killed."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "vesalius.agent", "serve", "--port", "0", "--home", str(home)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://[^/]+", self.process.stdout.readline())
        assert found is not None
        self.address = found[0]
        self.csrf = self.ask("/api/session")["csrf"]

    def ask(self, path: str, body: object = None) -> Any:
        headers = {"content-type": "application/json", CSRF_HEADER: getattr(self, "csrf", "")}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.address + path, data, headers), timeout=60) as answer:
            return json.load(answer)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def workers(self) -> list[int]:
        """Processes of this server that hold a model."""
        listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True)
        return [int(line.split()[0]) for line in listed.stdout.decode().splitlines() if "spawn_main" in line]


def answered_though_killed(home: Path, seed: int, kills: int) -> list[list[Any]]:
    """Ledgers and turns of a chat with two messages that were sent at once, while worker and server are killed."""
    chance, deaths = random.Random(seed), 0
    server = Serving(home)
    chat = server.ask("/api/chats", {"model": "atlas"})["name"]
    for said, pairs in ((WHERE, PAIRS), ("how sure are you?", [])):
        server.ask(f"/api/chats/{chat}/messages", {"said": said, "pairs": pairs})
    while server.ask(f"/api/chats/{chat}")["jobs"]:
        time.sleep(chance.uniform(0.2, 8) if kills else 0.2)
        if not kills:
            continue
        kills -= 1
        workers = server.workers()
        if workers and deaths < 2 and chance.random() < 0.5:  # an order that three workers died of is not tried again
            deaths += 1
            os.kill(workers[0], signal.SIGKILL)
        else:
            deaths = 0
            server.kill()
            server = Serving(home)
    turns = [(turn["said"], turn["reply"]["kind"]) for turn in server.ask(f"/api/chats/{chat}")["turns"]]
    server.kill()
    assert not list((home / "queue").glob("j*"))
    return [turns, [[(e.key, e.kind, e.body) for e in read_ledger(run.ledger)] for run in runs_of(home)]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_killed_and_when_the_ledger_is_that_of_a_calm_run(tmp_path: Path, seed: int) -> None:
    calm = answered_though_killed(tmp_path / "calm", seed, kills=0)
    assert answered_though_killed(tmp_path / "killed", seed, kills=5) == calm
