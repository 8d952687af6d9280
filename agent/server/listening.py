"""Serving on a port until the keyboard says stop."""

import os
import socket
import sys
from types import FrameType
from typing import NoReturn

import uvicorn

from ...tools import ToolError
from ..failing import EXIT_STOPPED
from ..processes import processes
from ..settings import Settings
from .access import Access, access_for, is_loopback
from .app import make_app
from .pool import Pool
from .waiting_line import WaitingLine
from .worker import process

WAITING = 128  # connections that wait to be taken
LAST_ANSWERS = 3  # seconds for answers on their way when the server ends


def serve(settings: Settings, host: str, port: int, ask_for_token: bool) -> NoReturn:
    """Serve until a signal ends it; the process ends here.

    Raises:
        ToolError: the port is taken, the host is none of this machine's, or another server works on the home.
    """
    access = access_for(host, ask_for_token)
    with bound(host, port) as listening:
        pool = Pool(processes(process, settings), WaitingLine(settings.home))
        app = make_app(settings, access, pool)
        sys.stdout.write(_greeting(host, listening.getsockname()[1], access))
        sys.stdout.flush()
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, ws="none", timeout_graceful_shutdown=LAST_ANSWERS
        )
        status = 0
        try:
            _Server(config, pool).run(sockets=[listening])
        except KeyboardInterrupt:
            sys.stderr.write("\nStopped.\n")
            status = EXIT_STOPPED
    pool.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Python would wait for threads that listen. Decisions and messages are on disk before they are answered.
    os._exit(status)


class _Server(uvicorn.Server):
    """A server whose streams end with it, for they would keep it waiting."""

    def __init__(self, config: uvicorn.Config, pool: Pool) -> None:
        super().__init__(config)
        self._pool = pool

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal comes to."""
        self._pool.is_leaving = True
        super().handle_exit(sig, frame)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ToolError: the port is taken, or the host is none of this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ToolError(f"There is no host {host!r}.", mend="Pass an address of this machine as --host.") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except OSError as error:
        listening.close()
        raise ToolError(
            f"Port {port} of {host} cannot be used: {error.strerror}.",
            mend="Pass another --port, or --port 0 for any that is free; --host takes addresses of this machine.",
        ) from error
    return listening


def _greeting(host: str, port: int, access: Access) -> str:
    reached = host if is_loopback(host) or host not in ("0.0.0.0", "::") else socket.gethostname()
    name = f"[{reached}]" if ":" in reached else reached
    address = f"http://{name}:{port}/" + (f"?token={access.token}" if access.token else "")
    return f"Ask, browse and review: {address}\nCtrl-C ends it.\n"
