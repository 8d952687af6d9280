"""`vesalius chat` as a person and a script use it: real processes."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from vesalius.agent.chat.history import About, open_history
from vesalius.agent.commands.chatting import chat_command
from vesalius.agent.failing import SettingError
from vesalius.agent.settings import read_settings
from vesalius.tools import ToolError

OPPOSITE = "Where is the opposite computed?"
RUN = "import typer; from vesalius.agent.chat_cli import chat; typer.run(chat)"


def start(home, *arguments):
    command = [sys.executable, "-c", RUN, "--home", str(home), "--device", "cpu", "--no-memory", *arguments]
    heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, preexec_fn=heed, env={**os.environ, "VESALIUS_CHATS": ""}, **pipes)


def say(home, *arguments, messages):
    process = start(home, *arguments)
    out, err = process.communicate("\n".join(messages) + "\n")
    return process.returncode, out, err


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("chat")


@pytest.fixture(scope="module")
def first(home):
    """A chat with an investigation, a follow-up and a message that cannot be understood, for machines."""
    pairs = home / "pairs.json"
    words = ["hot cold", "big small", "fast slow", "high low", "hard soft", "wet dry", "light dark"]
    both = [word.split() for word in words]
    rows = [
        {"clean": f"the opposite of {a} is", "corrupted": f"the opposite of {b} is", "answer": c, "foil": d}
        for (a, c), (b, d) in pairwise(both)
    ]
    pairs.write_text(json.dumps(rows))
    said = [OPPOSITE, str(pairs), "what did you measure?", "tell me a story", "/quit", "after the end"]
    return say(home, "--name", "mine", "--json", messages=said)


def test_there_is_one_json_object_a_turn_and_all_else_is_on_standard_error(first):
    status, out, err = first
    assert status == 0, err
    turns = [json.loads(line) for line in out.splitlines()]
    assert [turn["kind"] for turn in turns] == ["asked_back", "investigated", "answered", "not_understood", "quit"]
    assert turns[1]["answer"]["run"] == turns[1]["run"] == turns[2]["run"]
    assert {m["id"] for m in turns[1]["answer"]["measurements"]} == {*turns[2]["measurements"]}
    assert "explore" in err


def test_a_chat_goes_on_in_another_process_and_takes_what_was_explored_from_the_run_before(home, first):
    status, out, err = say(home, "--resume", messages=["/again", "/budget"])
    assert status == 0, err
    assert "answered by run" in out  # what was said before
    assert "measured before" in out
    assert "Verdicts" not in out or "Confirmed by the same requests as run" in out
    assert "taken from earlier runs" in out
    assert "vesalius chat --resume --name mine" in out
    assert not [line for line in out.splitlines() if "confirm " in line and "measured before" in line]


def test_a_second_process_is_refused_while_the_first_has_the_chat(home):
    with open_history(home, "held") as history:
        history.begin(About(model="atlas", fingerprint="f", seed=0))
        status, _, err = say(home, "--resume", "--name", "held", messages=["/quit"])
    assert status == 2
    assert f"process {os.getpid()}" in err
    assert "Traceback" not in err


def test_the_keyboard_stops_an_investigation_and_the_chat_goes_on_with_it(home, first):
    process = start(home, "--name", "stopped")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Why does the model answer 'Austin' after 'the capital of Texas is'?\n")
    process.stdin.flush()
    while "explore" not in (line := process.stdout.readline()):
        assert line
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate("/runs\n")
    assert process.returncode == 0, err
    assert "/resume goes on with run" in out
    assert "(stopped)" in out
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ({"name": "nothing", "resume": True}, {}, "There is no chat 'nothing'"),
        ({"name": "../up"}, {}, "cannot name a chat"),
        ({"name": "mine"}, {}, "--resume --name mine"),
        ({}, {"planner": "llm"}, "VESALIUS_PLANNER_URL"),
        ({}, {"probes": "llm"}, "VESALIUS_PLANNER_URL"),
        ({}, {"refute": "llm"}, "VESALIUS_PLANNER_URL"),
        ({}, {"writer": "llm"}, "VESALIUS_PLANNER_URL"),
        ({}, {"writer": "llm", "planner_url": "http://127.0.0.1:9/v1"}, "VESALIUS_PLANNER_MODEL"),
        ({}, {"blind": "names"}, "nobody can be blinded"),
        ({}, {"budget": "soon"}, "NAME=NUMBER"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_is_loaded(tmp_path, given, settings, message):
    with open_history(tmp_path, "mine"):
        pass
    asked = {"name": "", "resume": False, "kept_at": "", "use_memory": False, "download": False, "as_json": False}
    with pytest.raises((ToolError, SettingError), match=re.escape(message)):
        chat_command(read_settings(home=tmp_path, **settings), "no such model", **{**asked, **given})
