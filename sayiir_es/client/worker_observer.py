"""The port of what looks at a worker while it runs, such as health checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sayiir_es.engine.meter import Meter
    from sayiir_es.engine.worker import WorkerEngine
    from sayiir_es.log.port import Log


class WorkerObserver(Protocol):
    """Looks at one worker at a time; all of it is called on the worker's event loop."""

    @property
    def meter(self) -> Meter:
        """What the engine tells of its work."""
        ...

    async def begin(self, worker_id: str) -> None:
        """A worker is about to connect.

        Raises:
            UsageError: if it cannot be observed as was asked: it does not start then.
        """
        ...

    def watch(self, engine: WorkerEngine, log: Log) -> None:
        """The worker has connected, and is about to join its group."""
        ...

    async def close(self) -> None:
        """The worker has ended, or never began; closing again does nothing."""
        ...
