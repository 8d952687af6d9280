"""The commands: a real server process on loopback, and how it begins and ends."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.commands import serving_pages
from vesalius.agent.commands.serving_pages import serve_command
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.server.listening import bound
from vesalius.agent.settings import read_settings
from vesalius.tools import Subject, ToolError

SOON = 60.0  # seconds
ANSWERS = {"hot": "cold", "big": "small", "fast": "slow", "high": "low", "hard": "soft", "wet": "dry"}
PAIRS = tuple(
    ContrastPair(
        clean=f"the opposite of {a} is", corrupted=f"the opposite of {b} is", answer=ANSWERS[a], foil=ANSWERS[b]
    )
    for a, b in pairwise(ANSWERS)
)


class Running(NamedTuple):
    """A server process."""

    process: subprocess.Popen[str]
    address: str


@contextmanager
def running(home: Path, command: str = "serve", *more: str) -> Iterator[Running]:
    """A server of a home, on a port that was free."""
    line = [sys.executable, "-m", "vesalius.agent", command, "--home", str(home), "--port", "0", "--device", "cpu"]
    # Whoever started the tests in the background may have told all of them to take no notice of Ctrl-C.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*line, *more], text=True, preexec_fn=heed, **pipes) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.search(r"http://\S+", told)
            assert found, told + (process.stderr.read() if process.stderr else "")
            yield Running(process, found[0])
        finally:
            process.kill()


def asked(address: str, path: str, body: Any = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    sent = headers | ({"content-type": "application/json"} if data else {})
    with urllib.request.urlopen(urllib.request.Request(address + path, data, sent), timeout=SOON) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("command", ["serve", "review"])
def test_the_command_prints_its_address_serves_the_list_and_ends_with_ctrl_c(home, command):
    with running(home, command) as (process, address):
        assert [run["name"] for run in asked(address, "api/runs")["runs"]] == ["done"]
        with urllib.request.urlopen(address, timeout=SOON) as page:
            assert b"<title>Runs" in page.read()
            assert page.headers["server"] is None
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(SOON) == 130
        assert process.stderr is not None
        assert process.stderr.read().strip() == "Stopped."


def test_with_the_flag_the_address_holds_a_token_without_which_nothing_is_served(home):
    with running(home, "serve", "--token") as (_, address):
        root, token = address.split("?token=")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            asked(root, "api/runs")
        assert asked(root, "api/runs", authorization=f"Bearer {token}")["total"] == 1


@pytest.mark.slow
def test_numbers_of_a_run_of_the_reference_model_are_measured_again_also_while_ctrl_c_comes(tmp_path, atlas: Subject):
    done = finish(Where(tmp_path, use_memory=False), atlas, "Where is the opposite computed?", PAIRS)
    with running(tmp_path) as (process, address):
        csrf = {"x-vesalius-csrf": asked(address, "api/session")["csrf"]}
        for record in done.report.measurements:
            path = f"api/runs/{done.folder.name}/measurements/{record.measurement.id}/verify"
            job, until = asked(address, path, {}, **csrf), time.monotonic() + SOON
            while job["state"] in ("queued", "running") and time.monotonic() < until:
                time.sleep(0.05)
                job = asked(address, f"api/jobs/{job['handle']}")
            assert (job["state"], job["outcome"]["outcome"]) == ("done", "reproduced")
        asked(address, path, {}, **csrf)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(SOON) == 130


def test_a_port_in_use_is_told_with_the_mend(home):
    with bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        line = [sys.executable, "-m", "vesalius.agent", "serve", "--home", str(home), "--port", str(port)]
        found = subprocess.run(line, capture_output=True, text=True, timeout=SOON, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: Port {port} of 127.0.0.1 cannot be used: Address already in use.")
    assert "Pass another --port" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_host_that_is_not_of_this_machine_is_told_with_the_mend():
    for host in ("192.0.2.1", "not a host"):
        with pytest.raises(ToolError, match="--host"):
            bound(host, 0)


def test_without_the_web_packages_the_command_says_what_to_install(home, monkeypatch):
    monkeypatch.setattr(serving_pages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"Not installed: fastapi, uvicorn\. .*pip install 'vesalius\[web\]'"):
        serve_command(read_settings(home=home), "127.0.0.1", 0, False)
