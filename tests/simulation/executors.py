"""The executors of a simulated world: they own nothing, and what befalls them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sayiir_es.client.running_executor import ExecutorSettings, RunningExecutor
from sayiir_es.client.worker_resources import WorkerResources
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from tests.simulation.fleet import LOOK_S, STOP_MOST_S, SimClock
from tests.simulation.log import SimLog
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.workflow import Workflow
    from tests.simulation.fleet import Fleet

SLOTS = 2
DRAIN_S = 3.0
LEASE_MS = 5_000
"""The leases of worlds with executors: shorter than the longest pause."""


@dataclass
class SimBackend:
    """What an executor needs of a backend: a log, and how values become bytes."""

    log: SimLog
    payloads = JSON_PAYLOADS

    def open_log(self, *, connect_limit_s: float) -> SimLog:
        """The log of its process."""
        del connect_limit_s
        return self.log


@dataclass
class ExecutorMachine:
    """Runs one executor after another."""

    name: str
    boots: int = 0
    process: Process | None = None
    executor: RunningExecutor | None = None


class Executors:
    """All executors, beside a fleet of workers."""

    def __init__(self, fleet: Fleet, count: int) -> None:
        self._fleet = fleet
        self._chance = fleet.chance
        self._loop = fleet.loop
        self.machines = [ExecutorMachine(f"e{number}") for number in range(count)]

    def start(self, *, chaos: bool) -> None:
        """Boot all; with `chaos` faults happen to them."""
        for machine in self.machines:
            self._loop.spawn(self._keep_up(machine), None)
            if chaos:
                self._loop.spawn(self._trouble(machine), None)

    async def _keep_up(self, machine: ExecutorMachine) -> None:
        """Boot a machine again when its process has died."""
        while True:
            if machine.process is None or machine.process.is_dead:
                self._boot(machine)
            await asyncio.sleep(LOOK_S)

    def _boot(self, machine: ExecutorMachine) -> None:
        machine.boots += 1
        name = f"{machine.name}-{machine.boots}"
        process = machine.process = Process(name)
        machine.executor = None
        self._fleet.note("boots", name)
        error_s = 0.0
        if self._chance.fault("clock skewed", machine.name, 0.3):
            error_s = self._chance.between(f"clock {machine.name}", -2.0, 4.0)
        clock = SimClock(self._loop, error_s)
        is_new = self._chance.fault("newer build", machine.name, 0.3)
        start = self._run(machine, clock, self._fleet.builds[is_new])
        task = self._loop.spawn(start, process)
        task.add_done_callback(lambda ended: self._ended(machine, process, ended))

    async def _run(
        self, machine: ExecutorMachine, clock: SimClock, code: Sequence[Workflow]
    ) -> None:
        log = SimLog(self._fleet.log, self._chance, machine.name, self._fleet.refused)
        executor = RunningExecutor(
            cast("Backend", SimBackend(log)),
            ExecutorSettings(
                executor_id=machine.name,
                slots=SLOTS,
                prefetch=None if self._chance.seed % 2 else 0,
                tags=None,
                drain_s=DRAIN_S,
            ),
            WorkerResources(None, None),
            clock,
        )
        assert machine.process is not None
        executor.executor_id = machine.process.name  # not by chance: a seed decides
        machine.executor = executor
        await executor.start(code)

    def _ended(
        self, machine: ExecutorMachine, process: Process, task: asyncio.Task[None]
    ) -> None:
        """Boot an executor again that could not start."""
        if not task.cancelled() and task.exception() is not None:
            self._fleet.note("start failed", process.name)
            if machine.process is process:
                self._crash(machine)

    def _crash(self, machine: ExecutorMachine) -> None:
        """`kill -9`."""
        if machine.process is not None and not machine.process.is_dead:
            self._fleet.note("dies", machine.process.name)
            self._loop.kill(machine.process)
            machine.executor = None

    async def _trouble(self, machine: ExecutorMachine) -> None:
        name = machine.name
        while not self._chance.quiet:
            await asyncio.sleep(self._chance.between(f"trouble {name}", 0.2, 4.0))
            executor = machine.executor
            state = "holding" if executor is not None and executor.held else "idle"
            if self._chance.fault("executor crash", name, 0.15, state=state):
                self._crash(machine)
                await asyncio.sleep(self._chance.between(f"down {name}", 0.1, 6.0))
            elif self._chance.fault("executor pause", name, 0.15, state=state):
                await self._pause(machine)
            elif self._chance.fault("executor drain", name, 0.06, state=state):
                await self._drain(machine)

    async def _pause(self, machine: ExecutorMachine) -> None:
        process = machine.process
        if process is not None and not process.is_dead:
            self._loop.pause(process)
            await asyncio.sleep(self._chance.between(f"pause {process.name}", 0.1, 9.0))
            self._loop.wake(process)

    async def _drain(self, machine: ExecutorMachine) -> None:
        process, executor = machine.process, machine.executor
        if process is None or process.is_dead or executor is None:
            return
        self._fleet.note("drains", process.name)
        stopping = self._loop.spawn(executor.stop(), process)
        await asyncio.wait((stopping,), timeout=STOP_MOST_S)
        if not stopping.done() and not process.is_dead:
            self._fleet.problems.append(
                f"{process.name} did not stop in {STOP_MOST_S} s"
            )
        self._crash(machine)
