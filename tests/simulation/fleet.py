"""The workers of a simulated world: started, killed, paused, drained, started again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import (
    FORK_READ_LIMIT_S,
    QUEUED_ATTEMPTS_MAX,
    TURN_UNITS,
    WorkerSettings,
)
from sayiir_es.wire.attempts import DEFAULT_LEASE_MS
from tests.simulation.disk import Disk
from tests.simulation.group import Group, SimMembership
from tests.simulation.log import SimLog
from tests.simulation.loop import Process, SimLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.memory.log import MemoryLog
    from tests.simulation.chance import Chance

EPOCH_MS = 1_700_000_000_000
LOOK_S = 0.5
STOP_MOST_S = 30.0
SLOTS = 3
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
"""Signs the checkpoints of all workers."""


@dataclass
class SimClock:
    """A process's clocks: wall time with an error, and monotonic time."""

    loop: SimLoop
    error_s: float = 0.0

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        return EPOCH_MS + int((self.loop.time() + self.error_s) * 1000)

    def monotonic_s(self) -> float:
        """Virtual time, in seconds."""
        return self.loop.time()


@dataclass
class Machine:
    """Runs one worker process after another, over one disk."""

    name: str
    disk: Disk
    boots: int = 0
    process: Process | None = None
    engine: WorkerEngine | None = None
    clock: SimClock | None = None


class Fleet:
    """All machines, and the faults that happen to them."""

    def __init__(
        self,
        log: MemoryLog,
        chance: Chance,
        loop: SimLoop,
        *,
        workers: int,
        note: Callable[..., None],
        refused: Callable[[str], None],
    ) -> None:
        self.refused = refused
        self.lease_ms = DEFAULT_LEASE_MS
        """How long executors elsewhere may be silent."""
        self.slow_commands = False
        """Whether what workers produce may be on its way for seconds."""
        self.slots = SLOTS
        """How many attempts run at a time in each process."""
        self.machines = [
            Machine(name, Disk(name, chance, broken=self._is_broken(name, chance)))
            for name in (f"w{number}" for number in range(workers))
        ]
        self.problems: list[str] = []
        self.builds: Sequence[Sequence[Workflow]] = ((), ())
        """The workflows of the code that machines start with, and of a newer build."""
        self.chance = chance
        self.loop = loop
        self.log = log
        self.note = note
        self._group = Group(log.partitions)

    @staticmethod
    def _is_broken(machine: str, chance: Chance) -> bool:
        """Whether its disk is never usable; that of the first machine always is."""
        return machine != "w0" and chance.fault("disk broken", machine, 0.1)

    def start(self, *, chaos: bool) -> None:
        """Boot all; with `chaos` faults happen to them."""
        self.loop.spawn(self._group.watch(), None)
        for machine in self.machines:
            self.loop.spawn(self._keep_up(machine), None)
            if chaos:
                self.loop.spawn(self._trouble(machine), None)

    async def _keep_up(self, machine: Machine) -> None:
        """Boot a machine again when its process has died or a partition has stopped."""
        while True:
            if machine.process is None or machine.process.is_dead:
                self._boot(machine)
            engine = machine.engine
            if engine is not None and engine.stopped:
                for partition, reason in engine.stopped.items():
                    self.problems.append(f"{partition} stopped: {reason}")
                self.crash(machine)
            await asyncio.sleep(LOOK_S)

    def _boot(self, machine: Machine) -> None:
        machine.boots += 1
        name = f"{machine.name}-{machine.boots}"
        process = machine.process = Process(name)
        entity = f"clock {machine.name}"
        error_s = 0.0
        if self.chance.fault("clock skewed", machine.name, 0.3):
            error_s = self.chance.between(entity, -2.0, 4.0)
        machine.clock = SimClock(self.loop, error_s)
        machine.engine = None
        self.note("boots", name)
        task = self.loop.spawn(self._run(machine, name), process)
        task.add_done_callback(lambda ended: self._ended(machine, process, ended))

    async def _run(self, machine: Machine, name: str) -> None:
        assert machine.clock is not None

        async def open_store(partition: int) -> SnapshotStore:
            return machine.disk.open(partition)

        engine = WorkerEngine(
            ports=Ports(
                log=SimLog(
                    self.log,
                    self.chance,
                    machine.name,
                    self.refused,
                    slow_commands=self.slow_commands,
                ),
                clock=machine.clock,
                executor=LocalExecutor(self.slots, worker_id=machine.name),
                registry=Registry(),
            ),
            membership=SimMembership(self._group, name, self.chance),
            open_store=open_store,
            settings=WorkerSettings(
                worker_id=machine.name,
                incarnation=name,
                build="sim",
                signer=KEY,
                # In every other world a queue of one: what is turned away comes back.
                queued_attempts_max=QUEUED_ATTEMPTS_MAX if self.chance.seed % 2 else 1,
                # In every seventh world hardly any source is read in time.
                fork_read_s=FORK_READ_LIMIT_S if self.chance.seed % 7 else 0.02,
                # In every third world hardly anything fits into one turn.
                turn_units=TURN_UNITS if self.chance.seed % 3 else 2,
                lease_ms=self.lease_ms,
            ),
        )
        machine.engine = engine
        is_new = self.chance.fault("newer build", machine.name, 0.3)
        await engine.start(self.builds[is_new])

    def _ended(
        self, machine: Machine, process: Process, task: asyncio.Task[None]
    ) -> None:
        """Boot a worker again that could not start."""
        if not task.cancelled() and task.exception() is not None:
            self.note("start failed", process.name)
            if machine.process is process:
                self.crash(machine)

    def crash_process(self, process: Process) -> None:
        """`kill -9` for the machine that runs it."""
        for machine in self.machines:
            if machine.process is process:
                self.crash(machine)

    def crash(self, machine: Machine) -> None:
        """`kill -9`."""
        if machine.process is not None and not machine.process.is_dead:
            self.note("dies", machine.process.name)
            self.loop.kill(machine.process)
            machine.disk.crash()
            machine.engine = None

    async def _trouble(self, machine: Machine) -> None:
        name = machine.name
        while not self.chance.quiet:
            await asyncio.sleep(self.chance.between(f"trouble {name}", 0.2, 4.0))
            state = self._doing(machine)
            if self.chance.fault("crash", name, 0.15, state=state):
                self.crash(machine)
                await asyncio.sleep(self.chance.between(f"down {name}", 0.1, 6.0))
            elif self.chance.fault("pause", name, 0.08, state=state):
                await self._pause(machine)
            elif self.chance.fault("drain", name, 0.06, state=state):
                await self._drain(machine)
            elif self.chance.fault("clock jumps", name, 0.05) and machine.clock:
                machine.clock.error_s = self.chance.between(f"jump {name}", -30.0, 30.0)

    async def _pause(self, machine: Machine) -> None:
        process = machine.process
        if process is not None and not process.is_dead:
            self.loop.pause(process)
            await asyncio.sleep(self.chance.between(f"pause {process.name}", 0.1, 9.0))
            self.loop.wake(process)

    async def _drain(self, machine: Machine) -> None:
        process, engine = machine.process, machine.engine
        if process is None or process.is_dead or engine is None:
            return
        self.note("drains", process.name)
        stopping = self.loop.spawn(engine.stop(drain=True), process)
        await asyncio.wait((stopping,), timeout=STOP_MOST_S)
        if not stopping.done() and not process.is_dead:
            self.problems.append(f"{process.name} did not stop in {STOP_MOST_S} s")
        self.crash(machine)

    @staticmethod
    def _doing(machine: Machine) -> str:
        owners = machine.engine.owners.values() if machine.engine else ()
        if any(owner.dispatcher.leases.elsewhere for owner in owners):
            return "attempts are elsewhere"
        if any(owner.serving for owner in owners):
            busy = any(owner.dispatcher.busy for owner in owners)
            return "running attempts" if busy else "serving"
        return "claiming" if owners else "starting"
