"""The other side of the attribution benchmark as a process: asked, timed, and ended, whatever it does."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file
from vesalius.evals.benchmarks._attribution_cases import TUNED_MALLOC, AttributionCase, CaseFiles, Shape
from vesalius.evals.benchmarks._peer import Peer
from vesalius.evals.benchmarks._peer_environment import PINS, STAMP, peer_python
from vesalius.evals.benchmarks._process_cost import Timing, peak_of, timed
from vesalius.tools import ToolError

CASE = AttributionCase("tiny", Shape("tiny", 1, 8, 2, 2, 16, 4, k=2), max_feature_nodes=3)
SPEAKS = """
import json, os, sys
request = json.load(open(sys.argv[2]))
print(json.dumps({"active": 6, "logits_differ": 1e-6}), flush=True)
for line in sys.stdin:
    word, *argument = line.split()
    answers = {
        "run": {"cpu_s": float(argument[0] if argument else request["batch_size"]), "wall_s": float(os.getpid())},
        "peak": {"peak_bytes": int(os.environ.get("MALLOC_MMAP_MAX_", -1))},
        "prune": {"cpu_s": float(request["max_feature_nodes"]), "wall_s": float(os.environ["OMP_NUM_THREADS"])},
        "graph": {"path": os.path.join(request["case"], "graph.safetensors")},
    }
    if word == "prune_peak":
        print("out of luck", file=sys.stderr)
        sys.exit(3)
    print(json.dumps(answers[word]), flush=True)
"""


@pytest.fixture
def files(tmp_path):
    return CaseFiles(tmp_path, "", ())


@pytest.fixture
def speaks(tmp_path):
    """An interpreter that runs a stand-in instead of the script: the lines are real, what they say is not."""
    (tmp_path / "stand_in.py").write_text(SPEAKS)
    return executable(tmp_path / "python", f'exec {sys.executable} {tmp_path / "stand_in.py"} "$@"')


def executable(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def interrupt(peer, pids):
    pids.append(peer._running.pid)
    raise KeyboardInterrupt


def gone(pid):
    """Whether no such process is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_each_request_gets_its_own_answer_from_one_process(speaks, files):
    with Peer(speaks, CASE, files, batch_size=16, threads=2) as peer:
        first, other = peer.run(), peer.run(64)
        assert (first.cpu_s, other.cpu_s) == (16.0, 64.0)
        assert first.wall_s == other.wall_s  # its process number
        assert peer.prune() == Timing(3.0, 2.0)  # nodes and threads of the request
        assert (peer.active, peer.logits_differ) == (6, 1e-6)
    assert gone(int(first.wall_s))


def test_the_allocator_is_tuned_for_time_and_left_alone_for_memory(speaks, files, monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")  # of the process that asks: no business of the one that is measured
    with Peer(speaks, CASE, files) as tuned, Peer(speaks, CASE, files, tuned=False) as plain:
        assert (tuned.peak(), plain.peak()) == (int(TUNED_MALLOC["MALLOC_MMAP_MAX_"]), -1)


def test_the_graph_comes_back_as_it_was_written(speaks, files):
    written = {
        "active_features": torch.tensor([[0, 1, 5], [0, 2, 3]]),
        "activation_values": torch.tensor([0.5, 2.0]),
        "selected_features": torch.tensor([1]),
        "logit_tokens": torch.tensor([7]),
        "logit_probabilities": torch.tensor([0.25]),
        "adjacency": torch.tensor([[0.0, 0.0], [-1.5, 0.0]]),
    }
    save_file(written, files.folder / "graph.safetensors")
    with Peer(speaks, CASE, files) as peer:
        graph = peer.graph()
    assert all(torch.equal(getattr(graph, name), tensor) for name, tensor in written.items())


def test_a_process_that_dies_is_an_error_with_its_last_words(speaks, files):
    with Peer(speaks, CASE, files) as peer:
        pid = int(peer.run().wall_s)
        with pytest.raises(ToolError, match=r"(?s)ended with 3.*out of luck") as error:
            peer.prune_peak()
        with pytest.raises(ToolError, match="out of luck"):
            peer.run()  # and it stays one
    assert "remove its environment" in str(error.value)
    assert gone(pid)


def test_a_process_that_never_gets_ready_says_why(tmp_path, files):
    broken = executable(tmp_path / "python", "echo no module named circuit_tracer >&2; exit 1")
    with pytest.raises(ToolError, match="no module named circuit_tracer"), Peer(broken, CASE, files):
        pass


def test_ctrl_c_while_it_works_ends_it_at_once(tmp_path, files):
    slow = executable(tmp_path / "python", """echo '{"active": 1, "logits_differ": 0}'; exec sleep 60""")
    pids: list[int] = []
    started = time.monotonic()
    peer = Peer(slow, CASE, files)
    with pytest.raises(KeyboardInterrupt), peer:
        interrupt(peer, pids)
    assert gone(pids[0])
    assert time.monotonic() - started < 5


def test_an_environment_that_stands_is_used_again_without_a_command(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    python = executable(tmp_path / "bin" / "python", "exit 1")
    (tmp_path / STAMP).write_text(json.dumps(PINS))
    monkeypatch.setattr(subprocess, "run", None)
    assert peer_python(tmp_path) == python


def test_an_environment_of_other_versions_is_made_anew_and_its_failure_told(tmp_path, monkeypatch):
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / STAMP).write_text(json.dumps(["circuit-tracer==0.4.1"]))
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "No matching distribution")
    )
    with pytest.raises(ToolError, match=r"(?s)No matching distribution.*pip can install circuit-tracer==0\.5\.0"):
        peer_python(tmp_path)
    assert not (tmp_path / STAMP).exists()


def test_a_folder_of_other_things_is_never_cleared(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ToolError, match="Name a new or an empty folder"):
        peer_python(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can set a process's peak back")
def test_the_peak_is_what_was_held_for_a_moment_and_not_what_was_held_before():
    before = bytearray(b"x") * 30_000_000

    def hold():
        for_a_moment = bytearray(b"x") * 50_000_000
        return len(for_a_moment) + len(before)

    result, peak = peak_of(hold)
    assert result == 80_000_000
    assert peak == pytest.approx(50e6, rel=0.1)


def test_time_asleep_is_wall_time_and_no_processor_time():
    result, timing = timed(lambda: time.sleep(0.2) or "woke")
    assert result == "woke"
    assert timing.wall_s >= 0.2
    assert timing.cpu_s < 0.1
