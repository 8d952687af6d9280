"""Who may use the server: under which names it answers, and what a request has to bring."""

import ipaddress
import secrets
import socket
from typing import NamedTuple

TOKEN_BYTES = 32


class Access(NamedTuple):
    """What a request is held against."""

    names: frozenset[str]  # under which the server answers, beside its addresses
    any_address: bool  # whether it answers under addresses that are not of this machine alone
    token: str  # that every request has to bring; empty where none is asked for
    csrf: str  # that every change has to bring: only a page of this server can read it

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this server.

        A page elsewhere can point a name of its own at this machine (DNS rebinding), and its requests then carry that
        name; it cannot make them carry an address.
        """
        name = _without_port(host)
        address = _address(name)
        if address is not None:
            return address.is_loopback or self.any_address
        return name in self.names

    def lets_in(self, token: str) -> bool:
        """Whether a token is the one that is asked for."""
        return not self.token or secrets.compare_digest(token.encode(), self.token.encode())

    def may_change(self, csrf: str) -> bool:
        """Whether a request for a change comes from who could read this server's pages."""
        return secrets.compare_digest(csrf.encode(), self.csrf.encode())


def access_for(host: str, ask_for_token: bool = False) -> Access:
    """What is asked of requests to a server bound to a host.

    Args:
        host: name or address that it is bound to.
        ask_for_token: whether a token is asked for even where only this machine can reach it.
    """
    here_only = is_loopback(host)
    names = {"localhost"} if here_only else {"localhost", host.lower(), socket.gethostname().lower()}
    return Access(
        names=frozenset(names),
        any_address=not here_only,
        token=secrets.token_urlsafe(TOKEN_BYTES) if ask_for_token or not here_only else "",
        csrf=secrets.token_urlsafe(TOKEN_BYTES),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound to it."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isascii() and port.isdigit() else host
    return bare.removeprefix("[").removesuffix("]").lower().rstrip(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
