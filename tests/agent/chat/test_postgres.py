"""A chat's history in a real PostgreSQL server, started for these tests where there is one."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from vesalius.agent.chat.postgres import open_postgres
from vesalius.agent.chat.turns import Reply, Turn
from vesalius.tools import ToolError

pytest.importorskip("langgraph.checkpoint.postgres", reason="vesalius[postgres] is not installed")


def programs() -> Path | None:
    found = [*map(Path, filter(None, [shutil.which("initdb")])), *Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return found[0].parent if found else None


@pytest.fixture(scope="module")
def url():
    where = programs()
    if where is None:
        pytest.skip("no PostgreSQL server is installed")
    user = None
    if os.getuid() == 0:  # the server refuses to run as root
        if "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
            pytest.skip("PostgreSQL does not run as root, and there is no user `postgres`")
        user = "postgres"
    # Not pytest's folder, which no other user may enter.
    base = Path(tempfile.mkdtemp(prefix="vesalius-postgres-"))
    base.chmod(0o755)
    data = base / "data"
    data.mkdir()
    if user:
        shutil.chown(data, user)
        shutil.chown(base, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        ended = subprocess.run(command, user=user, cwd=base, capture_output=True, text=True, timeout=60, env=plain)
        assert ended.returncode == 0, ended.stderr

    plain = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    run(str(where / "initdb"), "-D", str(data), "-U", "vesalius", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={base} -c fsync=off"
    run(str(where / "pg_ctl"), "-D", str(data), "-w", "-l", str(base / "log"), "-o", options, "start")
    yield f"postgresql://vesalius:a-secret@127.0.0.1:{port}/postgres"
    run(str(where / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
    shutil.rmtree(base)


def answered(said: str) -> Turn:
    return Turn(said=said, reply=Reply(kind="answered"))


def test_what_was_said_is_there_when_the_chat_is_opened_again(url):
    with open_postgres(url, "mine", resume=False, any_name=False) as history:
        history.close(answered("one"))
        history.close(answered("two"))
        history.undo()
    with open_postgres(url, "", resume=True, any_name=True) as history:
        assert history.name == "mine"
        assert history.turns == [answered("one")]
    with pytest.raises(ToolError, match="--resume --name mine"), open_postgres(url, "mine", False, False):
        pass
    with pytest.raises(ToolError, match="mine"), open_postgres(url, "other", True, False):
        pass


def test_a_chat_is_open_once_at_a_time(url):
    with open_postgres(url, "held", resume=False, any_name=False) as history:
        history.close(answered("one"))
        with pytest.raises(ToolError, match="open in another process"), open_postgres(url, "held", True, False):
            pass
    with open_postgres(url, "held", resume=True, any_name=False):
        pass


def test_a_database_that_does_not_answer_is_an_error_without_its_password():
    nowhere = "postgresql://me:a-secret@127.0.0.1:9/none"
    with pytest.raises(ToolError, match="VESALIUS_CHATS") as found, open_postgres(nowhere, "x", False, False):
        pass
    assert "a-secret" not in str(found.value)
