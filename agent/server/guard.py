"""What every request passes before anything reads it: its host, its token, its origin, its size.

A page of another site, open in the same browser, can send requests here but can neither read the answers nor set our
header; so a change needs both an origin that is this server and the token that only its own pages can read.
"""

import json
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import Access

MOST_BODY = 64 * 1024  # bytes
CSRF_HEADER = "x-vesalius-csrf"
COOKIE = "vesalius-token"
READS = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Refusal(NamedTuple):
    """Why a request goes no further."""

    status: int
    error: str
    mend: str


class Guard:
    """Refuses what may not come in, and adds the headers that every answer has.

    Args:
        app: what answers.
        access: what requests are held against.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            assert scope["type"] == "lifespan", scope["type"]
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send)
        headers = Headers(scope=scope)
        if refusal := self._host(headers):
            await _refuse(guarded, refusal)
        elif redirect := self._entering(scope):
            await _redirect(guarded, redirect, _cookie(scope, self._access))
        elif refusal := self._token(scope, headers) or self._change(scope, headers):
            await _refuse(guarded, refusal)
        else:
            body = await _body(headers, receive)
            if isinstance(body, Refusal):
                await _refuse(guarded, body)
            else:
                await self._app(scope, _replayed(body, receive), guarded)

    def _host(self, headers: Headers) -> Refusal | None:
        hosts = headers.getlist("host")
        if len(hosts) == 1 and self._access.answers_to(hosts[0]):
            return None
        return Refusal(
            421, "The request names another host than this server.", "Use the address that the command printed."
        )

    def _entering(self, scope: Scope) -> str:
        """Where to go without the token in the address, once it was right; a history or a log would keep it there."""
        if scope["method"] != "GET" or not self._access.token:
            return ""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if len(given) != 1 or not self._access.lets_in(given[0]):
            return ""
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        path = "/" + scope["raw_path"].decode("latin-1").lstrip("/")  # `//host` would lead elsewhere
        return f"{path}?{rest}" if rest else path

    def _token(self, scope: Scope, headers: Headers) -> Refusal | None:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else _from_cookie(headers, _cookie_name(scope))
        if self._access.lets_in(given):
            return None
        return Refusal(
            401,
            "This server asks for a token.",
            "Open the address that the command printed, which holds it, or send it as `Authorization: Bearer …`.",
        )

    def _change(self, scope: Scope, headers: Headers) -> Refusal | None:
        if scope["method"] in READS:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()
        if foreign or site not in ("same-origin", "none"):
            return Refusal(403, "The request comes from a page of another site.", "Use this server's own page.")
        if not self._access.may_change(headers.get(CSRF_HEADER, "")):
            return Refusal(
                403,
                f"The request lacks this server's `{CSRF_HEADER}`.",
                "Take `csrf` of GET /api/session and send it in that header; reload the page after a restart.",
            )
        return None


async def _body(headers: Headers, receive: Receive) -> bytes | Refusal:
    """The whole body, or why it is not read to its end."""
    too_large = Refusal(413, f"The request is larger than {MOST_BODY} bytes.", "Send less.")
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()) or int(declared) > MOST_BODY:
        return too_large
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Refusal(400, "The request broke off.", "Send it again.")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        if sum(map(len, parts)) > MOST_BODY:
            return too_large
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body for who reads it next, then whatever the connection says."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"error": refusal.error, "mend": refusal.mend}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 413:  # the rest of the body is still coming
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _redirect(send: Send, to: str, cookie: str) -> None:
    headers = [(b"location", to.encode("latin-1")), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _cookie_name(scope: Scope) -> str:
    """One for each port: browsers send cookies to all ports of a host."""
    return f"{COOKIE}-{(scope.get('server') or ('', 0))[1]}"


def _cookie(scope: Scope, access: Access) -> str:
    # Lax and not strict: a link from elsewhere may open a page. It can change nothing, which takes the other token.
    return f"{_cookie_name(scope)}={access.token}; Path=/; HttpOnly; SameSite=Lax"


def _from_cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
