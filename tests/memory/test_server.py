"""A team's memory: a real chromadb server on loopback, and the ways in which one can be absent."""

import http.server
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from vesalius.memory import Memory, RememberError, _chroma as chroma_module


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [Path(sys.executable).parent / "chroma", "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError("the chromadb server did not start")


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    port = free_port()
    process = start_server(tmp_path_factory.mktemp("server"), port)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def quick(monkeypatch) -> None:
    """Shorter limits, so that a server that never answers costs the test a second."""
    monkeypatch.setattr(chroma_module, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(chroma_module, "ANSWER_SECONDS", 0.5)


def test_two_clients_of_one_server_see_each_others_records(url, spelling, claim, card, these, others):
    with Memory(url, spelling) as one, Memory(url, spelling) as other:
        one.remember([claim(), card()])
        other.remember([claim("Head 3.5 copies \x00 the name 😀", subject=others, run="run-2")])
        for memory in (one, other):
            recalled = memory.recall("copies the name", these)
            assert {hit.record.subject for hit in recalled.same_weights} == {these}
            assert [hit.record.text for hit in recalled.other_weights] == ["Head 3.5 copies \x00 the name 😀"]
            assert memory.status().counts == {"feature_cards": 1, "hypotheses": 0, "claims": 2}
        assert other.forget("run-1") == 2
        assert [record.run for record in one.records()] == ["run-2"]
        assert one.forget("run-2") == 1


def test_a_large_batch_fits_the_servers_requests(url, spelling, claim):
    with Memory(url, spelling) as memory:
        memory.remember([claim("x" * 900_000 + str(i), run="large") for i in range(12)])
        assert memory.forget("large") == 12


def test_the_embedder_of_a_server_is_checked_too(url, spelling, claim):
    class Other:
        id = "another"
        notice: str | None = None

        def embed(self, texts: list[str]) -> list[list[float]]:
            return [[1.0] for _ in texts]

    Memory(url, spelling).close()
    with pytest.raises(RememberError, match="cannot be compared"):
        Memory(url, Other())


def test_a_server_that_dies_is_an_error_and_what_it_acknowledged_survives(tmp_path, spelling, claim, these):
    port = free_port()
    process = start_server(tmp_path, port)
    url = f"http://127.0.0.1:{port}"
    try:
        with Memory(url, spelling) as memory:
            (written,) = memory.remember([claim()])
            process.kill()
            process.wait()
            started = time.monotonic()
            with pytest.raises(RememberError, match=r"does not answer.*chroma run"):
                memory.recall("copies the name", these)
            assert time.monotonic() - started < 5
        process = start_server(tmp_path, port)
        with Memory(url, spelling) as memory:
            assert [record.id for record in memory.records()] == [written]
    finally:
        process.kill()
        process.wait()


def test_a_server_that_hangs_is_an_error_after_the_time_limit(tmp_path, spelling, these, quick):
    port = free_port()
    process = start_server(tmp_path, port)
    try:
        with Memory(f"http://127.0.0.1:{port}", spelling) as memory:
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(RememberError, match="does not answer"):
                memory.recall("copies the name", these)
            with pytest.raises(RememberError, match="does not answer"):
                Memory(f"http://127.0.0.1:{port}", spelling)
    finally:
        process.kill()
        process.wait()


def test_a_url_where_nothing_listens_is_an_error_within_seconds(spelling):
    started = time.monotonic()
    with pytest.raises(RememberError, match="chroma run"):
        Memory(f"http://127.0.0.1:{free_port()}", spelling)
    assert time.monotonic() - started < 5


def test_a_server_of_another_sort_is_named_as_such(spelling):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RememberError, match="no chromadb server"):
            Memory(f"http://127.0.0.1:{server.server_address[1]}", spelling)
        server.shutdown()


@pytest.mark.parametrize(
    "bad",
    ["ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://me:secret@127.0.0.1", "http://127.0.0.1/path?x=1"],
)
def test_a_malformed_url_is_refused_and_no_password_is_shown(spelling, bad):
    with pytest.raises(RememberError, match="http://HOST:PORT") as caught:
        Memory(bad, spelling)
    assert "secret" not in str(caught.value)
