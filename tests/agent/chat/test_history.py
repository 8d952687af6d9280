import os
import signal
import subprocess
import sys
import time

import pytest
from vesalius.agent.chat.history import About, names, new_name, open_history, stopped
from vesalius.agent.chat.turns import Action, Option, Reply, Turn, asking_back, plain
from vesalius.agent.runs import UnreadableFile
from vesalius.tools import ToolError


def answered(said: str) -> Turn:
    return Turn(said=said, reply=Reply(kind="answered", lines=plain(f"to {said}")))


def test_what_was_said_is_there_when_the_chat_is_opened_again(tmp_path):
    about = About(model="atlas", fingerprint="f" * 64, seed=3)
    options = (Option(label="this", action=Action(do="show", what="c1")),)
    asked = Turn(said="two", reply=asking_back("Which?", options))
    with open_history(tmp_path, "mine") as history:
        history.begin(about)
        history.close(answered("one"))
        history.close(asked)
    with open_history(tmp_path, "mine") as history:
        assert history.about == about
        assert history.turns == [answered("one"), asked]


def test_a_turn_that_ended_stands_in_place_of_the_one_that_was_opened(tmp_path):
    with open_history(tmp_path, "mine") as history:
        history.open(Turn(said="one", reply=stopped("Why?", "a-run")))
        history.close(answered("one"))
    with open_history(tmp_path, "mine") as history:
        assert history.turns == [answered("one")]


def test_a_turn_that_never_ended_stands_as_stopped_whatever_is_said_after_it(tmp_path):
    under_way = Turn(said="one", reply=stopped("Why?", "a-run"))
    with open_history(tmp_path, "mine") as history:
        history.open(under_way)
    with open_history(tmp_path, "mine") as history:
        assert history.under_way is None
        history.close(answered("two"))
    with open_history(tmp_path, "mine") as history:
        assert history.turns == [under_way, answered("two")]


def test_undo_forgets_the_last_turn_for_good_and_says_which(tmp_path):
    with open_history(tmp_path, "mine") as history:
        assert history.undo() is None
        for said in ("one", "two"):
            history.close(answered(said))
        assert history.undo() == answered("two")
        history.close(answered("three"))
    with open_history(tmp_path, "mine") as history:
        assert history.turns == [answered("one"), answered("three")]


def test_a_chat_is_open_in_one_process_at_a_time(tmp_path):
    with (
        open_history(tmp_path, "mine"),
        open_history(tmp_path, "other"),
        pytest.raises(ToolError, match=rf"process {os.getpid()}.*use another --name"),
        open_history(tmp_path, "mine"),
    ):
        pass
    with open_history(tmp_path, "mine"):
        pass


CHAT = """
import sys, time
from pathlib import Path
from vesalius.agent.chat.history import open_history
from vesalius.agent.chat.turns import Reply, Turn
with open_history(Path(sys.argv[1]), "mine") as history:
    for said in ("one", "two"):
        history.close(Turn(said=said, reply=Reply(kind="answered")))
    print("said", flush=True)
    time.sleep(600)
"""


def test_kill_9_loses_nothing_that_was_said_and_frees_the_chat(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CHAT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "said\n"
    with pytest.raises(ToolError, match=str(process.pid)), open_history(tmp_path, "mine"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with open_history(tmp_path, "mine") as history:
        assert [turn.said for turn in history.turns] == ["one", "two"]


def test_a_chat_grows_by_what_is_said_and_not_by_what_was_said_before(tmp_path):
    def size() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "chats").glob("mine.sqlite*"))

    turn = Turn(said="x" * 2000, reply=Reply(kind="answered"))
    with open_history(tmp_path, "mine") as history:
        for _ in range(20):
            history.close(turn)
        first = size()
        for _ in range(20):
            history.close(turn)
    assert size() < 2.5 * first


@pytest.mark.parametrize("name", ["../up", "", "a b", "-x", "a/b"])
def test_a_name_that_could_not_be_a_files_is_refused(tmp_path, name):
    with pytest.raises(ToolError, match="64 letters"), open_history(tmp_path, name):
        pass


def test_a_file_that_holds_no_chat_is_refused(tmp_path):
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "mine.sqlite").write_text("nothing of the kind, but long enough to be looked at" * 100)
    with pytest.raises(UnreadableFile, match="Begin another"), open_history(tmp_path, "mine"):
        pass


def test_names_come_in_the_order_of_use_and_a_new_one_is_never_one_of_them(tmp_path):
    for name in ("b", "a"):
        with open_history(tmp_path, name) as history:
            history.close(answered("x"))
        time.sleep(0.02)
    assert names(tmp_path) == ["b", "a"]
    assert new_name(tmp_path, "a") == "a-1"
