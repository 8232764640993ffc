"""Owning a log from a client: for one call, or on Kafka from the first run on.

Theory of operation. Where the backend allows it, a call owns the log while it lasts if
nobody else does. A call that brings no workflow decides and wakes nobody; one that does
runs their attempts and wakes what was due when it came, so that what it parks itself
stays parked for the next call. On Kafka a worker is kept for the workflows that this
process runs by helpers; it is a worker like any other.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import BackendError
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.owner.claim_records import configured_signer
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import Wakes, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.worker_settings import StoreOpener
    from sayiir_es.log.port import Log

HELPER_SLOTS = 64
"""Attempts that a helper's own worker runs at a time."""


class Ownership:
    """What one session owns, and how."""

    def __init__(
        self, backend: Backend, log: Log, registry: Registry, open_store: StoreOpener
    ) -> None:
        self._backend = backend
        self._log = log
        self._registry = registry
        self._open_store = open_store
        self._kept: tuple[WorkerEngine, LocalExecutor] | None = None

    async def close(self) -> None:
        """Let go of what is kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept[0].stop()

    @asynccontextmanager
    async def hold(
        self, workflows: Sequence[Workflow]
    ) -> AsyncGenerator[LocalExecutor | None]:
        """Own the log while inside, or see to it that a kept worker does.

        Yields the executor that runs the attempts, if this process has one. What ends
        a process from inside a task is raised when it is left.
        """
        if not self._backend.owns_on_call:
            executor = await self._keep(workflows) if workflows else None
            try:
                yield executor
            finally:
                if executor is not None and executor.interrupted is not None:
                    await self.close()  # the next call takes the attempt up again
            return
        wakes: Wakes = "due_at_claim" if workflows else "nobody"
        engine, executor = self._worker(wakes, runs_attempts=bool(workflows))
        await engine.start(workflows)
        try:
            await engine.settled()
            yield executor
            check_interrupted(executor)
        finally:
            await engine.stop(drain=False)

    def check(self) -> None:
        """Notice that the kept worker has lost a partition.

        Raises:
            BackendError: if it has.
        """
        if self._kept is not None and self._kept[0].stopped:
            partition, reason = next(iter(self._kept[0].stopped.items()))
            raise BackendError(
                f"expected partition {partition} to be served, but it stopped: {reason}"
            )

    async def _keep(self, workflows: Sequence[Workflow]) -> LocalExecutor:
        if self._kept is None:
            self._kept = self._worker("all", runs_attempts=True)
            await self._kept[0].start(workflows)
        else:
            for workflow in workflows:
                await self._kept[0].definitions.publish(workflow)
        return self._kept[1]

    def _worker(
        self, wakes: Wakes, *, runs_attempts: bool
    ) -> tuple[WorkerEngine, LocalExecutor]:
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
            ),
        )
        return engine, executor


def check_interrupted(executor: LocalExecutor | None) -> None:
    """Raise what would end the process, if a task raised it."""
    if executor is not None and executor.interrupted is not None:
        raise executor.interrupted


def build_name() -> str:
    """The version of this package, as claims name it."""
    return version("sayiir-es")
