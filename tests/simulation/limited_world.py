"""A world whose tasks may only run so many at a time under one key, and watch that.

Workers are killed and drained, answers are lost and things are said twice. A process
that stands still and then goes on is left out: what it runs on behind its end in the
log is not counted by a limit, and could not be told apart here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from sayiir_es import Flow, task
from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.task_context import get_task_context
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.testing.virtual_time import DeadlockError
from tests.captured_logs import without_logs
from tests.simulation import judge
from tests.simulation.chance import Chance
from tests.simulation.executors import Executors
from tests.simulation.fleet import LOOK_S, Fleet, SimClock
from tests.simulation.log import GIVES_UP_S, AppendFaults, records_of
from tests.simulation.loop import PROCESS, SimLoop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.kafka.reader import PartitionContent
    from tests.simulation.loop import Process

LIMIT = 3
TAKES_S = (1.0, 3.0)
LIMIT_S = 600.0
HAPPEN = frozenset(
    {
        *("answer lost", "crash", "drain", "heartbeat lost", "partition slow"),
        *("produce unanswered", "said twice", "unavailable", "pause asked"),
        *("cancel asked", "executor crash", "executor drain"),
        *("message lost", "message late", "message doubled"),
    }
)
"""The faults of these worlds."""


ENDS = frozenset({b"WorkflowCompleted", b"WorkflowCancelled", b"WorkflowFailed"})


class LimitedChance(Chance):
    """Draws only the faults that these worlds have."""

    def fault(self, kind: str, entity: str, share: float, *, state: str = "") -> bool:
        """Whether it fires now."""
        return kind in HAPPEN and super().fault(kind, entity, share, state=state)


@dataclass
class Usage:
    """How much of a limit was used while so many attempts wanted it, in seconds."""

    used_s: float = 0.0
    wanted_s: float = 0.0
    since_s: float = 0.0
    running: int = 0
    left: int = 0

    def move(self, at_s: float, *, running: int = 0, left: int = 0) -> None:
        """Something began or ended."""
        passed_s = at_s - self.since_s
        self.used_s += passed_s * min(self.running, LIMIT)
        self.wanted_s += passed_s * min(self.left, LIMIT)
        self.since_s = at_s
        self.running += running
        self.left += left


@dataclass
class LimitedWorld:
    """Instances of one task, each under one of some keys; `run` it once."""

    loop: SimLoop
    chance: Chance
    keys: int
    attempts: int
    partitions: int = 8
    workers: int = 4
    chaos: bool = True
    executors: int = 0
    """How many there are elsewhere; then no worker runs the task."""
    rate: str | None = None
    """Of each key; then limits are set, to lower ones, while attempts run."""
    running: int | None = None
    """How many runs go on, by a start queue of each key, which is set meanwhile."""
    problems: list[str] = field(default_factory=list[str])
    most: int = 0
    """The most that ever ran under one key at a time."""
    usage: dict[str, Usage] = field(default_factory=dict[str, Usage])
    executions: int = 0
    is_over: bool = False
    kinds: Counter[str] = field(default_factory=Counter[str])
    """How many events of each kind the log has."""
    _read: Counter[int] = field(default_factory=Counter[int])
    """How far the events of each partition were read."""
    _running: dict[str, dict[tuple[str, int], Process | None]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def __post_init__(self) -> None:
        self.faults = AppendFaults(self.chance)
        self.log = MemoryLog(
            self.partitions,
            faults=self.faults,
            now_ms=SimClock(self.loop).now_ms,
            log_id="sim",
        )
        self.fleet = Fleet(
            self.log,
            self.chance,
            self.loop,
            workers=self.workers,
            note=lambda *_: None,
            refused=self.faults.refused.append,
        )
        self.fleet.slots = self.attempts
        watch = self._watch

        @task(
            "work",
            concurrency_key="tenant:{workflow_input.tenant}",
            max_concurrency=LIMIT,
            execute="remote" if self.executors else "local",
            rate=self.rate,
        )
        async def work(data: dict[str, str]) -> str:
            return await watch(data["tenant"])

        flow = Flow("limited")
        if self.running is not None:
            flow = Flow(
                "limited",
                max_running=self.running,
                queue_key="{workflow_input.tenant}",
                on_full="wait",
            )
        workflow = flow.then(work).build()
        self.fleet.builds = ([workflow], [workflow])

    async def _watch(self, key: str) -> str:
        """What a task does: look how many run beside it, and take its time."""
        context = get_task_context()
        assert context is not None
        token = (context.instance_id, context.attempt)
        running, self.executions = self._running[key], self.executions + 1
        for other, process in list(running.items()):
            if process is not None and process.is_dead:
                del running[other]
                self.usage[key].move(self.loop.time(), running=-1)
        if token not in running:
            self.usage[key].move(self.loop.time(), running=1)
        running[token] = own = PROCESS.get()
        self.most = max(self.most, len(running))
        if len(running) > LIMIT:
            self.problems.append(f"{len(running)} ran under {key}: {sorted(running)}")
        try:
            await asyncio.sleep(self.chance.between(f"task {token}", *TAKES_S))
        finally:
            if running.get(token) is own:
                del running[token]
                self.usage[key].move(self.loop.time(), running=-1)
        return key

    @property
    def utilisation(self) -> float:
        """The share of their limits that the keys used while they wanted to."""
        used_s = sum(usage.used_s for usage in self.usage.values())
        return used_s / sum(usage.wanted_s for usage in self.usage.values())

    async def run(self) -> list[str]:
        """Start all, let things happen, then none; returns every violation."""
        await self.log.open(create=True)
        self.fleet.start(chaos=self.chaos)
        Executors(self.fleet, self.executors).start(chaos=self.chaos)
        instances = {
            f"i{number}": f"t{number % self.keys}" for number in range(self.attempts)
        }
        await asyncio.sleep(5.0)  # until all partitions are served
        for key, count in Counter(instances.values()).items():
            self.usage[key] = Usage(since_s=self.loop.time(), left=count)
        for instance_id, key in instances.items():
            await self._produce(
                instance_id,
                command="StartWorkflow",
                workflow="limited",
                input={"tenant": key},
            )
            if self.chance.fault("pause asked", instance_id, 0.1):
                self.loop.spawn(self._pause(instance_id), None)
            elif self.chance.fault("cancel asked", instance_id, 0.05):
                self.loop.spawn(self._cancel(instance_id), None)
        for limit in self._set_meanwhile():
            self.loop.spawn(self._set(limit), None)
        end_s, quiet_s = self.loop.time() + LIMIT_S, self.loop.time() + 40.0
        left = dict(instances)
        while left and self.loop.time() < end_s:
            self.chance.quiet = not self.chaos or self.loop.time() > quiet_s
            await asyncio.sleep(LOOK_S / 4)
            self._take_ended(left)
        self.chance.quiet = self.is_over = True
        for limit in self._set_meanwhile():
            await self._produce(limit, command="SetLimit")
        await asyncio.sleep(GIVES_UP_S + 8 * LOOK_S)
        self._judge(left)
        return self.problems

    def _take_ended(self, left: dict[str, str]) -> None:
        for partition in range(self.partitions):
            records = records_of(self.log, Topic.EVENTS, partition)
            for record in records[self._read[partition] :]:
                instance_id = (record.key or b"").decode()
                if dict(record.headers)["kind"] in ENDS and instance_id in left:
                    key = left.pop(instance_id)
                    self.usage[key].move(self.loop.time(), left=-1)
            self._read[partition] = len(records)

    def _judge(self, left: dict[str, str]) -> None:
        self.problems += self.fleet.problems
        self.problems += self.loop.failures
        self.problems += [f"{instance_id} never ended" for instance_id in left]
        self.problems += judge.of_log(self.log)
        kinds = self.kinds
        contents = judge.read_all(self.log).values()
        self._judge_rate(contents)
        for content in contents:
            kinds.update(event.kind for event in content.valid)
        for one, other in (
            ("PermitGranted", "PermitReturned"),
            ("PermitTaken", "PermitReleased"),
        ):
            if kinds[one] != kinds[other]:
                self.problems.append(f"{kinds[one]} {one}, but {kinds[other]} {other}")
        for machine in self.fleet.machines:
            for partition, owner in (
                machine.engine.owners.items() if machine.engine else ()
            ):
                if owner.serving:
                    self.problems += judge.of_store(self.log, partition, owner.store)
                    now = owner.observe()
                    left_over = any(map(any, now.runs_by_workflow.values()))
                    if now.permits_in_use or now.permits_waiting or left_over:
                        self.problems.append(f"{now} in {partition}, and all has ended")
                    if list(owner.store.with_permits()):
                        self.problems.append(f"permits are left in {partition}")

    def _judge_rate(self, contents: Iterable[PartitionContent]) -> None:
        """No span of time has more grants than the rate allows, by the log's times."""
        if self.rate is None:
            return
        rate = parse_rate(self.rate)
        granted: dict[str, list[int]] = defaultdict(list)
        for content in contents:
            for event in content.valid:
                if event.kind == "PermitGranted":
                    granted[event.instance_id].append(event.at)
        for key, times in granted.items():
            for first, last in itertools.combinations(range(len(times)), 2):
                passed = (times[last] - times[first]) * rate.count
                if (last - first + 1 - rate.burst) * rate.period_ms > passed:
                    self.problems.append(f"{key}: {times[first : last + 1]}")
                    return

    def _set_meanwhile(self) -> list[str]:
        """The ids of the limits, and start queues, that are set meanwhile."""
        limits = self.usage if self.rate is not None else ()
        queues = self.usage if self.running is not None else ()
        return [
            *(f"$limit/tenant:{key}" for key in limits),
            *(f"$queue/limited/{key}" for key in queues),
        ]

    async def _set(self, limit: str) -> None:
        """Set a limit anew now and then, and at last let it be what the task says.

        Or a start queue, of which no length is set: nobody is refused, so that all end.
        """
        name, largest = "max_concurrency", LIMIT
        if limit.startswith("$queue/"):
            name, largest = "max_running", 2 * (self.running or 0)
        for _ in range(6):
            await asyncio.sleep(self.chance.between(f"set {limit}", 0.5, 6.0))
            if self.is_over:
                return
            most = int(self.chance.between(f"set {limit}", 0.0, largest + 0.99))
            await self._produce(limit, command="SetLimit", **{name: most})
        await self._produce(limit, command="SetLimit")

    async def _pause(self, instance_id: str) -> None:
        await asyncio.sleep(self.chance.between(f"pause {instance_id}", 0.0, 20.0))
        await self._produce(instance_id, command="PauseWorkflow")
        await asyncio.sleep(self.chance.between(f"pause {instance_id}", 0.0, 5.0))
        while self.loop.time() < LIMIT_S:
            await self._produce(instance_id, command="UnpauseWorkflow")
            await asyncio.sleep(10.0)

    async def _cancel(self, instance_id: str) -> None:
        await asyncio.sleep(self.chance.between(f"cancel {instance_id}", 0.0, 20.0))
        await self._produce(instance_id, command="CancelWorkflow")

    async def _produce(self, instance_id: str, **body: object) -> None:
        body["instance_id"] = instance_id
        key = instance_id.encode()
        record = NewRecord(key=key, value=json.dumps(body).encode())
        home = partition_of(key, self.partitions)
        await self.log.produce(Topic.COMMANDS, home, record)


@without_logs()
def run_limited(  # noqa: PLR0913 (one parameter a trait of the world)
    seed: int,
    *,
    keys: int,
    attempts: int,
    chaos: bool,
    executors: int = 0,
    rate: str | None = None,
    running: int | None = None,
) -> LimitedWorld:
    """Run one world to its end; its `problems` are what broke."""
    chance = LimitedChance(seed)
    if not chaos:
        chance.intensity = 0.0
    loop = SimLoop(Random(seed))  # noqa: S311 (a simulation's)
    asyncio.set_event_loop(loop)
    world = LimitedWorld(
        loop,
        chance,
        keys,
        attempts,
        chaos=chaos,
        executors=executors,
        rate=rate,
        running=running,
    )
    try:
        loop.run_until_complete(world.run())
    except DeadlockError as error:
        world.problems.append(str(error))
    finally:
        loop.discard_tasks()
        asyncio.set_event_loop(None)
        loop.close()
    return world
