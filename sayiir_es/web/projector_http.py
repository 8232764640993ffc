"""Health and metrics of one projector over HTTP: `projector run --http`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.operations.projector_monitor import ProjectorMonitor
from sayiir_es.web.health_server import HealthServer

if TYPE_CHECKING:
    from sayiir_es.engine.projector import Projector
    from sayiir_es.log.port import Log
    from sayiir_es.web.settings import WebSettings


class ProjectorHttp:
    """Serves `/health/live`, `/health/ready` and `/metrics` of one projector.

    Args:
        address: HOST:PORT to listen on; port 0 takes one that is free. Beyond this
            machine only with a token, as `serve`.
        settings: How it is reached; by default those of the environment.

    Raises:
        UsageError: if the address is none.
    """

    def __init__(self, address: str, settings: WebSettings | None = None) -> None:
        self._server = HealthServer(address, settings)
        self._monitor = ProjectorMonitor()

    @property
    def address(self) -> str:
        """Where it answers, such as `http://127.0.0.1:9464`, while it does."""
        return self._server.address

    async def begin(self) -> None:
        """Answer from now on: a projector that connects lives, and is not ready.

        Raises:
            UsageError: if the port cannot be taken, or others could reach it without
                a token.
            SettingsError: if the environment cannot be used.
        """
        await self._server.begin("sayiir_es projector", self._monitor)
        self._monitor.begin()

    def watch(self, projector: Projector, log: Log) -> None:
        """The projector has started: say how far it is."""
        self._monitor.watch(projector, log)

    async def close(self) -> None:
        """Answer no more."""
        await self._monitor.close()
        await self._server.close()
