"""The MCP server as another agent uses it: the SDK's own client and a real server process, on the reference model."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from finished_runs import a_run, finish
from vesalius.agent.asking import Where
from vesalius.agent.commands.serving_mcp import mcp_command
from vesalius.agent.ledger import read_ledger
from vesalius.agent.mcp_server.asked import Handle
from vesalius.agent.mcp_server.catalogue import FACES, Office, job_result
from vesalius.agent.mcp_server.jobs import MOST_WAITING, Job, Jobs
from vesalius.agent.mcp_server.reading import MOST_CHARACTERS, part_of
from vesalius.agent.mcp_server.wire import lines_from
from vesalius.agent.mcp_server.work import Workshop
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.planners.reading import read_question
from vesalius.agent.runs import RunFolder
from vesalius.agent.settings import read_settings
from vesalius.tools import Measurement, Subject, ToolError, get_tool

mcp = pytest.importorskip("mcp")

PROMPT = "the capital of Texas is"
WHERE = "Where is the opposite computed?"
ANSWERS = {"hot": "cold", "big": "small", "fast": "slow", "high": "low", "hard": "soft", "wet": "dry", "light": "dark"}
PAIRS = [
    {"clean": f"the opposite of {a} is", "corrupted": f"the opposite of {b} is", "answer": ANSWERS[a], "foil": foil}
    for (a, _), (b, foil) in pairwise(ANSWERS.items())
]
UNDER_WAY = ("queued", "running", "stopping")
SOON = 60.0  # seconds for a process to end


def command(home: Path) -> list[str]:
    return [
        "-m",
        "vesalius.agent",
        "mcp",
        "--home",
        str(home),
        "--device",
        "cpu",
        "--no-memory",
    ]


class Agent:
    """Calls tools of one server and remembers nothing."""

    def __init__(self, call: Callable[[str, dict[str, Any]], Any], tools: list[Any], home: Path) -> None:
        self.call, self.tools, self.home = call, tools, home

    def __getattr__(self, tool: str) -> Callable[..., dict[str, Any]]:
        def use(**arguments: Any) -> dict[str, Any]:
            result = self.call(tool, arguments)
            assert not result.is_error, result.content[0].text
            assert json.loads(result.content[0].text) == result.structured_content
            return result.structured_content

        return use

    def refused(self, tool: str, **arguments: Any) -> str:
        result = self.call(tool, arguments)
        assert result.is_error, result.content[0].text
        return " ".join(result.structured_content.values())

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        while (status := self.job_status(job=job["job"], wait_seconds=20))["state"] in (
            "queued",
            "running",
            "stopping",
        ):
            pass
        return status

    def done(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self.wait(job)["state"] == "done", self.job_status(job=job["job"])
        return self.job_result(job=job["job"])


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    home = tmp_path_factory.mktemp("mcp")
    server = mcp.StdioServerParameters(command=sys.executable, args=command(home))
    client = mcp.Client(server)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client):
        tools = portal.call(client.list_tools).tools
        yield Agent(lambda name, arguments: portal.call(client.call_tool, name, arguments), tools, home)


@pytest.fixture(scope="module")
def measured(agent: Agent) -> dict[str, Any]:
    return agent.done(agent.run_instrument(name="logit_lens", arguments={"prompts": [PROMPT]}))


@pytest.fixture(scope="module")
def asked(agent: Agent) -> dict[str, Any]:
    """An investigation that was stopped on its way and taken up again."""
    job = agent.ask(question=WHERE, pairs=PAIRS)
    while not any((agent.home / "runs").glob("*/measurements/m-*.json")):
        time.sleep(0.02)
    stopping = agent.stop_job(job=job["job"])
    stopped = agent.wait(job)
    told = agent.refused("job_result", job=job["job"])
    unfinished = agent.refused("get_report", run=stopped["run"])
    answer = agent.done(agent.resume_run(run=stopped["run"]))
    return {"stopping": stopping, "stopped": stopped, "told": told, "unfinished": unfinished, "answer": answer}


def test_a_client_sees_a_few_tools_each_with_a_description_and_described_arguments(agent):
    assert 8 <= len(agent.tools) <= 20
    for tool in agent.tools:
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert not tool.input_schema["additionalProperties"]
        assert all("description" in field for field in tool.input_schema["properties"].values())


def test_every_instrument_is_listed_and_described_by_its_own_argument_model(agent):
    assert "logit_lens" in agent.list_instruments()["instruments"]
    described = agent.describe_instrument(name="logit_lens")
    assert described["arguments"] == get_tool("logit_lens").args_model.model_json_schema()


def test_the_models_are_listed_with_prompts_that_they_answer(agent):
    listed = agent.list_models()
    assert listed["default"] == "atlas"
    (found,) = [model for model in listed["models"] if model["name"] == "atlas"]
    assert "'the capital of Texas is' → 'Austin'" in found["prompts with the answer it gives"]


def test_a_measurement_over_the_wire_is_the_measurement_made_here(measured, atlas: Subject):
    tool = get_tool("logit_lens")
    here = tool.measure(atlas, tool.parse({"prompts": [PROMPT]}))
    assert (measured["measurement"], measured["digest"]) == (here.id, here.digest)


def test_a_measurement_is_read_in_parts(agent, measured):
    path = ["result", "prompts", "0", "layers", "-1", "top", "0", "0"]
    assert agent.get_measurement(id=measured["measurement"], path=path)["value"].strip() == "Austin"
    assert "It holds: " in agent.refused("get_measurement", id=measured["measurement"], path=["nothing"])


def test_a_long_value_comes_as_an_outline_that_says_what_to_ask_for():
    long = {"rows": [{"text": "x" * 100}] * MOST_CHARACTERS, "n": 1}
    whole = part_of(long, ())
    assert "value" not in whole
    assert whole["outline"]["rows"].startswith(f"list of {MOST_CHARACTERS}")
    assert part_of(long, ("rows", "1:3"))["value"] == long["rows"][1:3]
    assert part_of(long, ("rows", "-1", "text"))["value"] == "x" * 100
    with pytest.raises(ToolError, match="Give 0 to"):
        part_of(long, ("rows", str(MOST_CHARACTERS)))


@pytest.mark.parametrize(
    ("tool", "arguments", "mend"),
    [
        ("run_instrument", {"name": "logit_lens", "arguments": {"prompt": PROMPT}}, "It takes: prompts"),
        ("run_instrument", {"name": "divination", "arguments": {}}, "Tools: ablate_neurons"),
        ("run_instrument", {"name": "logit_lens"}, "It takes: name, arguments"),
        ("run_instrument", {"name": "logit_lens", "arguments": {"prompts": [PROMPT]}, "model": "gpt2"}, "--download"),
        ("ask", {"question": "Is it warm in there?"}, "Why does the model answer"),
        ("ask", {"question": WHERE}, "pairs"),
        ("ask", {"question": WHERE, "pairs": [{"clean": "a"}]}, "pairs.0.foil"),
        ("verify_run", {"run": "nothing"}, "Newest runs"),
        ("resume_run", {"run": "../../etc"}, "Newest runs"),
        ("job_result", {"job": "j999"}, "Newest jobs"),
        ("get_measurement", {"id": "../m-1234"}, "It takes: id, path"),
        ("get_measurement", {"id": "m-0000"}, "Ids stand in"),
        ("job_status", {"wait_seconds": 1000}, "It takes: job, wait_seconds"),
        ("list_everything", {}, "Tools: list_models"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_mend_before_a_job_is_made(agent, tool, arguments, mend):
    before = len(agent.job_status()["jobs"])
    assert mend in agent.refused(tool, **arguments)
    assert len(agent.job_status()["jobs"]) == before


def test_no_folder_outside_the_home_is_read_as_a_run(agent, tmp_path):
    stranger = a_run(tmp_path)
    assert RunFolder.open(agent.home, str(stranger.path)).name == stranger.name  # the command line may
    assert "There is no run" in agent.refused("get_report", run=str(stranger.path))
    assert "There is no run" in agent.refused("verify_run", run=f"../../{tmp_path.name}/runs/{stranger.name}")


def test_what_would_hide_in_a_text_can_be_seen(agent):
    found = agent.call("get_report", {"run": "a\u202eb\u200bc"}).content[0].text
    assert "\\u202e" in found
    assert "\u202e" not in found


def test_a_job_in_the_queue_says_its_place_and_a_stopped_one_never_begins(agent):
    first = agent.ask(question=WHERE, pairs=PAIRS[:2])
    second = agent.run_instrument(name="next_token", arguments={"prompts": [PROMPT]})
    assert (second["state"], second["jobs_ahead"]) == ("queued", 1)
    stopped = agent.stop_job(job=second["job"])
    assert stopped["state"] == "stopped"
    assert "seconds" not in stopped
    assert "Start it again" in agent.refused("job_result", job=second["job"])
    agent.stop_job(job=first["job"])
    assert agent.wait(first)["state"] == "stopped"


def test_an_investigation_that_was_stopped_keeps_what_it_measured_and_goes_on(asked):
    assert asked["stopping"]["state"] in ("stopping", "stopped")
    assert asked["stopped"]["state"] == "stopped"
    assert f"resume_run with {asked['stopped']['run']}" in asked["told"]
    assert "resume_run" in asked["unfinished"]
    assert asked["answer"]["run"] == asked["stopped"]["run"]


def test_it_ends_with_the_ledger_of_one_that_was_made_here_and_never_stopped(asked, atlas: Subject, tmp_path):
    pairs = tuple(ContrastPair.model_validate(pair) for pair in PAIRS)
    here = finish(Where(tmp_path, use_memory=False), atlas, WHERE, pairs)
    assert asked["answer"]["ledger_digest"] == here.report.ledger_digest


def test_a_report_is_read_in_short_as_text_and_in_parts(agent, asked):
    run = asked["answer"]["run"]
    assert run in [one["run"] for one in agent.list_runs()["runs"]]
    assert agent.get_report(run=run)["answer"] == asked["answer"]["answer"]
    text = agent.get_report(run=run, form="markdown")
    assert text["text"] == (agent.home / "runs" / run / "report.md").read_text()[: len(text["text"])]
    step = agent.get_report(run=run, form="json", path=["tried", "0", "measurement"])
    assert step["value"] in asked["answer"]["measurements"]["explore"]


def test_every_number_of_it_is_reproduced(agent, asked):
    found = agent.done(agent.verify_run(run=asked["answer"]["run"]))
    assert (found["outcome"], found["drifted"], found["not_reproducible"]) == ("reproduced", [], [])
    assert found["bit_identical"] == found["measurements"] == sum(map(len, asked["answer"]["measurements"].values()))


@contextmanager
def raw_server(home: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[dict[str, Any]], dict[str, Any]]]]:
    """A server process, and what asks it one thing; killed if it outlives its test."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *command(home)], text=True, **pipes) as process:

        def ask(message: dict[str, Any]) -> dict[str, Any]:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, **message}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}}
        assert ask({"method": "initialize", "params": about})["result"]["serverInfo"]["name"] == "vesalius"
        process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        process.stdin.flush()
        try:
            yield process, ask
        finally:
            if process.poll() is None:
                process.kill()


def test_a_client_that_dies_ends_the_server_and_leaves_nothing_half_written(tmp_path):
    with raw_server(tmp_path) as (process, ask):
        ask({"method": "tools/call", "params": {"name": "ask", "arguments": {"question": WHERE, "pairs": PAIRS}}})
        while not any(tmp_path.glob("runs/*/measurements/m-*.json")):
            assert process.poll() is None
            time.sleep(0.02)
        process.stdin.close()
        process.stdout.close()
        assert process.wait(SOON) == 0
        assert "Traceback" not in process.stderr.read()
    (run,) = tmp_path.glob("runs/*")
    assert read_ledger(run / "ledger.jsonl")[0].key == "question"
    kept = [Measurement.model_validate_json(path.read_text()) for path in (run / "measurements").iterdir()]
    assert kept


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_waits_for_its_client_can_be_interrupted(tmp_path, told):
    with raw_server(tmp_path) as (process, _):
        process.send_signal(told)
        assert process.wait(SOON) == 130
        assert process.stderr.read().strip() == "Stopped."


def test_what_anybody_else_prints_goes_to_standard_error():
    script = (
        "import os\n"
        "from vesalius.agent.mcp_server.wire import private_wire\n"
        "with private_wire() as wire:\n"
        "    os.system('echo noise; cat')\n"
        "    print('more', flush=True)\n"
        "    os.write(wire.outward, os.read(wire.inward, 9))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input="message\n", capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("message\n", "noise\nmore\n")


def test_a_mistake_of_ours_ends_its_job_and_no_other(tmp_path, capfd):
    def wrong(job: Job) -> dict[str, Any]:
        raise AssertionError("two and two")

    jobs = Jobs()
    office = Office(Workshop(read_settings(home=tmp_path), download=False, use_memory=False), jobs)
    broken, whole = jobs.start("x", {}, wrong), jobs.start("x", {}, lambda job: {"n": 4})
    assert whole.future.result(SOON) == {"n": 4}
    assert broken.state == "failed"
    with pytest.raises(ToolError, match=r"two and two.*Report it"):
        job_result(office, Handle(job=broken.handle))
    assert job_result(office, Handle(job=whole.handle)) == {"job": whole.handle, "n": 4}
    assert jobs.close(SOON)


def test_a_queue_that_is_full_takes_no_more():
    jobs = Jobs()

    def endless(job: Job) -> dict[str, Any]:
        while True:
            job.progress(0, 1, "waiting")
            time.sleep(0.01)

    for _ in range(MOST_WAITING + 1):
        jobs.start("x", {}, endless)
    with pytest.raises(ToolError, match="stop_job"):
        jobs.start("x", {}, endless)
    assert jobs.close(SOON)
    assert {job.state for job in jobs.all()} == {"stopped"}


def test_hub_ids_are_for_a_server_that_may_download_and_folders_for_any(tmp_path):
    settings = read_settings(home=tmp_path)
    assert Workshop(settings, download=True, use_memory=False).allowed("someone/model") == "someone/model"
    closed = Workshop(settings, download=False, use_memory=False)
    with pytest.raises(ToolError, match="Reference models: atlas"):
        closed.allowed(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert closed.allowed(str(tmp_path)) == str(tmp_path)
    assert closed.allowed(None) == "atlas"


def test_what_a_person_has_to_approve_is_left_to_a_person(tmp_path):
    settings = read_settings(home=tmp_path, approve="each", device="cpu")
    workshop, jobs = Workshop(settings, download=False, use_memory=False), Jobs()
    task = read_question(WHERE, tuple(ContrastPair.model_validate(pair) for pair in PAIRS))
    found = jobs.start("ask", {}, lambda job: workshop.ask(task, "atlas", 0, job)).future.result(SOON)
    assert f"vesalius approve {tmp_path / 'runs' / found['run']}" in found["waits"]
    assert not (tmp_path / "runs" / found["run"] / "report.json").exists()
    assert jobs.close(SOON)


def test_without_its_package_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'vesalius\[mcp\]'"):
        mcp_command(read_settings(home=tmp_path), download=False, use_memory=False)


def test_tools_are_said_to_change_nothing_where_they_only_read():
    assert {name for name, face in FACES.items() if not face.reads_only} == {
        "run_instrument",
        "ask",
        "resume_run",
        "verify_run",
        "stop_job",
    }


def test_a_line_that_comes_when_nobody_takes_lines_any_more_is_no_error():
    async def taken_and_left() -> list[str]:
        inward, outward = os.pipe()
        errors: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: errors.append(str(about)))
        lines = lines_from(inward)
        os.write(outward, b"one\n")
        assert await anext(lines) == "one"
        await lines.aclose()
        os.write(outward, b"two\n")
        await asyncio.sleep(0.2)
        os.close(outward)
        return errors

    assert asyncio.run(taken_and_left()) == []
