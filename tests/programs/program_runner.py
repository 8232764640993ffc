"""Runs random programs as instances on one log, and kills owner after owner.

Every owner is assigned all partitions by a fixed membership, and none leaves: the next
one just claims. At the end the topic is checked by a reader that shares no code with
the engine, and each output by the model.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.port import Assignment, NewRecord, Topic
from tests import random_programs
from tests.kafka.reader import TERMINAL, PartitionContent
from tests.programs.severed import SeveredLog
from tests.simulation import judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, Reader

LIMIT_S = 60.0
LOOK_S = 0.2
SLOTS = 8


class FixedMembership:
    """All partitions, until `leave`; see `log.port.Membership`."""

    exclusive = False

    def __init__(self, partitions: int) -> None:
        self._all = frozenset(range(partitions))

    async def join(self, *, briefly: bool = False) -> None:
        """Nothing to do."""

    async def leave(self) -> None:
        """Give all back."""
        self._all = frozenset[int]()

    def refuse(self, partitions: frozenset[int]) -> None:
        """Change nothing: the assignment is the test's."""

    def current(self) -> Assignment:
        """All partitions, with a heartbeat of now."""
        now_s = asyncio.get_running_loop().time()
        return Assignment(partitions=self._all, epoch=1, fresh_at_s=now_s, lapses=0)

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait for ever, but for the first call: nothing changes."""
        if since_epoch >= 1:
            await asyncio.get_running_loop().create_future()
        return self.current()

    def introduce(self, owner_id: str) -> None:
        """Nothing to note: who lives is not told."""

    def living(self) -> frozenset[str] | None:
        """Not known."""
        return None

    def hold(self, partition: int) -> None:
        """Nothing to tell: nobody else is ever assigned anything."""

    def prepare(self, partitions: frozenset[int]) -> None:
        """Nothing to tell: no partition is expected."""

    def release(self, partition: int) -> None:
        """Nothing to tell, as for `hold`."""


class ProgramRunner:
    """Programs on a log, their owners, and what was executed."""

    def __init__(self, log: Log, chance: Random, programs: int) -> None:
        self.log = log
        self.executions: list[judge.Execution] = []
        self.contents = {p: PartitionContent() for p in range(log.partitions)}
        self._chance = chance
        self._failed: dict[tuple[str, str], int] = {}
        self._membership = FixedMembership(log.partitions)
        self._engines: list[WorkerEngine] = []
        """All of them: the tasks of killed owners must be referred to."""
        self.graphs: dict[str, Graph] = {
            f"i{number}": random_programs.random_graph(chance, f"p{number}")
            for number in range(programs)
        }
        self._workflows: Sequence[Workflow] = [
            random_programs.workflow_of(graph, self) for graph in self.graphs.values()
        ]
        self._readers: dict[int, Reader] = {}

    # --- the witness of executions ----------------------------------------------------

    def begins(self, context: TaskExecutionContext) -> float:
        """An execution begins; it takes no time, or a moment."""
        instance, _, path = context.idempotency_key.split("/", 2)
        token = (instance, context.run, path, context.attempt)
        # Whether the log had made it due before is checked by the simulation.
        self.executions.append(judge.Execution(token, 1 << 60, timed=False))
        return self._chance.choice((0.0, 0.0, 0.01))

    def fails(self, context: TaskExecutionContext) -> bool:
        """Whether an execution of a task fails now: only where it has retries."""
        if context.node.retry is None:
            return False
        instance, _, path = context.idempotency_key.split("/", 2)
        failed = self._failed.get((instance, path), 0)
        if failed >= random_programs.RETRIES or self._chance.random() < 0.5:
            return False
        self._failed[instance, path] = failed + 1
        return True

    # --- the run ----------------------------------------------------------------------

    async def run(self, kills: int) -> list[str]:
        """Start all, kill so many owners, let one finish; returns all violations."""
        for partition in self.contents:
            reader = await self.log.reader(Topic.EVENTS, partition, 0)
            self._readers[partition] = reader
        async with asyncio.TaskGroup() as users:
            for instance_id, graph in self.graphs.items():
                users.create_task(self._use(instance_id, graph))
            for _ in range(kills):
                severed = asyncio.Event()
                appends = self._chance.randint(3, 9) * self.log.partitions
                log = SeveredLog(self.log, appends, severed.set)
                executor = await self._own(log)
                async with asyncio.timeout(LIMIT_S):
                    await self._until(severed)
                await executor.close()
                if self._all_ended():
                    break
            await self._own(self.log)
            async with asyncio.timeout(LIMIT_S):
                await self._until(None)
        violations = await self._judge()
        await self._discard_tasks()
        return violations

    async def _discard_tasks(self) -> None:
        """Cancel the tasks that killed owners left."""
        await self._membership.leave()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LIMIT_S)
        self._engines.clear()

    async def _own(self, log: Log) -> LocalExecutor:
        name = f"w{len(self._engines)}"
        executor = LocalExecutor(SLOTS, worker_id=name)

        async def open_store(partition: int) -> SnapshotStore:
            del partition
            return MemoryStore()

        engine = WorkerEngine(
            ports=Ports(
                log=log, clock=SystemClock(), executor=executor, registry=Registry()
            ),
            membership=self._membership,
            open_store=open_store,
            settings=WorkerSettings(worker_id=name, incarnation=name, build="test"),
        )
        self._engines.append(engine)
        starting = asyncio.create_task(engine.start(self._workflows))
        await asyncio.wait((starting,), timeout=LIMIT_S)
        return executor

    async def _use(self, instance_id: str, graph: Graph) -> None:
        start: dict[str, object] = {
            "command": "StartWorkflow",
            "workflow": graph.name,
            "definition_hash": graph.definition_hash,
            "input": instance_id,
        }
        signals: list[dict[str, object]] = [
            {
                "command": "SendSignal",
                "signal": name,
                "payload": random_programs.payload_of(name),
            }
            for name in random_programs.signals_of(graph)
        ]
        commands = [start, *signals]
        self._chance.shuffle(commands)
        home = partition_of(instance_id.encode(), self.log.partitions)
        for command in commands:
            value = json.dumps({**command, "instance_id": instance_id}).encode()
            record = NewRecord(key=instance_id.encode(), value=value)
            await self.log.produce(Topic.COMMANDS, home, record)

    # --- reading ----------------------------------------------------------------------

    async def _until(self, event: asyncio.Event | None) -> None:
        """Read on until the event is set, or all instances have ended."""
        while not self._all_ended() and not (event and event.is_set()):
            await self._read_all(LOOK_S / len(self._readers))

    async def _read_all(self, wait_s: float) -> None:
        for partition, reader in self._readers.items():
            chunk = await reader.read(max_wait_s=wait_s)
            for record in () if chunk is None else chunk.records:
                judge.take(self.contents[partition], partition, record)

    def _all_ended(self) -> bool:
        ended = {
            event.instance_id
            for content in self.contents.values()
            for event in content.valid
            if event.kind in TERMINAL
        }
        return ended >= set(self.graphs)

    async def _judge(self) -> list[str]:
        await self._read_all(LOOK_S)
        for reader in self._readers.values():
            await reader.close()
        commands = {
            partition: set(range(await self.log.end_offset(Topic.COMMANDS, partition)))
            for partition in self.contents
        }
        outputs = {
            instance_id: random_programs.output_of(graph, instance_id)
            for instance_id, graph in self.graphs.items()
        }
        return [
            *judge.of_topic(commands, self.contents, self.graphs),
            *judge.of_outputs(self.contents, outputs, frozenset()),
            *judge.of_executions(self.contents, self.executions),
        ]
