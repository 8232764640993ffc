"""Answers for one process on a thread of its own, with an event loop of its own.

What blocks the loop of the process must be told, and cannot be told by that loop. The
rules of access are those of `serve`.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from sayiir_es.client.loop_thread import LoopThread
from sayiir_es.core.model.errors import UsageError
from sayiir_es.web.failures import add_error_handlers, respond
from sayiir_es.web.health import health_router
from sayiir_es.web.metrics import metrics_router
from sayiir_es.web.security.access import Access, check_binding
from sayiir_es.web.security.middleware import SecurityMiddleware
from sayiir_es.web.server import address_of, listen, serve
from sayiir_es.web.settings import read_web_settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Protocol

    from sayiir_es.operations.metrics.series import Series
    from sayiir_es.operations.worker_health import Health
    from sayiir_es.web.settings import WebSettings

    class HealthAnswers(Protocol):
        """Judges a process when it is asked for; any thread may ask."""

        def live(self) -> Health:
            """Whether its event loop turns."""
            ...

        async def ready(self) -> Health:
            """Whether it does what it is there for."""
            ...

        def series(self, build: str) -> Iterator[Series]:
            """Its metrics."""
            ...


PORT_MAX = 65_535


class HealthServer:
    """Serves `/health/live`, `/health/ready` and `/metrics` of one process.

    Args:
        address: HOST:PORT to listen on; port 0 takes one that is free.
        settings: How it is reached; by default those of the environment.

    Raises:
        UsageError: if the address is none.
    """

    def __init__(self, address: str, settings: WebSettings | None = None) -> None:
        self._host, self._port = parse_address(address)
        self._settings = settings
        self._thread: LoopThread | None = None
        self._stop: asyncio.Event | None = None
        self._serving: asyncio.Task[None] | None = None
        self.address = ""
        """Where it answers, such as `http://127.0.0.1:9464`, while it does."""

    async def begin(self, title: str, answers: HealthAnswers) -> None:
        """Answer from now on.

        Raises:
            UsageError: if the port cannot be taken, or others could reach it without
                a token.
            SettingsError: if the environment cannot be used.
        """
        settings = self._settings or read_web_settings()
        app = health_app(title, answers, settings)
        listener = listen(self._host, self._port)
        try:
            check_binding(settings, listener.getsockname()[0])
        except BaseException:
            listener.close()
            raise
        self.address = address_of(listener)
        self._thread = LoopThread("sayiir-http")
        await asyncio.to_thread(self._thread.call, self._serve(app, listener))

    async def close(self) -> None:
        """Answer no more; closing again does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(self._end, thread)

    async def _serve(self, app: FastAPI, listener: socket.socket) -> None:
        """Begin to answer, on the thread's loop."""
        self._stop = asyncio.Event()
        self._serving = asyncio.create_task(serve(app, listener, self._stop))

    def _end(self, thread: LoopThread) -> None:
        thread.call(self._end_serving())
        thread.close()

    async def _end_serving(self) -> None:
        assert self._stop is not None
        assert self._serving is not None
        self._stop.set()
        await asyncio.gather(self._serving, return_exceptions=True)


def health_app(title: str, answers: HealthAnswers, settings: WebSettings) -> FastAPI:
    """The application that answers for a process.

    Raises:
        SettingsError: if a file of tokens cannot be used.
    """
    build = version("sayiir-es")
    access = Access(settings)
    app = FastAPI(
        title=title,
        version=build,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.access = access
    app.state.masking = settings.masking
    app.include_router(health_router(answers.live, answers.ready))
    app.include_router(metrics_router(lambda: answers.series(build)))
    add_error_handlers(app)
    app.add_middleware(SecurityMiddleware, access=access, respond=respond)
    return app


def parse_address(address: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT; `[::1]:PORT` of an address of IPv6.

    Raises:
        UsageError: if it is none.
    """
    host, colon, port = address.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and int(port[:6]) <= PORT_MAX
    is_host = bool(host) and (":" not in host or (host[0], host[-1]) == ("[", "]"))
    if not (colon and is_port and is_host):
        raise UsageError(
            "expected an address to answer on, such as 127.0.0.1:9464, but "
            f"{address!r:.200}"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
