"""`Worker` for code that runs an event loop: it works on that loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sayiir_es.client.worker import running_worker
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Unpack

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.worker import RunningWorker, WorkerOptions
    from sayiir_es.core.authoring.workflow import Workflow


class Worker:
    """Owns partitions of a backend and runs workflows, on the loop of its caller.

    Async tasks run on that loop, beside the caller's own, and sync ones on threads:
    what blocks the loop blocks the worker, too. The options are those of
    `sayiir_es.Worker`.

        async with aio.Worker("w1", "file:orders.db", [orders]):
            await serve()

    Args:
        worker_id: Its name in events and logs.
        backend: A backend or its URL.
        workflows: What it runs.
        options: Those of `sayiir_es.Worker`, by their names.
    """

    def __init__(
        self,
        worker_id: str,
        backend: Backend | str,
        workflows: Sequence[Workflow] = (),
        **options: Unpack[WorkerOptions],
    ) -> None:
        self._workflows = list(workflows)
        self._options = options
        self._backend = backend
        self.worker_id = worker_id
        self._worker: RunningWorker | None = None
        # Refused here rather than at the start.
        running_worker(worker_id, backend, **options)

    async def start(self, workflows: Sequence[Workflow] = ()) -> Self:
        """Start it with these workflows too; returns when it has joined the group.

        Raises:
            BackendError: if the log does not answer or could lose history.
            ResourceError: if a task names what `on_startup` does not give.
            UsageError: if it runs.
        """
        if self._worker is not None:
            raise UsageError(
                f"expected worker {self.worker_id!r} to be started once, but it runs"
            )
        worker = running_worker(self.worker_id, self._backend, **self._options)
        self._worker = worker
        try:
            await worker.start([*self._workflows, *workflows])
        except BaseException:
            await self.shutdown()
            raise
        return self

    async def shutdown(self) -> None:
        """Drain, hand over the partitions, and end; at once where it does not run."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop()

    async def __aenter__(self) -> Self:
        """Start it, unless it runs."""
        return self if self._worker is not None else await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()
