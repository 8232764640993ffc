"""A worker that cannot serve a partition: it gives it up, says why, and tries again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    ClockRefusedError,
    StoreError,
    UnknownEventError,
    WorkflowError,
)
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.capabilities import (
    REASON_LENGTH_MAX,
    REFUSALS_MAX,
    Capabilities,
    Refusal,
    read_capabilities,
)
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryAppender, MemoryLog
from sayiir_es.log.port import NewRecord, OpenTransaction, Topic
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from tests.captured_logs import capture_logs
from tests.engine.test_membership import ManualMembership

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from sayiir_es.engine.store.port import SnapshotStore

LIMIT_S = 100
"""More waits than any of these scenarios takes."""

FULL = Refusal(code="store", reason="expected room on the disk, but there is none")


@dataclass
class NotedMembership(ManualMembership):
    """What was refused, beside an assignment that the test sets."""

    refused: list[frozenset[int]] = field(default_factory=list[frozenset[int]])

    def refuse(self, partitions: frozenset[int]) -> None:
        """Note it."""
        self.refused.append(partitions)


class FullStore(MemoryStore):
    """A store on a full disk."""

    async def flush(self, *, durable: bool = False) -> None:
        """Fail."""
        del durable
        raise StoreError(FULL.reason)


@dataclass
class Disk:
    """Opens the stores of one worker; `usable` and `full` are the test's."""

    usable: bool = True
    full: bool = False
    opened: int = 0

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open an empty store."""
        del partition
        self.opened += 1
        if not self.usable:
            raise StoreError(FULL.reason)
        return FullStore() if self.full else MemoryStore()


@dataclass
class Scene:
    """A worker of two partitions, on virtual time."""

    loop: VirtualLoop
    log_class: type[MemoryLog]
    membership: NotedMembership = field(default_factory=NotedMembership)
    disk: Disk = field(default_factory=Disk)

    def __post_init__(self) -> None:
        clock = VirtualClock(self.loop)
        self.log = self.log_class(2, now_ms=clock.now_ms)
        self.engine = WorkerEngine(
            ports=Ports(
                log=self.log,
                clock=clock,
                executor=LocalExecutor(1, worker_id="w"),
                registry=Registry(),
            ),
            membership=self.membership,
            open_store=self.disk,
            settings=WorkerSettings(worker_id="w", incarnation="1", build="test"),
        )

    @property
    def refused(self) -> set[int]:
        """What the worker refuses now."""
        return set(self.engine.refusals.by_partition)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let virtual time pass until a condition holds."""
        for _ in range(LIMIT_S):
            if condition():
                return
            await self.a_second()
        raise AssertionError("expected a condition within the limit, but it never held")

    async def a_second(self) -> None:
        """Let a second pass."""
        done = self.loop.create_future()
        self.loop.call_later(1.0, done.set_result, None)
        await done

    async def announced(self) -> dict[int, Refusal]:
        """What a client reads that the worker refuses."""
        registry = self.engine.definitions
        await registry.refresh()
        workers = self.engine.registry.workers()
        return dict(workers["w/1"].refusals)


def play(
    scenario: Callable[[Scene], Awaitable[None]], log: type[MemoryLog] = MemoryLog
) -> None:
    """Run a scenario with a started worker, and stop it."""
    loop = VirtualLoop()

    async def body() -> None:
        scene = Scene(loop, log)
        await scene.log.open(create=True)
        await scene.engine.start([])
        await scenario(scene)
        await scene.engine.stop(drain=False)

    try:
        loop.run_until_complete(body())
    finally:
        loop.close()


def test_a_disk_that_cannot_be_used_gives_every_partition_up_and_is_announced() -> None:
    async def scenario(scene: Scene) -> None:
        scene.disk.usable = False
        scene.membership.assign(0, 1)
        await scene.until(lambda: scene.refused == {0, 1})
        assert scene.membership.refused[-1] == {0, 1}
        assert scene.engine.refusals.useless.is_set()
        assert await scene.announced() == {0: FULL, 1: FULL}
        assert scene.engine.stopped == {}

    play(scenario)


def test_a_store_is_tried_until_it_opens_wherever_its_partition_is() -> None:
    async def scenario(scene: Scene) -> None:
        scene.disk.usable = False
        scene.membership.assign(0, 1)
        await scene.until(lambda: scene.refused == {0, 1})
        scene.membership.assign()
        scene.disk.usable = True
        await scene.until(lambda: not scene.refused)
        assert scene.membership.refused[-1] == frozenset()
        assert not scene.engine.refusals.useless.is_set()
        assert await scene.announced() == {}
        assert scene.engine.owners == {}, "it is not assigned here"
        scene.membership.assign(1)
        await scene.until(lambda: scene.engine.owners.keys() == {1})
        await scene.until(lambda: scene.engine.owners[1].serving)

    play(scenario)


def test_what_nobody_else_takes_is_served_when_the_disk_can_be_used() -> None:
    async def scenario(scene: Scene) -> None:
        scene.disk.usable = False
        scene.membership.assign(0)
        await scene.until(lambda: scene.refused == {0})
        scene.disk.usable = True
        await scene.until(lambda: 0 in scene.engine.owners)
        await scene.until(lambda: scene.engine.owners[0].serving)
        assert not scene.refused

    play(scenario)


def test_a_disk_that_is_full_is_refused_at_the_second_failure_not_at_the_first() -> (
    None
):
    async def scenario(scene: Scene) -> None:
        scene.disk.full = True
        scene.membership.assign(0)
        await scene.until(lambda: scene.refused == {0})
        assert scene.disk.opened >= 2
        scene.membership.assign()
        scene.disk.full = False
        await scene.until(lambda: not scene.refused)

    play(scenario)


def test_a_partition_that_stopped_is_refused_for_good() -> None:
    async def scenario(scene: Scene) -> None:
        await _append_unreadable(scene.log)
        scene.membership.assign(0, 1)
        await scene.until(lambda: scene.refused == {0})
        assert scene.membership.refused == [{0}]
        assert scene.engine.stopped.keys() == {0}
        (refusal,) = (await scene.announced()).values()
        assert refusal.code == "forged_event"
        assert "0@0" in refusal.reason
        assert not scene.engine.refusals.useless.is_set(), "no machine can read it"

    play(scenario)


async def _append_unreadable(log: MemoryLog) -> None:
    appender = await log.appender(0)
    await appender.append([NewRecord(key=b"i", value=b"what?")])


class ClockRefusingAppender(MemoryAppender):
    """An appender whose broker does not believe this machine's clock."""

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Refuse."""
        del batch
        raise ClockRefusedError("expected a clock that is right, but it is not")


class ClockRefusingLog(MemoryLog):
    """A log that refuses every time of this machine."""

    async def appender(self, partition: int) -> MemoryAppender:
        """One that refuses."""
        return ClockRefusingAppender(self._topics, partition, lambda: None)


def test_a_clock_that_the_log_refuses_gives_the_partition_up() -> None:
    async def scenario(scene: Scene) -> None:
        scene.membership.assign(0)
        await scene.until(lambda: scene.refused == {0})
        assert scene.engine.refusals.by_partition[0].code == "clock_refused"
        assert scene.engine.refusals.useless.is_set()

    play(scenario, ClockRefusingLog)


class BlockedLog(MemoryLog):
    """A log whose commands a transaction of another program holds back."""

    async def open_transactions(
        self, topic: Topic, partition: int
    ) -> tuple[OpenTransaction, ...]:
        """One on partition 1, as old as the clock."""
        assert topic is Topic.COMMANDS
        open_one = OpenTransaction(producer_id=4711, offset=3, last_written_ms=0)
        return (open_one,) if partition == 1 else ()

    async def held_back(
        self, topic: Topic, partitions: Iterable[int]
    ) -> tuple[int, ...]:
        """Partition 1."""
        assert topic is Topic.COMMANDS
        return tuple(partition for partition in partitions if partition == 1)


def test_commands_that_a_transaction_blocks_are_logged_once() -> None:
    async def scenario(scene: Scene) -> None:
        scene.membership.assign(0, 1)
        for _ in range(LIMIT_S):
            await scene.a_second()

    with capture_logs() as lines:
        play(scenario, BlockedLog)
    (line,) = [line for line in lines if line["event"] == "commands.blocked"]
    assert (line["partition"], line["offset"]) == (1, 3)
    assert "open transaction of producer id 4711" in line["reason"]


def test_an_announcement_is_bounded_and_holds_no_data_of_a_workflow() -> None:
    bug = Refusal.of(KeyError("a customer's name"))
    assert (bug.code, "customer" in bug.reason) == ("bug", False)
    long = Refusal.of(UnknownEventError("x" * 1_000))
    assert len(long.reason) == REASON_LENGTH_MAX
    assert Refusal.of(WorkflowError("\ud800")).reason == "\\ud800"
    many = dict.fromkeys(range(REFUSALS_MAX + 5), long)
    capabilities = Capabilities(graphs=frozenset(), tags=None, refusals=many)
    assert len(read_capabilities(capabilities.record()).refusals) == REFUSALS_MAX


def test_an_announcement_of_an_earlier_build_refuses_nothing() -> None:
    assert read_capabilities(b'{"graphs": [], "tags": null}').refusals == {}
