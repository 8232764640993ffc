"""An executor on the event loop that calls it: a log, resources, and who takes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.backend_port import WORKER_CONNECT_LIMIT_S
from sayiir_es.core.authoring.unique import check_unique
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.worker_settings import configured_processes
from sayiir_es.executor.attempt_taker import AttemptTaker
from sayiir_es.executor.taker_settings import TakerSettings
from sayiir_es.executor.task_code import TaskCode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.worker_resources import WorkerResources
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.clock import Clock
    from sayiir_es.log.port import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """Of one executor.

    Attributes:
        executor_id: Its name; what is added makes it that of this process only.
        slots: Attempts that run at a time.
        prefetch: Attempts that may wait beside them; None: as many.
        tags: Only tasks whose tags are all among these run here; None: all do.
        drain_s: How long its end waits for attempts that run, in seconds.
        processes: How many processes at most run tasks with `executor="process"`;
            None: as the environment says, or one for each core.
        process_memory: What each may have whose task says nothing, in bytes; None: as
            the environment says, or any amount.
    """

    executor_id: str
    slots: int
    prefetch: int | None
    tags: Collection[str] | None
    drain_s: float
    processes: int | None = None
    process_memory: int | None = None


class RunningExecutor:
    """An executor, from `start` to `stop`."""

    def __init__(
        self,
        backend: Backend,
        settings: ExecutorSettings,
        resources: WorkerResources,
        clock: Clock | None = None,
    ) -> None:
        """`resources` are what its tasks may name.

        Raises:
            SettingsError: if the environment cannot be used.
        """
        self._backend = backend
        self._clock = clock
        self._settings = settings
        self.executor_id = f"{settings.executor_id}/{secrets.token_hex(4)}"
        """What owners and events call it."""
        self._resources = resources
        processes = configured_processes(
            settings.processes,
            settings.process_memory,
            on_startup=resources.on_startup,
            on_shutdown=resources.on_shutdown,
        )
        self._processes = processes.count
        self._log: Log | None = None
        self._local = LocalExecutor(
            settings.slots,
            worker_id=self.executor_id,
            payloads=backend.payloads,
            processes=processes,
        )
        self._taker: AttemptTaker | None = None

    @property
    def held(self) -> int:
        """How many attempts it has."""
        return 0 if self._taker is None else self._taker.held

    async def start(self, workflows: Sequence[Workflow]) -> None:
        """Connect, make the resources, and ask for attempts.

        Raises:
            ValueError: if two different workflows have the same name and version.
            BackendError: if the log does not answer or could lose history.
            ResourceError: if a task names what `on_startup` does not give.
            UsageError: if a process cannot import what its tasks need.
        """
        check_unique(
            (f"workflow {number} of {len(workflows)}", workflow)
            for number, workflow in enumerate(workflows, start=1)
        )
        log = self._backend.open_log(connect_limit_s=WORKER_CONNECT_LIMIT_S)
        await log.open(create=True)
        self._log = log
        try:
            bound = await self._resources.start(workflows)
            code = TaskCode(bound, self._settings.tags)
            self._local.warm_up(bound)
            taker = AttemptTaker(
                log,
                self._local,
                code,
                self._backend.payloads,
                self._taking(code),
                self._clock,
            )
            await taker.start()
        except BaseException:
            await self._local.close()
            await self._resources.close()
            await log.close()
            self._log = None
            raise
        self._taker = taker

    def _taking(self, code: TaskCode) -> TakerSettings:
        slots, prefetch = self._settings.slots, self._settings.prefetch
        if code.are_all_in_processes:
            slots = min(slots, self._processes)
        return TakerSettings(
            executor_id=self.executor_id,
            slots=slots,
            prefetch=slots if prefetch is None else prefetch,
            drain_s=self._settings.drain_s,
        )

    async def stop(self) -> None:
        """Take nothing new, hand back what waits, wait for what runs, and close."""
        if self._log is None:
            return
        try:
            if self._taker is not None:
                await self._taker.drain()
        finally:
            await self.end_at_exit()
            log, self._log = self._log, None
            await log.close()

    async def end_at_exit(self) -> None:
        """Stop without a drain: Python ends, and nobody has shut this one down."""
        if self._taker is not None:
            await self._taker.close()
        await self._local.close()
        await self._resources.close()

    def drain_limit_s(self) -> float:
        """How long `stop` waits for attempts at most, in seconds: none if none runs."""
        return self._settings.drain_s if self._local.running() else 0.0
