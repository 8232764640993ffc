"""Health and metrics of one worker over HTTP: `worker run --http`, and in Python.

Theory of operation. A thread of its own answers, on an event loop of its own: an async
task that blocks the worker's loop must be told, and cannot be told by that loop. It
reads what a monitor on the worker's loop has noted; how old that is says whether it
turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.operations.worker_monitor import WorkerMonitor
from sayiir_es.web.health_server import HealthServer
from sayiir_es.web.worker_answers import WorkerAnswers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.engine.meter import Meter
    from sayiir_es.engine.worker import WorkerEngine
    from sayiir_es.log.port import Log
    from sayiir_es.web.settings import WebSettings


class WorkerHttp:
    """Serves `/health/live`, `/health/ready` and `/metrics` of one worker.

        with Worker("w1", url, observer=WorkerHttp("127.0.0.1:9464")).start([orders]):
            ...

    Args:
        address: HOST:PORT to listen on; port 0 takes one that is free. Beyond this
            machine only with a token, as `serve`.
        settings: How it is reached; by default those of the environment.
        tell: Is given the URL, once it answers.

    Raises:
        UsageError: if the address is none.
    """

    def __init__(
        self,
        address: str,
        settings: WebSettings | None = None,
        *,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._server = HealthServer(address, settings)
        self._tell = tell
        self._monitor = WorkerMonitor()

    @property
    def address(self) -> str:
        """Where it answers, such as `http://127.0.0.1:9464`, while it does."""
        return self._server.address

    @property
    def meter(self) -> Meter:
        """What the engine tells of its work."""
        return self._monitor.meter

    async def begin(self, worker_id: str) -> None:
        """Answer from now on: a worker that connects lives, and is not ready.

        Raises:
            UsageError: if the port cannot be taken, or others could reach it without
                a token.
            SettingsError: if the environment cannot be used.
        """
        await self._monitor.begin(worker_id)
        try:
            await self._server.begin("sayiir_es worker", WorkerAnswers(self._monitor))
        except BaseException:
            await self._monitor.close()
            raise
        if self._tell is not None:
            self._tell(self.address)

    def watch(self, engine: WorkerEngine, log: Log) -> None:
        """The worker has connected: say what its engine does."""
        self._monitor.watch(engine, log)

    async def close(self) -> None:
        """Answer no more."""
        await self._monitor.close()
        await self._server.close()
