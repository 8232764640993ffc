"""Serving an ASGI application inside an event loop that runs already.

Theory of operation. `listen` takes the port, before anything else is begun, so that a
port in use is told at once. `serve` answers until its event is set. Signals are the
process's: uvicorn handles none here. Behind the event it takes no further connection,
and waits a little for responses that are on their way; streams to browsers end by
themselves, because who makes them watches the same event (`Site.ending`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING

import uvicorn

from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import ASGIApp

ENDING_LIMIT_S = 2
"""How many seconds responses that are on their way may take at the end: a command must
end within 3.5 s of SIGTERM."""

CONNECTIONS_MAX = 2_000
"""How many connections are served at a time; further ones get a 503."""

_KEEP_ALIVE_S = 30


class _Server(uvicorn.Server):
    """A server that leaves signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Take a port; connections are accepted when it is served.

    Raises:
        UsageError: if it is taken, may not be taken, or there is no such host.
    """
    try:
        addresses = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError, OverflowError) as error:
        raise UsageError(
            f"expected a host to listen on, but {host!r}: {error}"
        ) from error
    family, kind, protocol, _, address = addresses[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(uvicorn.Config(app="").backlog)
        listener.setblocking(False)  # noqa: FBT003 (the library's)
    except OSError as error:
        listener.close()
        raise UsageError(_cannot_listen(host, port, error)) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The address that a browser is given."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: ASGIApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Answer requests until `stop` is set; closes the listener.

    Raises:
        OSError: if the socket cannot be served.
    """
    for name in ("uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is told by the connection alone
            ws="none",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=ENDING_LIMIT_S,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        server.should_exit = True
        await serving


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            problem = "another process has it: stop that one, or choose another port"
        case errno.EACCES:
            problem = "ports below 1024 are the administrator's: choose another port"
        case _:
            problem = error.strerror or str(error)
    return f"expected to listen on port {port} of {host}, but {problem}"
