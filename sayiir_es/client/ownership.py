"""Owning a log from a client: for one call, or on Kafka from the first run on.

Theory of operation. Where the backend allows it, a call owns the log while it lasts if
nobody else does. A call without workflows decides and wakes no instance. A call with
workflows runs their attempts and wakes what was due when it began; so an instance that
it parks itself stays parked until the next call. On Kafka a worker is kept for the
workflows that this process runs by helpers; it is a worker like any other.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.model.errors import BackendError
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.owner.claim_records import configured_signer
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import (
    Wakes,
    WorkerSettings,
    configured_handover_s,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sayiir_es.client.backend_port import BackendPort
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.worker_settings import StoreOpener
    from sayiir_es.log.port import Log

HELPER_SLOTS = 64
"""Attempts that a helper's own worker runs at a time."""


class SessionWorker(NamedTuple):
    """A worker of a session, and the executor of its attempts."""

    engine: WorkerEngine
    executor: LocalExecutor


class Ownership:
    """The partitions that one session owns, for a call or from the first run on."""

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
        self._call_workers: list[SessionWorker] = []
        """Those that own the log for a call."""

    async def close(self) -> None:
        """Stop the worker that is kept."""
        worker, self._kept_worker = self._kept_worker, None
        if worker is not None:
            await worker.engine.stop()

    @asynccontextmanager
    async def hold(
        self, workflows: Sequence[Workflow]
    ) -> AsyncGenerator[LocalExecutor | None]:
        """Own the log while inside, or keep a worker that owns its partitions.

        Yields the executor that runs the attempts, if this process has one. A
        `KeyboardInterrupt` or `SystemExit` of a task is raised at the end.
        """
        if not self._backend.owns_on_call:
            executor = await self._keep(workflows) if workflows else None
            try:
                yield executor
            finally:
                if executor is not None and executor.interrupted is not None:
                    await self.close()  # the next call runs the attempt again
            return
        wakes: Wakes = "due_at_claim" if workflows else "nobody"
        worker = self._new_worker(wakes, runs_attempts=bool(workflows))
        engine, executor = worker
        await engine.start(workflows)
        self._call_workers.append(worker)
        try:
            await engine.wait_until_settled()
            self.check()
            yield executor
            check_interrupted(executor)
        finally:
            self._call_workers.remove(worker)
            await engine.stop(drain=False)

    def check(self) -> None:
        """Check that the session's workers serve all that is assigned to them.

        Raises:
            BackendError: if it refuses one that nobody else takes.
        """
        workers = [*self._call_workers]
        if self._kept_worker is not None:
            workers.append(self._kept_worker)
        for worker in workers:
            for partition, refusal in worker.engine.get_unserved().items():
                raise BackendError(
                    f"expected partition {partition} to be served, but {refusal}"
                )

    async def _keep(self, workflows: Sequence[Workflow]) -> LocalExecutor:
        worker = self._kept_worker
        if worker is None:
            worker = self._kept_worker = self._new_worker("all", runs_attempts=True)
            await worker.engine.start(workflows)
        else:
            for workflow in workflows:
                await worker.engine.definitions.publish(workflow)
        return worker.executor

    def _new_worker(self, wakes: Wakes, *, runs_attempts: bool) -> SessionWorker:
        worker_id = f"helper-{secrets.token_hex(3)}"
        executor = LocalExecutor(
            HELPER_SLOTS, worker_id=worker_id, propagate_interrupts=True
        )
        engine = WorkerEngine(
            ports=Ports(
                log=self._log,
                clock=SystemClock(),
                executor=executor,
                registry=self._registry,
            ),
            membership=self._backend.membership(self._log),
            open_store=self._open_store,
            settings=WorkerSettings(
                worker_id=worker_id,
                incarnation=secrets.token_hex(8),
                build=build_name(),
                runs_attempts=runs_attempts,
                announced=not self._backend.owns_on_call,
                wakes=wakes,
                signer=configured_signer(),
                handover_s=configured_handover_s(),
            ),
        )
        return SessionWorker(engine, executor)


def check_interrupted(executor: LocalExecutor | None) -> None:
    """Raise the `KeyboardInterrupt` or `SystemExit` that a task raised, if one did."""
    if executor is not None and executor.interrupted is not None:
        raise executor.interrupted


def build_name() -> str:
    """The version of this package, which claims carry."""
    return version("sayiir-es")
