"""An endpoint on loopback that speaks as a language model would that means ill: from a script, well-formed or not."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str]
"""Status and body."""
Step = Answer | Callable[[dict[str, Any]], Answer]
"""An answer, or what makes one of a request."""
Wanted = tuple[str, dict[str, Any] | str]
"""A function with its arguments."""


@contextmanager
def speaking(steps: Sequence[Step]) -> Iterator[str]:
    """The endpoint's address; steps are taken in turn, the last for ever."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.steps = list(steps)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    steps: list[Step]
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: whoever asks hangs up on what is too long."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        steps = self.server.steps
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        status, body = step(asked) if callable(step) else step
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def says(text: str, model: str = "hostile", usage: Any = None) -> Answer:
    """Words, in one piece."""
    return 200, json.dumps(_completion({"role": "assistant", "content": text}, model, usage))


def calls(*wanted: Wanted, text: str = "", model: str = "hostile", usage: Any = None) -> Answer:
    """Calls, in one piece."""
    parts = [
        {"id": f"call-{i}", "type": "function", "function": {"name": name, "arguments": _text(given)}}
        for i, (name, given) in enumerate(wanted)
    ]
    message = {"role": "assistant", "content": text, "tool_calls": parts}
    return 200, json.dumps(_completion(message, model, usage))


def streamed(*wanted: Wanted, text: str = "", pieces: int | None = None) -> Answer:
    """Calls as a stream.

    Args:
        pieces: after how many it breaks off; none where it ends as it should.
    """
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": text}]
    for i, (name, given) in enumerate(wanted):
        whole = _text(given)
        deltas.append({"tool_calls": [{"index": i, "id": f"call-{i}", "function": {"name": name}}]})
        halves = (whole[: len(whole) // 2], whole[len(whole) // 2 :])
        deltas += [{"tool_calls": [{"index": i, "function": {"arguments": half}}]} for half in halves]
    events: list[dict[str, Any]] = [{"model": "hostile", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if pieces is None:
        events.append({"model": "hostile", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events[:pieces]]
    return 200, "".join(lines) + ("data: [DONE]\n\n" if pieces is None else "")


def _text(given: dict[str, Any] | str) -> str:
    return given if isinstance(given, str) else json.dumps(given)


def _completion(message: dict[str, Any], model: str, usage: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    whole = {"id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    return whole if usage is None else {**whole, "usage": usage}
