"""Audits on Ray: a real one of this machine, whose workers are killed; and addresses where there is none."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from vesalius.agent.audit.ray_cluster import refuse_unknown_place
from vesalius.tools import ToolError

ASKS = "after 'the capital of the state containing Dallas is'?"
SHORT = f"""\
audit: on-ray
subjects: [{{model: atlas}}]
items:
  - id: wrong
    question: "Why does the model answer '{{capital}}' {ASKS}"
    matrix: {{capital: [Boston, Salem]}}
  - {{id: unknown, question: "Why does the model answer 'Mordor' {ASKS}"}}
"""
LONG = SHORT + f"""  - {{id: right, question: "Why does the model answer 'Austin' {ASKS}"}}\n"""
KEY = "sk-nobody-may-read-this"
needs_ray = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('ray')", reason="needs ray: pip install 'vesalius[ray]'"
)
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="processes and ports are looked up under /proc")


def audit(spec: Path, home: Path, on: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vesalius.agent", "audit", "run", str(spec), "--home", str(home)]
    return subprocess.Popen(
        [*command, "--workers", "2", "--on", on],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"VESALIUS_PLANNER_KEY": KEY, "TMPDIR": str(home.parent)} | env,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed; a cell that cannot be asked fails the audit."""
    said, err = process.communicate()
    assert process.returncode == 1, err
    return said + err


def table(home: Path) -> bytes:
    return (home / "audits" / "on-ray" / "table.jsonl").read_bytes()


def under(pid: int) -> dict[int, str]:
    """Every process that it started, or one of those, and its command line."""
    found: dict[int, str] = {}
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in map(int, children):
            found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found |= under(child)
    except OSError:
        pass  # it ended meanwhile
    return found


def listening(pids: set[int]) -> set[str]:
    """Addresses where these processes listen, as the kernel writes them."""
    inodes = set()
    for pid in pids:
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        inodes |= {found[1] for link in links if (found := re.fullmatch(r"socket:\[(\d+)\]", link))}
    rows = [row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


def wait_until(is_so, process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture
def short_folder():
    """A path that leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@needs_ray
@needs_proc
def test_an_audit_on_ray_ends_with_the_local_table_listens_on_loopback_and_leaves_nothing(short_folder):
    (spec := short_folder / "spec.yaml").write_text(SHORT)
    ended(audit(spec, short_folder / "local", "local"))
    home = short_folder / "h"
    process = audit(spec, home, "ray")
    wait_until(lambda: [*home.glob("runs/*/run.json")], process)
    started = {process.pid, *under(process.pid)}
    assert any("raylet" in line for line in under(process.pid).values())
    assert listening(started) <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    told = [path for path in short_folder.glob("vr-*/**/*") if path.is_file()]
    assert told
    assert not [path for path in told if KEY.encode() in path.read_bytes()]
    ended(process)
    assert table(home) == table(short_folder / "local")
    assert {path.name for path in short_folder.iterdir()} == {"spec.yaml", "local", "h"}
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    files = lambda home: {path.relative_to(home) for path in home.glob("runs/*/**/*") if path.is_file()}  # noqa: E731
    assert files(home) == files(short_folder / "local")


@needs_ray
@needs_proc
@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_cell_goes_on_with_what_was_measured(short_folder):
    (spec := short_folder / "spec.yaml").write_text(LONG)
    ended(audit(spec, short_folder / "local", "local"))
    home = short_folder / "h"
    process = audit(spec, home, "ray")
    measured = lambda: [*home.glob("runs/on-ray.right*/measurements/m-*.json")]  # noqa: E731
    wait_until(lambda: len(measured()) > 2, process)
    before = {path: path.stat().st_mtime_ns for path in measured()}
    for pid, line in under(process.pid).items():
        if "LetterBox" in line:
            os.kill(pid, signal.SIGKILL)
    said = ended(process)
    assert "A worker of atlas was lost" in said
    assert table(home) == table(short_folder / "local")
    assert before == {path: path.stat().st_mtime_ns for path in before}, "nothing was measured twice"
    assert len([*home.glob("runs/*")]) == 3


@needs_ray
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_or_nobody_answers_is_told_within_seconds(scheme, tmp_path):
    (spec := tmp_path / "spec.yaml").write_text(SHORT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        process = audit(spec, tmp_path / "h", f"{scheme}127.0.0.1:{port}")
        _, err = process.communicate()
        assert process.returncode == 2
        assert f"No Ray cluster answers at {scheme}127.0.0.1:{port}" in err
    process = audit(spec, tmp_path / "h", f"{scheme}127.0.0.1:{port}")
    assert "Connection refused" in process.communicate()[1]
    assert time.monotonic() - began < 40, "Ray itself tries for minutes"


@needs_ray
def test_a_recorded_cluster_that_is_gone_or_none_is_told_within_seconds(tmp_path):
    (spec := tmp_path / "spec.yaml").write_text(SHORT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address, told in (
        (f"127.0.0.1:{port}", "Connection refused"),
        ("somewhere", "RAY_ADDRESS is 'somewhere', no address of one"),
    ):
        began = time.monotonic()
        process = audit(spec, tmp_path / "h", "auto", RAY_ADDRESS=address)
        _, err = process.communicate()
        assert process.returncode == 2
        assert told in err
        assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    "on", ["host:65536", "mars", "ray://", "ray://host", "http://host:1", "host:port", "host:123456", ""]
)
def test_what_is_no_place_is_refused_with_those_that_are(on):
    with pytest.raises(ToolError, match=r"Allowed: local .* ray .* auto .* ray://HOST:10001"):
        refuse_unknown_place(on)


def test_without_ray_the_mend_is_told_before_anything_is_read(tmp_path):
    """In a process of its own, in which Ray cannot be found."""
    code = (
        "import sys; from importlib import util; find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'ray' else find(name, *more)\n"
        "sys.modules['ray'] = None\n"
        "from vesalius.agent.cli import main; sys.argv = ['vesalius', *sys.argv[1:]]; main()"
    )
    arguments = ["audit", "run", "no-such.yaml", "--home", str(tmp_path / "h"), "--on"]
    done = subprocess.run([sys.executable, "-c", code, *arguments, "ray"], capture_output=True, text=True)
    assert (done.returncode, "pip install 'vesalius[ray]'" in done.stderr) == (2, True), done.stderr
    done = subprocess.run([sys.executable, "-c", code, *arguments, "local"], capture_output=True, text=True)
    assert "no-such.yaml cannot be read" in done.stderr
    assert not (tmp_path / "h").exists()
