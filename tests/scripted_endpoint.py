"""A real HTTP server on loopback that speaks the OpenAI protocol from a script, well-behaved and otherwise."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-very-secret"
Answer = tuple[int, str] | float | Callable[[dict[str, Any]], tuple[int, str]]
"""Status and body, what makes them of a request, or seconds of silence."""


class Played:
    """What the endpoint answers, in turn (the last for ever), and what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked, self.keys = list(answers), list[dict[str, Any]](), list[str]()
        self.enough, self.url = threading.Event(), ""
        self._turn = threading.Lock()

    def next(self) -> Answer:
        with self._turn:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def about(self, number: int) -> dict[str, Any]:
        """What it was asked about, as data."""
        return json.loads(self.asked[number]["messages"][1]["content"])


def handler(played: Played) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            played.asked.append(asked)
            played.keys.append(self.headers["Authorization"])
            answer = played.next()
            if isinstance(answer, float):
                played.enough.wait(answer)
                return
            self._send(*(answer(asked) if callable(answer) else answer))

        def do_GET(self) -> None:
            played.keys.append(self.headers["Authorization"])
            self._send(200, json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model", "created": 0}]}))

        def _send(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Retry-After-Ms", "1")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(*answers: Answer) -> Iterator[Played]:
    """The server, as long as it is needed."""
    played = Played(*answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(played))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    played.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield played
    finally:
        played.enough.set()
        server.shutdown()
        server.server_close()
        thread.join()


def says(content: Any, model: str = "tiny-2025") -> tuple[int, str]:
    """A chat completion with this message."""
    text = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return 200, json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]})


def calls(*wanted: tuple[str, dict[str, Any] | str], content: str = "") -> tuple[int, str]:
    """A chat completion, in one piece, that calls these functions with these arguments."""
    parts = [
        {
            "id": f"call-{i}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for i, (name, given) in enumerate(wanted)
    ]
    message = {"role": "assistant", "content": content or None, "tool_calls": parts}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny-2025", "choices": [choice]}
    return 200, json.dumps(body | {"usage": usage})


def streamed(whole: tuple[int, str], breaks_off: bool = False) -> tuple[int, str]:
    """The same completion as a stream of small pieces; one that breaks off ends before it says that it ends."""
    status, body = whole
    said = json.loads(body)
    message = said["choices"][0]["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": message.get("content") or ""}]
    for i, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        deltas.append({"tool_calls": [{"index": i, "id": call["id"], "function": {"name": function["name"]}}]})
        text = function["arguments"]
        for start in range(0, len(text), 40):
            deltas.append({"tool_calls": [{"index": i, "function": {"arguments": text[start : start + 40]}}]})
    pieces = [{"model": said["model"], "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if breaks_off:
        pieces = pieces[: len(pieces) // 2 + 1]
    else:
        pieces.append({"model": said["model"], "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        pieces.append({"model": said["model"], "choices": [], "usage": said.get("usage")})
    lines = [f"data: {json.dumps(piece)}\n\n" for piece in pieces]
    return status, "".join(lines) + ("" if breaks_off else "data: [DONE]\n\n")


# A language model that looks once, predicts twice, and has enough.
_AIM = {"why": "to see where", "would_change": "nothing moves"}
_LOOK = ("patch", {"pairs": "discovery", "sites": ["resid_post.0", "resid_post.1"], "positions": ["entity"], **_AIM})
_GUESS = {"claim": "carries", "at": "entity", "reason": "it moved", "alternative": "it goes along"}
TWO_GUESSES = (
    calls(_LOOK),
    calls(*(("predict", {**_GUESS, "site": f"resid_post.{layer}"}) for layer in (0, 1))),
    calls(("finish", {"reason": "enough"})),
)
