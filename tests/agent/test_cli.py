"""The command line as a person and a script use it: real processes."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from finished_runs import DALLAS
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.planners.reading import FORMS
from vesalius.tools import REFERENCE_FOLDER


def start(*arguments: str, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vesalius.agent", *arguments]
    env = {**os.environ, "VESALIUS_HOME": str(home)}
    heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    # A shell that runs the tests in the background has them, and so their children, ignore interrupts.
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )


def run(*arguments: str, home: Path) -> tuple[int, str, str]:
    process = start(*arguments, home=home)
    out, err = process.communicate()
    return process.returncode, out, err


def wait_until(is_so, process):
    """However busy the machine is; the process has to be at work still."""
    while not is_so():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    home = tmp_path_factory.mktemp("cli")
    status, out, err = run("ask", DALLAS, "--json", home=home)
    assert status == 0, err
    return home, json.loads(out), err


def test_json_is_one_object_on_standard_output_and_all_else_on_standard_error(asked):
    _, answer, err = asked
    assert {"run", "answer", "claims", "measurements", "report", "seconds"} <= answer.keys()
    assert {"id", "text", "verdict", "tier", "measurements"} <= answer["claims"][0].keys()
    assert {"json", "html", "md"} == answer["report"].keys()
    assert all(Path(path).is_file() for path in answer["report"].values())
    assert "Verdicts" in err


def test_every_figure_of_the_answer_carries_a_measurement_that_exists(asked):
    _, answer, _ = asked
    known = {m["id"] for m in answer["measurements"]}
    cited = {part.strip("[],.;)(") for part in answer["answer"].split() if "m-" in part}
    assert cited
    assert cited <= known


@pytest.mark.slow
def test_verify_reproduces_every_number_and_says_so_in_its_status(asked):
    home, answer, _ = asked
    status, out, err = run("verify", answer["run"], "--json", home=home)
    found = json.loads(out)
    assert status == 0, err
    assert found["drifted"] == found["not_reproducible"] == []
    assert found["bit_identical"] == found["measurements"] == len(answer["measurements"])


def test_the_memory_finds_what_was_claimed(asked):
    home, answer, _ = asked
    status, out, _ = run("memory", "search", "where the state stands", "--kind", "claims", "--json", home=home)
    hits = json.loads(out)["hits"]
    assert status == 0
    assert {hit["run"] for hit in hits} == {answer["run"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", "Is it warm in there?"), "Why does the model answer"),
        (("ask", " "), "No question was given. Usage: vesalius ask"),
        (("ask",), "What does feature LAYER/FEATURE stand for?"),
        (("ask", "Where is agreement computed?"), "--pairs"),
        (("ask", DALLAS.replace("Austin", "Mordor")), "vocabulary lacks 'Mordor'"),
        (("ask", DALLAS.replace("Dallas", "Provo")), "as city Dallas"),
        (("ask", DALLAS, "--model", "nowhere"), "Reference models: atlas."),
        (("ask", "--resume", "nothing"), "There is no run"),
        (("verify", "nothing"), "There is no run"),
        (("run", "divination"), "Tools: ablate_neurons, answer_contrast, attention_patterns"),
        (("run", "patch", "--sites", "x"), "--help"),
        (("eval", "nothing"), "Benchmarks:"),
        (("ask", DALLAS, "--device", "abacus"), "device"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_the_mend_and_no_traceback(arguments, message, tmp_path):
    status, _, err = run(*arguments, home=tmp_path)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_a_wrong_capital_has_a_status_of_its_own(tmp_path):
    status, out, _ = run("ask", DALLAS.replace("Austin", "Boston"), "--json", home=tmp_path)
    assert status == 3
    assert json.loads(out)["premise_holds"] is False


@pytest.mark.slow
def test_a_run_killed_without_warning_ends_with_the_same_ledger_when_taken_up(asked, tmp_path):
    _, answer, _ = asked
    process = start("ask", DALLAS, "--json", home=tmp_path)
    wait_until(lambda: len([*tmp_path.glob("runs/*/measurements/*.json")]) > 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    status, out, err = run("ask", "--resume", "last", "--json", home=tmp_path)
    assert status == 0, err
    assert json.loads(out)["ledger_digest"] == answer["ledger_digest"]


def test_stopping_by_keyboard_says_how_to_go_on(tmp_path):
    process = start("ask", DALLAS, home=tmp_path)
    wait_until(lambda: any(tmp_path.glob("runs/*/measurements/*.json")), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "--resume last" in err
    assert "Traceback" not in err


def test_help_documents_questions_pairs_and_statuses(tmp_path):
    _, out, _ = run("ask", "--help", home=tmp_path)
    for form in FORMS:
        assert form.split("  ")[0] in out
    for field in ContrastPair.model_fields:
        assert f"\n    {field} " in out
    assert "3    the premise does not hold" in out
    assert "4    nothing drifted" in run("verify", "--help", home=tmp_path)[1]


def test_a_models_card_is_named_whole_at_any_width(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = run("models", home=tmp_path)
    assert str(REFERENCE_FOLDER / "atlas" / "README.md") in out.split()


def test_every_command_answers_help(tmp_path):
    for command in ("ask", "verify", "models", "tools", "eval", "doctor", "memory", "dictionary", "graph"):
        status, out, _ = run(command, "--help", home=tmp_path)
        assert status == 0
        assert "Usage" in out


def test_a_tools_help_lists_its_arguments(tmp_path):
    status, out, _ = run("run", "patch", "--help", home=tmp_path)
    assert status == 0
    assert "--random-draws" in out
    assert """--pairs '[{"base": "…", "corrupted": "…", "answer": "…", "foil": "…"}]'""" in out


def test_doctor_says_what_is_there(tmp_path):
    status, out, _ = run("doctor", "--json", home=tmp_path)
    found = json.loads(out)
    assert status == 0
    assert {"torch", "device", "model atlas", "memory", "planner endpoint"} <= {c["what"] for c in found["checks"]}


def test_doctor_tells_an_endpoint_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("VESALIUS_PLANNER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("VESALIUS_PLANNER_MODEL", "tiny")
    status, out, _ = run("doctor", "--json", home=tmp_path)
    (check,) = [c for c in json.loads(out)["checks"] if c["what"] == "planner endpoint"]
    assert status == 1
    assert "does not answer" in check["state"]
    assert check["mend"]
