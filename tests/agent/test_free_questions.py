"""`vesalius ask` with a question in a person's own words: real processes, a real endpoint that replays a script."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
from itertools import pairwise

import pytest
from scripted_endpoint import says, serving
from vesalius.agent.asking import Where, desk_for, start_run
from vesalius.agent.budget import Budget
from vesalius.agent.intake import take_in
from vesalius.agent.investigation import investigate
from vesalius.agent.planners.llm_turns import Turn
from vesalius.agent.report.schema import read_report
from vesalius.agent.runs import Planned, Put, RunFolder

WORDS = "at which place does it turn a word <b>round</b>\x07?"
OPPOSITES = ["hot cold", "big small", "fast slow", "high low", "hard soft", "wet dry", "light dark"]
PAIRS = [
    {"clean": f"the opposite of {a} is", "corrupted": f"the opposite of {b} is", "answer": c, "foil": d}
    for (a, c), (b, d) in pairwise(word.split() for word in OPPOSITES)
]
WHERE = {"kind": "where", "behaviour": "the opposite", "pairs": PAIRS}
QUESTION = "Where is the opposite computed?"
AUSTIN = {"kind": "why", "prompt": "the capital of Texas is", "answer": "Austin"}
FORMS = ("Why does the model answer", "Where is BEHAVIOUR computed?", "What does feature LAYER/FEATURE stand for?")


def environment(home, url):
    env = {name: value for name, value in os.environ.items() if not name.startswith("VESALIUS_")}
    given = {"HOME": home, "PLANNER": "llm", "PLANNER_URL": url, "PLANNER_MODEL": "tiny", "DEVICE": "cpu"}
    return env | {f"VESALIUS_{name}": str(value) for name, value in given.items()}


def run(home, url, *arguments):
    command = [sys.executable, "-m", "vesalius.agent", *arguments]
    done = subprocess.run(command, env=environment(home, url), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def in_a_terminal(home, url, answer, *arguments):
    """Run in a terminal, in which a person says something as soon as they are asked."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vesalius.agent", *arguments]
    seen, asked = bytearray(), threading.Event()

    def look():
        try:
            while part := os.read(ours, 4096):
                seen.extend(part)
                if b"Say yes or no" in seen and not asked.is_set():
                    asked.set()
                    os.write(ours, answer)
        except OSError:  # the other end of a terminal is closed
            return

    with subprocess.Popen(command, env=environment(home, url), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        looking = threading.Thread(target=look)
        looking.start()
        process.wait()
        looking.join()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())
    return process.returncode, " ".join(plain.split()), asked.is_set()


def ledger(folder):
    return [json.loads(line)["body"] for line in folder.ledger.read_text().splitlines()]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A question that is put into a form at the second try, without a terminal."""
    home = tmp_path_factory.mktemp("free")
    with serving(says("I think …"), says(WHERE)) as played:
        told = run(home, played.url, "ask", WORDS, "--no-memory", "--json")
        again = run(home, played.url, "ask", WORDS, "--resume", "last", "--no-memory", "--json")
        verified = run(home, played.url, "verify", "last")
    assert len(played.asked) == 2
    return RunFolder.open(home, "last"), told, again, verified


@pytest.mark.slow
def test_it_goes_on_without_a_terminal_and_says_how_it_read_the_question(asked):
    _, (status, out, err), _, _ = asked
    assert status == 0, err
    answer = json.loads(out)
    assert answer["question"] == QUESTION
    expected = {"words": WORDS, "by": "tiny", "agreed": False, "wrote_pairs": True}
    assert answer["asked"] == expected
    assert f"understood as  {QUESTION}" in err
    assert "at which place does it turn a word" in err
    assert "\x07" not in err
    for pair in PAIRS:
        assert f"{pair['clean']!r} → {pair['answer']!r}" in err


@pytest.mark.slow
def test_words_form_and_replies_stand_in_the_run_and_its_ledger(asked):
    folder, *_ = asked
    info, bodies = folder.info, ledger(folder)
    assert (info.question, info.put.words) == (QUESTION, WORDS)
    assert bodies[0]["question"] == QUESTION
    assert bodies[1]["asked"] == {"words": WORDS, "by": "tiny", "agreed": False, "wrote_pairs": True}
    turns = [body["turn"] for body in bodies if "turn" in body]
    assert [(turn["role"], turn["content"]) for turn in turns] == [
        ("reader", "I think …"),
        ("reader", json.dumps(WHERE)),
    ]
    assert all(turn["tokens_in"] > 0 for turn in turns)


@pytest.mark.slow
def test_the_report_says_in_what_words_it_was_asked_and_who_read_them(asked):
    folder, *_ = asked
    report = read_report(folder.path / "report.json")
    assert report.question == QUESTION
    assert report.asked.words == WORDS
    markdown, page = ((folder.path / f"report.{kind}").read_text() for kind in ("md", "html"))
    for text in (markdown, page):
        assert "language model tiny put the question into this form, and wrote its contrast pairs" in text
        assert "Nobody was asked" in text
        assert "at which place does it turn a word" in text
        assert "\x07" not in text
    assert "<b>round</b>" not in page


@pytest.mark.slow
def test_a_run_that_is_taken_up_again_is_not_read_again_and_verifies(asked):
    _, (_, first, _), (status, again, err), (verified, out, _) = asked
    assert status == 0, err
    assert json.loads(again)["ledger_digest"] == json.loads(first)["ledger_digest"]
    assert "In the person's words" in err
    assert verified == 0
    assert "drifted           0" in out


@pytest.mark.parametrize(
    ("script", "why"),
    [(says({"kind": "none"}), "fits none"), ((401, "{}"), "status 401")],
)
def test_what_cannot_be_put_into_a_form_is_told_the_forms_and_nothing_is_begun(script, why, tmp_path):
    with serving(script) as played:
        status, _, err = run(tmp_path, played.url, "ask", WORDS, "--no-memory")
    assert status == 2
    assert why in err
    assert all(form in err for form in FORMS)
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((WORDS, "--planner", "protocol"), FORMS[0]),
        (("?!",), FORMS[0]),
        (("Where is agreement computed?",), "Pass --pairs FILE"),
        (("\udcff what is this",), "no UTF-8"),
    ],
)
def test_what_needs_no_reading_is_not_sent_anywhere(arguments, told, tmp_path):
    with serving(says(AUSTIN)) as played:
        status, _, err = run(tmp_path, played.url, "ask", *arguments)
    assert (status, played.asked) == (2, [])
    assert told in err


def test_a_terminal_asks_and_a_no_ends_it_before_anything_runs(tmp_path):
    with serving(says(AUSTIN)) as played:
        status, seen, was_asked = in_a_terminal(tmp_path, played.url, b"perhaps\nno\n", "ask", "who rules Texas")
    assert (status, was_asked) == (2, True)
    assert "Why does the model answer 'Austin' after 'the capital of Texas is'?" in seen
    assert seen.count("Say yes or no") == 2
    assert "nothing was run" in seen
    assert not (tmp_path / "runs").exists()


def test_a_terminal_that_is_left_ends_it_too(tmp_path):
    with serving(says(AUSTIN)) as played:
        status, _, was_asked = in_a_terminal(tmp_path, played.url, b"\x04", "ask", "who rules Texas")
    assert (status, was_asked) == (130, True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("more", "agreed"), [((), True), pytest.param(("--yes",), False, marks=pytest.mark.slow)])
def test_a_yes_is_asked_for_in_a_terminal_unless_it_was_given(more, agreed, tmp_path):
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps(PAIRS))
    with serving(says({"kind": "where", "behaviour": "the opposite"})) as played:
        given = ("ask", "what turns words round", "--pairs", str(pairs), "--no-memory", *more)
        status, seen, was_asked = in_a_terminal(tmp_path, played.url, b"yes\n", *given)
    assert status == 0, seen
    assert was_asked is agreed
    put = RunFolder.open(tmp_path, "last").info.put
    assert (put.agreed, put.wrote_pairs) == (agreed, False)
    assert json.loads(played.asked[0]["messages"][1]["content"])["pairs_are_given"] is True


def begun(atlas, home, budget=None):
    turn = Turn(number=1, role="reader", mode="text", content="{}", model="tiny", tokens_in=90, tokens_out=10)
    put = Put(words="who rules Texas", by="tiny", agreed=True, turns=(turn,))
    planned = Planned(by="tiny", budget=budget or Budget())
    question = "Why does the model answer 'Boston' after 'the capital of Texas is'?"
    return start_run(Where(home, use_memory=False), atlas, question, 0, "cpu", planned=planned, put=put)


def test_what_was_written_to_read_the_question_counts_in_the_budget(atlas, tmp_path):
    for name, budget, told in (("calls", Budget(calls=1), "1 calls"), ("tokens", Budget(tokens=100), "100 tokens")):
        folder = begun(atlas, tmp_path / name, budget)
        with desk_for(Where(tmp_path, use_memory=False), atlas, folder) as desk:
            take_in(desk, folder.info.question)
            assert desk.next_exploration({"done": [], "failed": []}) is None
            assert told in desk.stopped


def test_a_run_that_is_killed_as_it_begins_has_each_reply_once(atlas, tmp_path):
    folder, where = begun(atlas, tmp_path), Where(tmp_path, use_memory=False)
    while not (folder.path / "report.json").exists():
        with desk_for(where, atlas, folder) as desk:
            for _ in investigate(desk, folder.info.question):
                break
    assert [body["turn"]["number"] for body in ledger(folder) if "turn" in body] == [1]
    assert sum("asked" in body for body in ledger(folder)) == 1


@pytest.mark.slow
def test_an_endpoint_that_dies_before_the_planner_spoke_still_stops_the_run(tmp_path):
    with serving(says(AUSTIN), (500, "{}")) as played:
        status, _, err = run(tmp_path, played.url, "ask", "who rules Texas", "--no-memory")
    assert status == 2, err
    assert "to go on: vesalius ask --resume" in err
