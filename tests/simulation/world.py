"""A world of workers on a simulated log, with users who start and signal workflows.

Two phases: faults for some time, then none. A bounded time later every instance must
have ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import BODY
from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.commands import ORIGIN_HEADER, encode_command_avro
from tests import random_programs as programs
from tests.simulation import features, judge, rules
from tests.simulation.executors import LEASE_MS, Executors
from tests.simulation.fleet import LOOK_S, Fleet, SimClock
from tests.simulation.log import GIVES_UP_S, AppendFaults, records_of
from tests.simulation.loop import PROCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext
    from tests.kafka.reader import PartitionContent
    from tests.simulation.chance import Chance
    from tests.simulation.loop import SimLoop

CommandFields = dict[str, object]
"""A command as JSON."""

FAULTS_S = 60.0
LIMIT_S = 300.0
"""Virtual seconds after the faults within which everything must have ended."""

TAKES_MOST_S = 9.0

IMPATIENT_RETRIES = 8

FORGED_ORIGINS = (b"0@999999999999999999", b"1@900000000000000000", b"77@4")
"""Headers that any sender may write: of a command that nobody forwarded."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be simulated."""

    workers: int = 2
    partitions: int = 2
    instances: int = 4
    nodes: int = 12
    graphs: Sequence[Graph] | None = None
    chaos: bool = True
    """Whether there are faults; without them only a sweep kills."""
    executors: int = 0
    """How many there are elsewhere; then about half of all tasks run only there."""
    limited: bool = False
    """Whether about half of all tasks need a permit."""
    children: bool = False
    """Whether there are children that are instances of their own."""
    forked_at: int = 0
    """The event at which each instance is forked; 0: forks are drawn."""


TIME_OUT_MS = (3_000, 20_000)
"""The time-outs of hurried runs, in milliseconds."""


class World:
    """The world of one seed; `run` it once."""

    def __init__(self, plan: Plan, chance: Chance, loop: SimLoop) -> None:
        self.plan = plan
        self.chance = chance
        self.loop = loop
        self.faults = AppendFaults(chance)
        self.log = MemoryLog(
            plan.partitions,
            faults=self.faults,
            now_ms=SimClock(loop).now_ms,
            log_id="sim",
        )
        self.executions: list[judge.Execution] = []
        self.outputs: dict[str, object] = {}
        self.cancelled: set[str] = set()
        self.notes = hashlib.sha256()
        self._paused: list[str] = []
        self._signals: dict[str, list[CommandFields]] = {}
        self._retried: set[str] = set()
        self._sources: dict[str, str] = {}
        """The source of each fork that was asked for, by its new id."""
        self._graphs: dict[str, Graph] = {}
        self._failed: dict[tuple[str, str], int] = {}
        self._workflows = self._draw_workflows()
        self.fleet = Fleet(
            self.log,
            chance,
            loop,
            workers=plan.workers,
            note=self.note,
            refused=self.faults.refused.append,
        )
        # The newer one differs in what changes nothing but the digests of graphs.
        newer = [replace(one.graph, metadata='{"build":2}') for one in self._workflows]
        children = [features.child_workflow(self)] if plan.children else []
        self.fleet.builds = (
            [*self._workflows, *children],
            [*(programs.workflow_of(graph, self) for graph in newer), *children],
        )

        self.executors = Executors(self.fleet, plan.executors)
        if plan.executors:
            self.fleet.lease_ms = LEASE_MS
        self.fleet.slow_commands = plan.limited or plan.children

    # --- the witness of executions ----------------------------------------------------

    def begins(self, context: TaskExecutionContext) -> float:
        """A task function begins; returns how long it takes."""
        instance, path = context.instance_id, programs.path_of(context)
        token = (instance, context.run, path, context.attempt)
        partition = partition_of(instance.encode(), self.plan.partitions)
        end = len(records_of(self.log, Topic.EVENTS, partition))
        process = PROCESS.get()
        self.executions.append(
            judge.Execution(
                token,
                end,
                timed=context.node.timeout_ms is not None,
                elsewhere=process is not None and process.name.startswith("e"),
            )
        )
        self.note("runs", *token)
        entity = f"task {instance}/{path}/{context.attempt}"
        if self.chance.fault("task slow", entity, 0.1):
            return self.chance.between(entity, 0.0, TAKES_MOST_S)
        return self.chance.between(entity, 0.0, 0.02)

    def fails(self, context: TaskExecutionContext) -> bool:
        """Whether it fails: as often as its retries allow, sometimes for good."""
        instance, path = context.instance_id, programs.path_of(context)
        failure_count = self._failed.get((instance, path), 0)
        entity = f"{instance}/{path}"
        if context.node.retry is None:
            # What is caught gives another output than the model says.
            is_caught = BODY in path.split("/")
            # Where what was done can be undone, there is to be more of it.
            fails_often = self._graphs[instance].has_compensations
            share = 0.08 if fails_often else 0.02
            if failure_count or is_caught:
                return False
            if not self.chance.fault("task fails for good", entity, share):
                return False
            self._failed[instance, path] = 1
            return True
        # A fork goes on with the attempts of its source, which failed elsewhere.
        failure_count = max(failure_count, context.attempt - 1)
        if (
            failure_count >= programs.RETRIES
            or self.chance.number(f"fails {entity}") > 0.5
        ):
            return False
        self._failed[instance, path] = failure_count + 1
        return True

    def note(self, *what: object) -> None:
        """Add what happened, and when, to the notes: equal seeds give equal notes."""
        self.notes.update(repr((round(self.loop.time(), 9), *what)).encode())

    def event_count(self) -> int:
        """How many valid events are in the log."""
        return sum(len(content.valid) for content in judge.read_all(self.log).values())

    # --- the run ----------------------------------------------------------------------

    async def run(self) -> list[str]:
        """Run with faults, then without, then check; returns every violation."""
        await self.log.open(create=True)
        self.fleet.start(chaos=self.plan.chaos)
        self.executors.start(chaos=self.plan.chaos)
        if self.plan.executors and self.plan.chaos:
            self.loop.spawn(self._forge(), None)
        watching = self.loop.spawn(self._retry_now_and_then(), None)
        users = [
            self.loop.spawn(self._use(workflow, instance_id), None)
            for instance_id, workflow in self._instances()
        ]
        await asyncio.sleep(FAULTS_S if self.plan.chaos else 0.0)
        await asyncio.gather(*users)
        watching.cancel()
        self.chance.quiet = True
        end_s = self.loop.time() + LIMIT_S
        while self._is_open() and self.loop.time() < end_s:
            # A pause on the wrong partition may have been decided after its unpause.
            for instance_id in self._paused:
                again: CommandFields = {
                    "command": "UnpauseWorkflow",
                    "instance_id": instance_id,
                }
                await self._produce(instance_id, again)
            await self._retry_failed()
            await asyncio.sleep(LOOK_S)
        # If an answer was lost just before the end, its owner must still claim again.
        await asyncio.sleep(GIVES_UP_S + 4 * LOOK_S)
        return self._judge()

    def _is_open(self) -> bool:
        partitions = judge.read_all(self.log)
        self._meet_forks(partitions)
        return bool(
            [*judge.of_outputs(partitions, self.outputs, frozenset(self.cancelled))]
            or judge.of_topic(judge.commands_of(self.log), partitions, self._graphs)
            or [*rules.of_children(partitions), *rules.of_permits(partitions)]
        )

    def _judge(self) -> list[str]:
        partitions = judge.read_all(self.log)
        for content in partitions.values():
            for event in content.valid:
                self.note(event.offset, event.kind, event.at)
        problems = [*self.fleet.problems, *self.loop.failures, *self.faults.refused]
        problems += judge.of_topic(
            judge.commands_of(self.log), partitions, self._graphs
        )
        problems += judge.of_outputs(
            partitions, self.outputs, frozenset(self.cancelled)
        )
        problems += judge.of_log(self.log)
        problems += rules.of_children(partitions)
        problems += rules.of_permits(partitions)
        problems += judge.of_executions(partitions, self.executions)
        problems += judge.of_starts(self.log)
        problems += judge.of_handouts(partitions, self.executions)
        problems += judge.of_leases(self.log, partitions)
        # A pause may outlast the world: then its owner knows nothing of its last batch.
        awake = [m for m in self.fleet.machines if m.process and not m.process.paused]
        for engine in [machine.engine for machine in awake if machine.engine]:
            for partition, owner in engine.owners.items():
                if owner.serving and partition not in engine.stopped:
                    problems += judge.of_store(self.log, partition, owner.store)
        return problems

    # --- users ------------------------------------------------------------------------

    async def _retry_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.chance.between("watch", 1.0, 6.0))
            await self._retry_failed()

    async def _retry_failed(self) -> None:
        """Retry what has failed, and repeat signals that may have been rejected."""
        partitions = judge.read_all(self.log)
        self._meet_forks(partitions)
        failed_ids = judge.failed_instances(partitions)
        self._retried |= failed_ids
        for instance_id in sorted(self._retried):
            if instance_id in failed_ids:
                retry: CommandFields = {
                    "command": "RetryWorkflow",
                    "instance_id": instance_id,
                }
                await self._produce(instance_id, retry)
            for signal in self._signals.get(instance_id, []):
                await self._produce(instance_id, signal)

    def _meet_forks(self, partitions: Mapping[int, PartitionContent]) -> None:
        """A fork that began is to end as its source; it needs the signals, too."""
        for fork_id in sorted(judge.forked_instances(partitions)):
            source_id = self._sources[fork_id]
            if fork_id in self.outputs:
                continue
            self.outputs[fork_id] = self.outputs[source_id]
            self._retried.add(fork_id)
            # By the ids of their commands the fork knows those that it has copied.
            self._signals[fork_id] = [
                {**signal, "instance_id": fork_id}
                for signal in self._signals.get(source_id, [])
            ]
            if source_id in self._paused:
                self._paused.append(fork_id)
            if source_id in self.cancelled:
                self.cancelled.add(fork_id)

    def _draw_workflows(self) -> list[Workflow]:
        chance = Random(self.chance.seed)  # noqa: S311 (a simulation's)
        graphs = self.plan.graphs or [
            _hurried(chance, programs.random_graph(chance, name, self.plan.nodes))
            for name in (f"p{number}" for number in range(self.plan.instances))
        ]
        if self.plan.children:
            graphs = [features.with_children(graph) for graph in graphs]
        if self.plan.executors:
            graphs = [features.with_remote_tasks(graph) for graph in graphs]
        if self.plan.limited:
            graphs = [features.with_limits(graph) for graph in graphs]
        return [programs.workflow_of(graph, self) for graph in graphs]

    def _instances(self) -> list[tuple[str, Workflow]]:
        instances = [(f"i{n}", workflow) for n, workflow in enumerate(self._workflows)]
        for instance_id, workflow in instances:
            value = f"in {instance_id}"
            self._graphs[instance_id] = workflow.graph
            self.outputs[instance_id] = programs.output_of(workflow.graph, value)
        return instances

    async def _forge(self) -> None:
        """Somebody who knows of an attempt elsewhere makes up its outcome."""
        while not self.chance.quiet:
            await asyncio.sleep(self.chance.between("forger", 0.5, 4.0))
            if not self.chance.fault("outcome forged", "forger", 0.3):
                continue
            handouts = list(rules.handouts_of(judge.read_all(self.log)))
            if not handouts:
                continue
            instance_id, run, path, attempt = handouts[-1]
            command = RecordOutcome(
                instance_id=instance_id,
                command_id=f"forged-{self.loop.time()}",
                run=run,
                path=path,
                attempt=attempt,
                result="completed",
                output=b'"forged"',
                worker="forger",
                secret=bytes(16),
            )
            await self.log.produce(
                Topic.COMMANDS,
                partition_of(instance_id.encode(), self.plan.partitions),
                NewRecord(key=instance_id.encode(), value=encode_command_avro(command)),
            )

    async def _use(self, workflow: Workflow, instance_id: str) -> None:
        """A user: starts, signals, sometimes pauses, cancels or repeats a command."""
        start: CommandFields = {
            "command": "StartWorkflow",
            "workflow": workflow.graph.name,
            "definition_hash": workflow.definition_hash,
            "input": f"in {instance_id}",
        }
        signals: list[CommandFields] = [
            {
                "command": "SendSignal",
                "signal": name,
                "payload": programs.payload_of(name),
            }
            for name in programs.signals_of(workflow.graph)
        ]
        entity = f"user {instance_id}"
        commands: list[CommandFields] = [start, *signals]
        if self.chance.number(entity) < 0.3:
            commands = [*signals, start]
        if self.chance.fault("pause asked", instance_id, 0.1):
            commands.append({"command": "PauseWorkflow"})
            commands.append({"command": "UnpauseWorkflow"})
            self._paused.append(instance_id)
        if self.chance.fault("cancel asked", instance_id, 0.06):
            commands.append({"command": "CancelWorkflow"})
            self.cancelled.add(instance_id)
        if self.chance.fault("migrate asked", instance_id, 0.2):
            commands.append({"command": "MigrateWorkflow", "to": "latest"})
        for number, command in enumerate(commands):
            if self.plan.chaos:
                await asyncio.sleep(self.chance.between(entity, 0.0, 3.0))
            body = {
                **command,
                "instance_id": instance_id,
                "command_id": f"{instance_id}-{number}",
            }
            await self._produce(instance_id, body)
            if command in signals:
                self._signals.setdefault(instance_id, []).append(body)
            if self.chance.fault("said twice", instance_id, 0.1):
                await self._produce(instance_id, body)
            if self.chance.fault("impatient", instance_id, 0.05):
                await self._retry_at_once(instance_id, number)
        await self._fork_if_asked(instance_id, workflow)

    async def _fork_if_asked(self, instance_id: str, workflow: Workflow) -> None:
        if self.plan.forked_at:
            await self._fork(instance_id, workflow, self.plan.forked_at)
        elif self.chance.fault("fork asked", instance_id, 0.2):
            drawn = self.chance.number(f"fork {instance_id}")
            await self._fork(instance_id, workflow, 1 + int(drawn**2 * 24))

    async def _retry_at_once(self, instance_id: str, number: int) -> None:
        """Many commands at one time, whose answers are larger than they are."""
        self._retried.add(instance_id)  # it may have failed, unnoticed by the watch
        for again in range(IMPATIENT_RETRIES):
            retry: CommandFields = {
                "command": "RetryWorkflow",
                "instance_id": instance_id,
                "command_id": f"{instance_id}-{number}-{again}",
            }
            await self._produce(instance_id, retry)

    async def _fork(self, source_id: str, workflow: Workflow, at: int) -> None:
        """Ask for a fork at an event, which the source may not have (yet)."""
        fork_id = f"{source_id}-fork"
        self._sources[fork_id] = source_id
        self._graphs[fork_id] = workflow.graph
        body: CommandFields = {
            "command": "ForkWorkflow",
            "instance_id": fork_id,
            "command_id": fork_id,
            "source_instance_id": source_id,
            "source_sequence": at,
        }
        await self._produce(fork_id, body)
        if self.chance.fault("said twice", fork_id, 0.3):
            await self._produce(fork_id, body)

    async def _produce(self, instance_id: str, body: CommandFields) -> None:
        headers: tuple[tuple[str, bytes], ...] = ()
        if self.chance.fault("origin forged", instance_id, 0.1):
            drawn = self.chance.number(f"origin {instance_id}")
            headers = ((ORIGIN_HEADER, FORGED_ORIGINS[int(drawn * 3)]),)
        record = NewRecord(
            key=instance_id.encode(), value=json.dumps(body).encode(), headers=headers
        )
        home = partition_of(instance_id.encode(), self.plan.partitions)
        if self.chance.fault("sent astray", instance_id, 0.05):
            home = (home + 1) % self.plan.partitions
        await self.log.produce(Topic.COMMANDS, home, record)


def _hurried(chance: Random, graph: Graph) -> Graph:
    """The graph, now and then with less time than it may need: it is retried then."""
    if graph.timeout_ms is None or chance.random() < 0.5:
        return graph
    return replace(graph, timeout_ms=chance.randint(*TIME_OUT_MS))
