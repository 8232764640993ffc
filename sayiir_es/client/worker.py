"""`Worker`: a thread that owns partitions and runs attempts."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from sayiir_es.client.backend_port import WORKER_CONNECT_LIMIT_S
from sayiir_es.client.backends import Backend, KafkaBackend, as_backend
from sayiir_es.client.loop_thread import LoopThread
from sayiir_es.client.ownership import build_name
from sayiir_es.client.stores import store_identity
from sayiir_es.client.worker_resources import OnShutdown, OnStartup, WorkerResources
from sayiir_es.core.authoring.unique import check_unique
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.memory_size import parse_memory_size
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.meter import NO_METER
from sayiir_es.engine.owner.claim_records import configured_signer
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.publishing.publisher import are_snapshots_enabled
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import (
    WorkerSettings,
    configured_cancel_grace_s,
    configured_drain_s,
    configured_fork_read_s,
    configured_handover_s,
    configured_processes,
)
from sayiir_es.environment import tell_unknown
from sayiir_es.executor.attempt_taker import AttemptTaker
from sayiir_es.executor.taker_settings import TakerSettings
from sayiir_es.executor.task_code import TaskCode
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from types import TracebackType

    from sayiir_es.client.worker_observer import WorkerObserver
    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.engine.meter import Meter
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log

logger = get_logger(__name__)

DEFAULT_SLOTS = 64


class ConfiguredLimits(TypedDict):
    """How long a worker waits, in seconds; see `WorkerSettings`."""

    drain_s: float
    handover_s: float
    cancel_grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """How long a worker waits, in seconds; None is what the environment says.

    Attributes:
        drain_s: When it ends: for attempts that run (`SAYIIR_DRAIN`, 10 s).
        handover_s: When another worker is to own a partition: for its attempts
            (`SAYIIR_HANDOVER`, 30 s).
        cancel_grace_s: Behind a cancel: for the attempt (`SAYIIR_CANCEL_GRACE`, 10 s).
    """

    drain_s: float | None = None
    handover_s: float | None = None
    cancel_grace_s: float | None = None

    def configured(self) -> ConfiguredLimits:
        """All of them, those that are not set as the environment says.

        Raises:
            SettingsError: if the environment cannot be used.
        """
        drain_s, handover_s = configured_drain_s(), configured_handover_s()
        grace_s = configured_cancel_grace_s()
        return {
            "drain_s": drain_s if self.drain_s is None else self.drain_s,
            "handover_s": handover_s if self.handover_s is None else self.handover_s,
            "cancel_grace_s": grace_s
            if self.cancel_grace_s is None
            else self.cancel_grace_s,
        }


DEFAULT_WORKER_LIMITS = WorkerLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerProcesses:
    """The processes of a worker's tasks; None is what the environment says.

    Attributes:
        count: How many there are at most (`SAYIIR_PROCESSES`, one for each core).
        memory_bytes: How much each may have (`SAYIIR_PROCESS_MEMORY`, any amount).
    """

    count: int | None = None
    memory_bytes: int | None = None


class RunningWorker:
    """A worker on the event loop that calls it: for `Worker` and the command line."""

    def __init__(
        self,
        worker_id: str,
        backend: Backend,
        *,
        slots: int = DEFAULT_SLOTS,
        aging_interval_ms: int = 300_000,
        limits: WorkerLimits = DEFAULT_WORKER_LIMITS,
        tags: Collection[str] | None = None,
    ) -> None:
        self._backend = backend
        self.worker_id = worker_id
        self.resources = WorkerResources(None, None)
        """What its tasks may name; set before the start."""
        self.processes = WorkerProcesses()
        """What its tasks may have; set before the start."""
        self.observer: WorkerObserver | None = None
        """What looks at it while it runs; set before the start."""
        self._tags = None if tags is None else frozenset(tags)
        self._slots = slots
        self._aging_interval_ms = aging_interval_ms
        self._limits = limits
        self._log: Log | None = None
        self._stores = backend.stores()
        self.engine: WorkerEngine | None = None
        self._taker: AttemptTaker | None = None
        """Runs here what workers without the code own."""

    async def start(self, workflows: Sequence[Workflow]) -> None:
        """Connect, make the resources, publish the workflows and join the group.

        Without success it is not observed any longer, and `stop` closes what is open.

        Raises:
            ValueError: if two different workflows have the same name and version.
            UsageError: if the key that the environment names cannot be used.
            StoreError: if there is no place for its stores.
            ResourceError: if a task names what `on_startup` does not give.
        """
        observer = self.observer
        if observer is None:
            await self._start(workflows)
            return
        await observer.begin(self.worker_id)
        try:
            await self._start(workflows)
        except BaseException:
            await observer.close()
            raise

    async def _start(self, workflows: Sequence[Workflow]) -> None:
        tell_unknown(lambda text: logger.warning("settings.ignored", reason=text))
        check_unique(
            (f"workflow {number} of {len(workflows)}", workflow)
            for number, workflow in enumerate(workflows, start=1)
        )
        signer = configured_signer()
        self._stores.prepare()
        log = self._log = self._backend.open_log(connect_limit_s=WORKER_CONNECT_LIMIT_S)
        identity = await log.open(create=True)
        # No other machine reads a log of this one, which has the snapshots already.
        snapshots = are_snapshots_enabled() and isinstance(self._backend, KafkaBackend)
        if snapshots:
            await log.open_snapshots()
        clock, observer = SystemClock(), self.observer
        meter = NO_METER if observer is None else observer.meter
        stores = self._stores

        async def open_store(partition: int) -> SnapshotStore:
            return stores.open(store_identity(identity, partition))

        executor = self._executor(meter)
        self.engine = WorkerEngine(
            ports=Ports(
                log=log,
                clock=clock,
                executor=executor,
                registry=Registry(tags=self._tags),
                meter=meter,
            ),
            membership=self._backend.membership(log),
            open_store=open_store,
            settings=WorkerSettings(
                worker_id=self.worker_id,
                incarnation=secrets.token_hex(8),
                build=build_name(),
                signer=signer,
                snapshots=snapshots,
                **self._limits.configured(),
                fork_read_s=configured_fork_read_s(),
            ),
        )
        if observer is not None:
            observer.watch(self.engine, log)
        try:
            bound = await self.resources.start(workflows)
            executor.warm_up(bound)
            await self.engine.start(bound)
            self._take_foreign(log, executor, bound)
        except BaseException:
            await self.resources.close()
            raise

    def _take_foreign(
        self, log: Log, executor: LocalExecutor, bound: Sequence[Workflow]
    ) -> None:
        """Offer the slots for attempts of partitions whose owners lack their code."""
        code = TaskCode(bound, self._tags, of_worker=True)
        if not code.tasks or self.engine is None:
            return
        self._taker = AttemptTaker(
            log,
            executor,
            code,
            self._backend.payloads,
            TakerSettings(
                executor_id=self.engine.owner_id,
                slots=self._slots,
                prefetch=0,
                drain_s=self._limits.configured()["drain_s"],
                only_foreign=True,
            ),
        )
        self._taker.start_soon()

    def _executor(self, meter: Meter) -> LocalExecutor:
        return LocalExecutor(
            self._slots,
            worker_id=self.worker_id,
            payloads=self._backend.payloads,
            aging_interval_ms=self._aging_interval_ms,
            meter=meter,
            processes=configured_processes(
                self.processes.count,
                self.processes.memory_bytes,
                on_startup=self.resources.on_startup,
                on_shutdown=self.resources.on_shutdown,
            ),
        )

    def drain_limit_s(self) -> float:
        """How long `stop` waits for attempts at most, in seconds: none if none runs."""
        is_running = self.engine is not None and self.engine.is_running_attempts
        return self._limits.configured()["drain_s"] if is_running else 0.0

    async def end_at_exit(self) -> None:
        """Stop without a drain: Python ends, and nobody has shut this worker down."""
        if self._taker is not None:
            await self._taker.close()
        if self.engine is not None:
            await self.engine.stop(drain=False)
        await self.resources.close()
        if self.observer is not None:
            await self.observer.close()

    async def stop(self) -> None:
        """Drain, hand over the partitions and close everything."""
        try:
            if self._taker is not None:
                self._taker.stop_taking()
            if self.engine is not None:  # which waits for all attempts that run here
                await self.engine.stop()
            if self._taker is not None:
                await self._taker.hand_back()
                await self._taker.close()
        finally:
            if self._taker is not None:
                self._taker.cancel()
            await self.resources.close()
            if self.observer is not None:
                await self.observer.close()
        self._stores.close()
        if self._log is not None:
            await self._log.close()


class WorkerOptions(TypedDict, total=False):
    """The options of a worker; see `Worker`."""

    max_concurrent_tasks: int | None
    tags: Collection[str] | None
    aging_interval: float | str | timedelta
    drain: float | str | timedelta | None
    handover: float | str | timedelta | None
    cancel_grace: float | str | timedelta | None
    processes: int | None
    process_memory: int | str | None
    on_startup: OnStartup | None
    on_shutdown: OnShutdown | None
    observer: WorkerObserver | None


def running_worker(
    worker_id: str, backend: Backend | str, **options: Unpack[WorkerOptions]
) -> RunningWorker:
    """A worker with these options, to be started on an event loop.

    Raises:
        ValueError: if an option is out of its range.
    """
    slots = options.get("max_concurrent_tasks")
    if slots is not None and slots < 1:
        raise ValueError(f"expected max_concurrent_tasks of at least 1, but {slots}")
    processes, memory = options.get("processes"), options.get("process_memory")
    if processes is not None and processes < 1:
        raise ValueError(f"expected processes of at least 1, but {processes}")
    worker = RunningWorker(
        worker_id,
        as_backend(backend),
        slots=slots or DEFAULT_SLOTS,
        aging_interval_ms=duration_ms(options.get("aging_interval", "5m")),
        limits=WorkerLimits(
            drain_s=_seconds(options.get("drain")),
            handover_s=_seconds(options.get("handover")),
            cancel_grace_s=_seconds(options.get("cancel_grace")),
        ),
        tags=options.get("tags"),
    )
    worker.processes = WorkerProcesses(
        count=processes,
        memory_bytes=(
            None if memory is None else parse_memory_size(memory, what="process_memory")
        ),
    )
    worker.resources = WorkerResources(
        options.get("on_startup"), options.get("on_shutdown")
    )
    worker.observer = options.get("observer")
    return worker


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
        if self._thread.is_of_parent:
            return  # a forked child leaves the block: the worker is its parent's
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
        drain: When it ends, how long it waits for attempts that run; without it
            `SAYIIR_DRAIN`, or 10 s.
        handover: How long attempts may run on whose partition another worker is to
            own; without it `SAYIIR_HANDOVER`, or 30 s.
        cancel_grace: How long an attempt may run on behind a cancel; without it
            `SAYIIR_CANCEL_GRACE`, or 10 s.
        processes: At most so many processes run tasks with `executor="process"`, one
            attempt each at a time; without it `SAYIIR_PROCESSES`, or one for each core.
        process_memory: How much each may have whose task says nothing, as bytes or a
            text such as "512MB"; without it `SAYIIR_PROCESS_MEMORY`, or any amount.
        on_startup: Called once before the first task, on the loop where async tasks
            run, and once in each process of tasks; sync or async. It returns resources
            by name, for tasks that name them by keyword-only parameters.
        on_shutdown: Called with them behind the last task.
        observer: What looks at it while it runs: `WorkerHttp` of
            `sayiir_es.web.worker_http` answers health checks and publishes metrics.
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
        drain: float | str | timedelta | None = None,
        handover: float | str | timedelta | None = None,
        cancel_grace: float | str | timedelta | None = None,
        processes: int | None = None,
        process_memory: int | str | None = None,
        on_startup: OnStartup | None = None,
        on_shutdown: OnShutdown | None = None,
        observer: WorkerObserver | None = None,
    ) -> None:
        del poll_interval, claim_ttl
        self._worker = running_worker(
            worker_id,
            backend,
            max_concurrent_tasks=max_concurrent_tasks,
            tags=tags,
            aging_interval=aging_interval,
            drain=drain,
            handover=handover,
            cancel_grace=cancel_grace,
            processes=processes,
            process_memory=process_memory,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            observer=observer,
        )

    def start(self, workflows: Sequence[Workflow]) -> WorkerHandle:
        """Start on a thread of its own; returns when it has joined the group.

        Raises:
            ValueError: if two different workflows have the same name and version.
            BackendError: if the log does not answer or could lose history.
            ResourceError: if a task names what `on_startup` does not give.
            UsageError: if a task is to run in a process that cannot import it.
        """
        worker = self._worker
        thread = LoopThread(
            "sayiir-worker", at_exit=lambda: thread.call(worker.end_at_exit())
        )
        try:
            thread.call(self._worker.start(list(workflows)))
        except BaseException:
            thread.close()
            raise
        return WorkerHandle(thread, self._worker)


def _seconds(duration: float | str | timedelta | None) -> float | None:
    return None if duration is None else duration_ms(duration) / 1000
