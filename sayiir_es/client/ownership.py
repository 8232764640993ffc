"""Owning a log from a client: from a call on, until nobody needs it any more.

Theory of operation. Where the backend allows it, a call owns the log if nobody else
does, and goes on owning for a moment behind its end: the next call finds everything
open. Commands of everybody are decided; but the attempts, delays and waits of an
instance are gone on with only while a call of this session runs that instance. So an
instance that a call parks itself stays parked until the next call, and what others
started is left to them. On Kafka a worker is kept for the workflows that this process
runs by helpers; it is a worker like any other.

A worker that wants the log gets it. The calls then wait behind that worker, and own the
log again when it has gone, however it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.model.errors import BackendError, WorkflowError
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.owner.claim_records import configured_signer
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.selected_instances import SelectedInstances
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import (
    WorkerSettings,
    configured_cancel_grace_s,
    configured_drain_s,
    configured_fork_read_s,
    configured_handover_s,
    configured_processes,
)
from sayiir_es.log.solo import SoloMembership
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from sayiir_es.client.backend_port import BackendPort
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.worker_settings import StoreOpener
    from sayiir_es.log.port import Log, Membership

logger = get_logger(__name__)

KEPT_S = 0.5
"""How long, in seconds, the log is owned behind the last call that needed it."""

SETTLED_S = 1.0
"""For so long, in seconds, calls that got the log decide before a worker gets it."""

HELPER_SLOTS = 64
"""Attempts that a helper's own worker runs at a time."""


class SessionWorker(NamedTuple):
    """A worker of a session, and the executor of its attempts."""

    engine: WorkerEngine
    executor: LocalExecutor
    membership: Membership


class HeldCall:
    """A call that needs a worker of its session, and the executors that it has had."""

    def __init__(self, workflows: Sequence[Workflow]) -> None:
        self.workflows = tuple(workflows)
        self._executors: list[LocalExecutor] = []

    def serve_by(self, executor: LocalExecutor) -> None:
        """From now on this one runs its attempts."""
        self._executors.append(executor)

    @property
    def interrupted(self) -> BaseException | None:
        """The `KeyboardInterrupt` or `SystemExit` that a task raised, if one did."""
        raised = (executor.interrupted for executor in self._executors)
        return next((error for error in raised if error is not None), None)


class Ownership:
    """The partitions that one session owns, from a call on until nobody needs them."""

    def __init__(
        self,
        backend: BackendPort,
        log: Log,
        registry: Registry,
        open_store: StoreOpener,
    ) -> None:
        self._backend = backend
        self._log = log
        self._registry = registry
        self._open_store = open_store
        self._kept_worker: SessionWorker | None = None
        self._selected = SelectedInstances()
        self._clock = SystemClock()
        self._calls: list[HeldCall] = []
        """Those that need the worker now."""
        self._changing = asyncio.Lock()
        """Held while the worker is started or stopped."""
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._is_wanted = False
        """Whether others wait to own the log: then it is not kept behind a call."""
        self._yielding: asyncio.Task[None] | None = None
        """Waits until a worker wants to own the log, or to try to own it again; it may
        be cancelled."""
        self._handing_over: asyncio.Task[None] | None = None
        """Hands the log over, or did so last; it comes to its end by itself."""

    async def close(self) -> None:
        """Stop the worker that is kept."""
        self._stay_open()
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)
        async with self._changing:
            await self._stop()
        if self._handing_over is not None:
            await asyncio.wait((self._handing_over,))

    def abandon(self) -> None:
        """Own nothing any more: the event loop of the worker has been closed."""
        worker, self._kept_worker = self._kept_worker, None
        if worker is not None and isinstance(worker.membership, SoloMembership):
            worker.membership.abandon()

    @asynccontextmanager
    async def hold(
        self, workflows: Sequence[Workflow], instance_id: str | None
    ) -> AsyncGenerator[HeldCall | None]:
        """Own the log while inside, or keep a worker that owns its partitions.

        With `instance_id` the attempts of that instance are run here. Yields what tells
        whether one was interrupted, if this process runs any. A `KeyboardInterrupt` or
        `SystemExit` of a task is raised at the end.
        """
        if not (self._backend.owns_on_call or workflows):
            yield None
            return
        call = await self._enter(workflows)
        try:
            if instance_id is None:
                self.check()
                yield call
            else:
                self._selected.add(instance_id, self._clock.now_ms())
                try:
                    await self._begin(instance_id)
                    self.check()
                    yield call
                finally:
                    self._selected.remove(instance_id)
            check_interrupted(call)
        finally:
            await self._exit(call)

    @property
    def has_worker(self) -> bool:
        """Whether this session has a worker now."""
        return self._kept_worker is not None

    def is_absent(self, instance_id: str) -> bool:
        """Whether this session owns where it would be, and there is no such instance.

        Only where others may not come to own at any moment: not on Kafka.
        """
        if self._kept_worker is None or not self._backend.owns_on_call:
            return False
        partition = self._partition_of(instance_id)
        return self._kept_worker.engine.is_absent(partition, instance_id)

    def check(self) -> None:
        """Check that the session's worker serves all that is assigned to it.

        Raises:
            BackendError: if it refuses one that nobody else takes.
        """
        if self._kept_worker is None:
            return
        for partition, refusal in self._kept_worker.engine.get_unserved().items():
            raise BackendError(
                f"expected partition {partition} to be served, but {refusal}"
            )

    # --- the worker -------------------------------------------------------------------

    async def _enter(self, workflows: Sequence[Workflow]) -> HeldCall:
        """Begin a call that needs the worker; start it if there is none."""
        call = HeldCall(workflows)
        async with self._changing:
            self._stay_open()
            if self._kept_worker is None:
                await self._start(workflows)
            assert self._kept_worker is not None
            call.serve_by(self._kept_worker.executor)
            self._calls.append(call)
        return call

    async def _begin(self, instance_id: str) -> None:
        """Go on with an instance that was selected."""
        if self._kept_worker is not None:
            partition = self._partition_of(instance_id)
            await self._kept_worker.engine.begin(partition, instance_id)

    def _partition_of(self, instance_id: str) -> int:
        key = instance_id.encode("utf-8", "surrogatepass")
        return partition_of(key, self._log.partitions)

    async def _start(self, workflows: Sequence[Workflow]) -> None:
        worker = self._new_worker()
        try:
            await worker.engine.start(workflows)
            if self._backend.owns_on_call:
                await worker.engine.wait_until_settled()
        except BaseException:
            # A caller that is cancelled here must not leave a log owned by nobody.
            await to_its_end(worker.engine.stop(drain=False))
            raise
        self._kept_worker = worker
        if self._yielding is not None:
            self._yielding.cancel()  # it wanted to start one, too
        for call in self._calls:
            call.serve_by(worker.executor)
        membership = worker.membership
        if isinstance(membership, SoloMembership):
            yielding = self._yield_to_worker(worker.engine, membership)
            self._yielding = asyncio.create_task(yielding, name="yielding")

    async def _yield_to_worker(
        self, engine: WorkerEngine, membership: SoloMembership
    ) -> None:
        """Hand the log over as soon as a worker wants it; calls go on as its clients.

        What runs is let end first, within the limit of a worker that stops.
        """
        await membership.wanted(briefly=True)
        self._is_wanted = True
        if not self._calls:
            self._stay_open()
            self._begin_closing()
        await _own_and_settle(engine, membership)
        await membership.wanted()
        async with self._changing:
            self._stay_open()
            self._yielding, self._handing_over = None, asyncio.current_task()
            interrupted = any(call.interrupted is not None for call in self._calls)
            await self._stop(drain=True)
            if interrupted:
                return  # the calls end, and the next one runs it again
            self._yielding = self._handing_over
        await self._own_again()

    async def _own_again(self) -> None:
        """Wait behind the worker that has the log now, for the calls that go on."""
        backoff = Backoff("owner-lock")
        while True:
            async with self._changing:
                self._yielding = None
                if not self._calls:
                    return
                workflows = dict.fromkeys(w for c in self._calls for w in c.workflows)
                try:
                    await self._start(tuple(workflows))
                except WorkflowError as error:
                    logger.warning(
                        "owner.candidacy_failed",
                        error_code=error.code,
                        reason=str(error),
                    )
                    self._yielding = self._handing_over
                else:
                    return
            await backoff.pause()

    async def _exit(self, call: HeldCall) -> None:
        """End a call; the worker is kept for a while."""
        self._calls.remove(call)
        if self._calls or self._kept_worker is None:
            return
        if self._kept_worker.executor.interrupted is not None:
            await to_its_end(self._close_if_idle())  # the next call runs it again
        elif self._backend.owns_on_call:
            loop = asyncio.get_running_loop()
            kept_s = 0.0 if self._is_wanted else KEPT_S
            self._idle = loop.call_later(kept_s, self._begin_closing)

    def _stay_open(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _begin_closing(self) -> None:
        self._closing = asyncio.ensure_future(self._close_if_idle())

    async def _close_if_idle(self) -> None:
        async with self._changing:
            if not self._calls:
                await self._stop()

    async def _stop(self, *, drain: bool = False) -> None:
        self._is_wanted = False
        yielding, self._yielding = self._yielding, None
        if yielding is not None:
            yielding.cancel()
        worker, self._kept_worker = self._kept_worker, None
        if worker is not None:
            drain = drain or not self._backend.owns_on_call
            await to_its_end(worker.engine.stop(drain=drain))
        if yielding is not None:
            await asyncio.wait((yielding,))

    def _new_worker(self) -> SessionWorker:
        worker_id = f"helper-{secrets.token_hex(3)}"
        executor = LocalExecutor(
            HELPER_SLOTS,
            worker_id=worker_id,
            payloads=self._backend.payloads,
            propagate_interrupts=True,
            processes=configured_processes(),
        )
        membership = self._backend.membership(self._log)
        engine = WorkerEngine(
            ports=Ports(
                log=self._log,
                clock=SystemClock(),
                executor=executor,
                registry=self._registry,
            ),
            membership=membership,
            open_store=self._open_store,
            settings=WorkerSettings(
                worker_id=worker_id,
                incarnation=secrets.token_hex(8),
                build=build_name(),
                announced=not self._backend.owns_on_call,
                selected=self._selected if self._backend.owns_on_call else None,
                signer=configured_signer(),
                drain_s=configured_drain_s(),
                handover_s=configured_handover_s(),
                cancel_grace_s=configured_cancel_grace_s(),
                fork_read_s=configured_fork_read_s(),
            ),
        )
        return SessionWorker(engine, executor, membership)


async def _own_and_settle(engine: WorkerEngine, membership: SoloMembership) -> None:
    """Wait until the log is owned, and what was due there is decided."""
    while not (assigned := membership.current()).partitions:
        await membership.changed(assigned.epoch)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLED_S):
            await engine.wait_until_settled()


def check_interrupted(call: HeldCall | None) -> None:
    """Raise the `KeyboardInterrupt` or `SystemExit` that a task raised, if one did."""
    if call is not None and call.interrupted is not None:
        raise call.interrupted


async def to_its_end(work: Coroutine[object, object, None]) -> None:
    """Await work that must not be left half done: a cancel is raised behind it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


@cache
def build_name() -> str:
    """The version of this package, which claims carry; read once, from its files."""
    return version("sayiir-es")
