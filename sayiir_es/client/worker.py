"""`Worker`: a thread that owns partitions and runs attempts."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Self

from sayiir_es.client.backends import Backend, KafkaBackend, as_backend
from sayiir_es.client.loop_thread import LoopThread
from sayiir_es.client.ownership import build_name
from sayiir_es.client.stores import store_identity
from sayiir_es.core.duration import duration_ms
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.owner.claim_records import configured_signer
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.publishing.publisher import are_snapshots_enabled
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings, configured_handover_s

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log

DEFAULT_SLOTS = 64


class RunningWorker:
    """A worker on the event loop that calls it: for `Worker` and the command line."""

    def __init__(
        self,
        worker_id: str,
        backend: Backend,
        *,
        slots: int = DEFAULT_SLOTS,
        aging_interval_ms: int = 300_000,
        drain_s: float = 10.0,
        tags: Collection[str] | None = None,
    ) -> None:
        self._backend = backend
        self.worker_id = worker_id
        self._tags = None if tags is None else frozenset(tags)
        self._slots = slots
        self._aging_interval_ms = aging_interval_ms
        self._drain_s = drain_s
        self._log: Log | None = None
        self._stores = backend.stores()
        self.engine: WorkerEngine | None = None

    async def start(self, workflows: Sequence[Workflow]) -> None:
        """Connect, publish the workflows and join the group.

        Raises:
            UsageError: if the key that the environment names cannot be used.
            StoreError: if there is no place for its stores.
        """
        signer = configured_signer()
        self._stores.prepare()
        log = self._log = self._backend.open_log()
        identity = await log.open(create=True)
        # No other machine reads a log of this one, which has the snapshots already.
        snapshots = are_snapshots_enabled() and isinstance(self._backend, KafkaBackend)
        if snapshots:
            await log.open_snapshots()
        clock = SystemClock()
        stores = self._stores

        async def open_store(partition: int) -> SnapshotStore:
            return stores.open(store_identity(identity, partition))

        self.engine = WorkerEngine(
            ports=Ports(
                log=log,
                clock=clock,
                executor=LocalExecutor(
                    self._slots,
                    worker_id=self.worker_id,
                    aging_interval_ms=self._aging_interval_ms,
                ),
                registry=Registry(tags=self._tags),
            ),
            membership=self._backend.membership(log),
            open_store=open_store,
            settings=WorkerSettings(
                worker_id=self.worker_id,
                incarnation=secrets.token_hex(8),
                build=build_name(),
                drain_s=self._drain_s,
                signer=signer,
                snapshots=snapshots,
                handover_s=configured_handover_s(),
            ),
        )
        await self.engine.start(workflows)

    async def stop(self) -> None:
        """Drain, hand over the partitions and close everything."""
        if self.engine is not None:
            await self.engine.stop()
        self._stores.close()
        if self._log is not None:
            await self._log.close()


class WorkerHandle:
    """A started worker: `shutdown` to end it, `join` to wait; a context manager."""

    def __init__(self, thread: LoopThread, worker: RunningWorker) -> None:
        self._thread = thread
        self._worker = worker
        self._end_task: asyncio.Task[None] | None = None
        self._end_requested = asyncio.Event()
        self._shutdown_requested = self._joined = False

    def shutdown(self) -> None:
        """Ask the worker to drain and end; returns at once."""
        if not self._shutdown_requested:
            self._shutdown_requested = True
            self._thread.call(self._begin_end())

    def join(self) -> None:
        """Wait until the worker has ended.

        Raises:
            BackendError: if its end went wrong: the log or the disk refused.
        """
        if not self._joined:
            try:
                self._thread.call(self._wait())
            finally:
                if self._end_task is not None and self._end_task.done():
                    self._joined = True
                    self._thread.close()

    async def _begin_end(self) -> None:
        self._end_task = asyncio.create_task(self._worker.stop())
        self._end_requested.set()

    async def _wait(self) -> None:
        await self._end_requested.wait()
        assert self._end_task is not None
        await asyncio.shield(self._end_task)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.join()


class Worker:
    """Owns partitions of a backend and runs the workflows it is given.

    Args:
        worker_id: Its name in events and logs.
        backend: A backend or its URL.
        poll_interval: Accepted for compatibility; nothing is polled.
        claim_ttl: Accepted for compatibility; ownership lapses with the group's
            session.
        max_concurrent_tasks: Attempts that run at a time in this process.
        tags: Only tasks whose tags are all among these run here; None: all do.
        aging_interval: How long an attempt waits to gain one step of priority.
    """

    def __init__(  # noqa: PLR0913 - Sayiir's signature and ours
        self,
        worker_id: str,
        backend: Backend | str,
        *,
        poll_interval: float = 5.0,
        claim_ttl: float = 300.0,
        max_concurrent_tasks: int | None = None,
        tags: Collection[str] | None = None,
        aging_interval: float | str | timedelta = "5m",
    ) -> None:
        del poll_interval, claim_ttl
        if max_concurrent_tasks is not None and max_concurrent_tasks < 1:
            raise ValueError(
                "expected max_concurrent_tasks of at least 1, but "
                f"{max_concurrent_tasks}"
            )
        self._worker = RunningWorker(
            worker_id,
            as_backend(backend),
            slots=max_concurrent_tasks or DEFAULT_SLOTS,
            aging_interval_ms=duration_ms(aging_interval),
            tags=tags,
        )

    def start(self, workflows: Sequence[Workflow]) -> WorkerHandle:
        """Start on a thread of its own; returns when it has joined the group.

        Raises:
            BackendError: if the log does not answer or could lose history.
        """
        thread = LoopThread("sayiir-worker")
        try:
            thread.call(self._worker.start(list(workflows)))
        except BaseException:
            thread.close()
            raise
        return WorkerHandle(thread, self._worker)
