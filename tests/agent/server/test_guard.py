"""What every request has to pass, on the real application."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from served import HERE, Served, served
from vesalius.agent.server.access import access_for, is_loopback
from vesalius.agent.server.guard import CSRF_HEADER, HEADERS, MOST_BODY
from vesalius.tools import load_subject

REVIEWS = "/api/runs/done/reviews"


@pytest.fixture
def private(home) -> Iterator[Served]:
    """A server that asks for a token."""
    with served(home, load_subject, access_for("127.0.0.1", ask_for_token=True)) as one:
        yield one


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8765", "127.9.9.9"])
def test_the_server_answers_under_this_machines_names(page, host):
    assert page.client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8765", "localhost.evil.example", "10.0.0.1:8765", "0.0.0.0", "", "[::1"],
)
def test_another_host_is_refused_before_anything_else(page, host):
    answer = page.client.get("/api/runs", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]) == (421, "The request names another host than this server.")


def test_two_hosts_are_refused(page):
    assert page.client.get("/", headers=[("host", "localhost"), ("host", "localhost")]).status_code == 421


def test_bound_elsewhere_the_server_answers_under_addresses_and_its_own_name_alone():
    access = access_for("lab.example")
    assert all(map(access.answers_to, ["lab.example:80", "10.1.2.3:8765", "localhost", "[fe80::1]:1"]))
    assert not access.answers_to("evil.example")
    assert access.token


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("127.0.0.1.example", False),
    ],
)
def test_a_token_is_asked_for_wherever_others_reach_the_server(host, here):
    assert is_loopback(host) is here
    assert bool(access_for(host).token) is not here
    assert access_for(host, ask_for_token=True).token != access_for(host, ask_for_token=True).token


@pytest.mark.parametrize("path", ["/", "/api/runs", "/static/style.css", "/openapi.json", "/api/session", "/nowhere"])
def test_nothing_is_served_without_the_token(private, path):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": private.access.token}):
        answer = private.client.get(path, headers=headers)
        assert answer.status_code == 401
        assert private.access.token not in answer.text
    assert private.client.get(f"{path}?token=wrong").status_code == 401


def test_the_token_opens_as_a_header(private):
    headers = {"authorization": f"Bearer {private.access.token}"}
    assert private.client.get("/api/runs", headers=headers).status_code == 200


def test_the_address_with_the_token_opens_once_and_leads_to_one_without_it(private):
    answer = private.client.get(f"/runs/done?token={private.access.token}&a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/done?a=b")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert private.client.get("/api/runs").status_code == 200, "the client keeps the cookie"


def test_the_way_in_leads_to_no_other_host(private):
    answer = private.client.get(f"{HERE}//evil.example/?token={private.access.token}")
    assert urlsplit(answer.headers["location"]).netloc == ""


def test_a_change_needs_the_csrf_token_also_from_who_has_the_other(private, home):
    headers = {"authorization": f"Bearer {private.access.token}", "origin": HERE}
    answer = private.client.post(REVIEWS, json={}, headers=headers)
    assert (answer.status_code, "csrf" in answer.json()["error"]) == (403, True)


@pytest.mark.parametrize(
    "headers",
    [
        {CSRF_HEADER: ""},
        {CSRF_HEADER: "wrong"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:8765"},
        {"origin": "http://127.0.0.1:8766"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_a_change_that_another_site_could_send_is_refused_and_changes_nothing(page, home, headers):
    sound = page.get("/api/runs/done/shown")["digest"]
    body = {"decision": "accept", "claim": "c1", "reviewer": "Ada", "report": sound}
    page.post(REVIEWS, body, 403, **headers)
    assert not (home / "runs" / "done" / "reviews.jsonl").exists()
    page.post(REVIEWS, body)


def test_a_program_without_an_origin_may_change_with_the_csrf_token(page):
    csrf = page.get("/api/session")["csrf"]
    digest = page.get("/api/runs/done/shown")["digest"]
    body = {"decision": "accept", "claim": "c1", "reviewer": "CI", "report": digest}
    assert page.client.post(REVIEWS, json=body, headers={CSRF_HEADER: csrf}).status_code == 201


def test_a_large_body_is_refused_whether_or_not_its_size_is_told(page):
    headers = {CSRF_HEADER: page.access.csrf, "content-type": "application/json"}
    told = page.client.post(REVIEWS, content=b" " * (MOST_BODY + 1), headers=headers)
    untold = page.client.post(REVIEWS, content=iter([b" " * 1000] * (MOST_BODY // 1000 + 1)), headers=headers)
    assert (told.status_code, untold.status_code) == (413, 413)
    small = page.client.post(REVIEWS, content=iter([b"{", b"}"]), headers=headers)
    assert (small.status_code, "body.decision" in small.json()["error"]) == (422, True)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"x"', b"", b'{"decision":"\\ud800"}', b"[" * 60_000], ids=len)
def test_what_is_no_decision_is_refused_with_a_sentence(page, body):
    headers = {CSRF_HEADER: page.access.csrf, "content-type": "application/json"}
    answer = page.client.post(REVIEWS, content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "mend"}


@pytest.mark.parametrize("path", ["/", "/runs/done", "/static/review.js", "/api/runs", "/nowhere", "/openapi.json"])
def test_every_answer_has_the_headers_that_keep_it_apart(page, path):
    found = page.client.get(path).headers
    for name, value in HEADERS.items():
        assert found[name] == value or name == "cache-control"
    assert "'unsafe" not in found["content-security-policy"]
    assert "access-control-allow-origin" not in found


def test_other_methods_change_nothing(page):
    for method in ("PUT", "PATCH", "DELETE"):
        answer = page.client.request(method, REVIEWS, headers={CSRF_HEADER: page.access.csrf})
        assert answer.status_code == 405
