"""The page's server inside a test, and what a browser sends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from vesalius.agent.server.access import Access, access_for
from vesalius.agent.server.app import make_app
from vesalius.agent.server.guard import CSRF_HEADER
from vesalius.agent.server.measuring import Remeasuring

HERE = "http://127.0.0.1:8765"
HOSTILE = "<script>document.title='owned'</script> [x](javascript:alert(1)) \u202egnp.exe"


class Served:
    """A client of a server, that does what the page does."""

    def __init__(self, client: TestClient, access: Access, home: Path) -> None:
        self.client, self.access, self.home = client, access, home

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.client.get(path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, status: int = 201, **headers: str) -> Any:
        sent = {CSRF_HEADER: self.access.csrf, "origin": HERE} | headers
        answer = self.client.post(path, json=body, headers=sent)
        assert answer.status_code == status, answer.text
        return answer.json()

    def decide(self, decision: str, claim: str | None = "c1", status: int = 201, run: str = "done", **more: str) -> Any:
        digest = self.get(f"/api/runs/{run}/shown")["digest"]
        body = {"decision": decision, "claim": claim, "reviewer": "Ada", "report": digest} | more
        return self.post(f"/api/runs/{run}/reviews", body, status)


@contextmanager
def served(home: Path, remeasuring: Remeasuring, access: Access | None = None) -> Iterator[Served]:
    """A server of a home."""
    access = access or access_for("127.0.0.1")
    app = make_app(home, access, remeasuring)
    try:
        with TestClient(app, base_url=HERE, follow_redirects=False) as client:
            yield Served(client, access, home)
    finally:
        remeasuring.close()
