"""A take-over of many instances and timers shares the loop with everything else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.tasks import task
from sayiir_es.core.model.events import DelayElapsed, PartitionClaimed, TaskCompleted
from sayiir_es.engine.clock import ManualClock
from sayiir_es.engine.owner.recovery import Recovery
from sayiir_es.engine.owner.timers import HELD_MAX, LOADED_MAX, Timers
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.port import Topic
from tests.engine.harness import EngineHarness, event_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Rows

Entry = TypeVar("Entry")

INSTANCES = 600
TURN_UNITS = 20
LAST = "h99"
"""The last of those that an attempt waits in, in the order of ids."""
HOUR_MS = 3_600_000
LIMIT_S = 60.0
ENDS = {"WorkflowCompleted", "WorkflowCancelled"}


class CountingStore(MemoryStore):
    """Counts what is looked at between two turns of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.watching: asyncio.Task[None] | None = None
        self._instances_seen: set[str] = set()
        self._index_entries = 0
        self.instances_most = 0
        self.index_entries_most = 0

    async def _watch(self) -> None:
        """Note, at each turn, what the turn before looked at."""
        while True:
            await asyncio.sleep(0)
            self.instances_most = max(self.instances_most, len(self._instances_seen))
            self.index_entries_most = max(self.index_entries_most, self._index_entries)
            self._instances_seen.clear()
            self._index_entries = 0

    def rows(self, instance_id: str) -> Rows:
        """The rows of an instance."""
        self._instances_seen.add(instance_id)
        return super().rows(instance_id)

    def owing(self) -> Iterator[str]:
        """Instances that may owe something; a tenure begins, its fold has ended."""
        self._instances_seen.clear()
        self.watching = self.watching or asyncio.create_task(self._watch())
        return self._counted(super().owing())

    def timers(
        self, until_ms: int, *, after_ms: int = -1
    ) -> Iterator[tuple[int, str, str]]:
        """Timers in a span of time."""
        return self._counted(super().timers(until_ms, after_ms=after_ms))

    def _counted(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            self._index_entries += 1
            yield entry


def held(*, ends: bool) -> Workflow:
    @task("held")
    async def run(_: object) -> None:
        if not ends:
            await asyncio.Event().wait()

    return Flow("held").then(run).build()


SLEEPS = Flow("sleeps").delay("nap", "1h").build()


async def crowded() -> tuple[EngineHarness, ManualClock]:
    """A log with attempts that queued, and delays that are overdue by now."""
    clock = ManualClock()
    harness = EngineHarness(clock=clock, turn_units=TURN_UNITS)
    async with harness.worker(held(ends=False), SLEEPS, slots=2):
        for number in range(INSTANCES):
            await harness.command("StartWorkflow", f"h{number}", workflow="held")
            await harness.command("StartWorkflow", f"s{number}", workflow="sleeps")
        await harness.until_kind("DelayStarted", f"s{INSTANCES - 1}")
    clock.move(2 * HOUR_MS)
    return harness, clock


async def test_a_take_over_looks_at_a_portion_between_two_turns_of_the_loop() -> None:
    harness, _ = await crowded()
    harness.new_store = CountingStore
    async with harness.worker(held(ends=True), SLEEPS, slots=2) as engine:
        store = engine.owners[0].store
        assert isinstance(store, CountingStore)
        events = await end_of(harness, 2 * INSTANCES)
        assert store.watching is not None
        store.watching.cancel()
    # Of a turn's instances some are looked at once more when its batch is live.
    assert store.instances_most <= 2 * TURN_UNITS
    assert store.index_entries_most <= LOADED_MAX + TURN_UNITS
    kinds = [type(event.body) for event in events]
    assert kinds.count(DelayElapsed) == kinds.count(TaskCompleted) == INSTANCES
    # What came in is decided on between what was overdue.
    assert kinds.index(TaskCompleted) < 10 * TURN_UNITS


async def test_a_command_is_decided_while_a_take_over_goes_on() -> None:
    harness, _ = await crowded()
    await harness.command("StartWorkflow", "new", workflow="held")
    await harness.command("CancelWorkflow", LAST)
    async with harness.worker(held(ends=True), SLEEPS, slots=2):
        events = await end_of(harness, 2 * INSTANCES + 1)
    ids = [event.instance_id for event in events]
    assert ids.index("new") < 20 * TURN_UNITS
    assert ids.index(LAST) < 20 * TURN_UNITS
    kinds = [event.kind for event in events if event.instance_id == LAST]
    assert kinds == ["CancelRequested", "AttemptWithdrawn", "WorkflowCancelled"]


def test_an_instance_is_recovered_once_in_turn_or_out_of_turn() -> None:
    recovery = Recovery(OwingStore().owing())
    assert recovery.take() == "a"
    recovery.recovered("a")
    recovery.recovered("b")  # something came in for it
    assert not recovery.is_due("b")
    assert recovery.is_due("c")
    assert recovery.take() == "c"
    recovery.repeat("c")  # its decision was cut
    assert recovery.take() == "c"
    recovery.recovered("c")
    assert recovery.take() is None
    assert recovery.is_over
    assert not recovery.is_due("z")


def test_timers_are_read_in_portions_and_no_further_than_a_number_of_them() -> None:
    timers, store = Timers(), OwingStore()
    for _ in range(HELD_MAX // LOADED_MAX):
        timers.extend(store, 5)
    assert timers.next_at() == 10
    timers.extend(store, 5)
    assert not timers.has_more(5), "so many are held, and none of them is due"
    timers.arm(7, "new", "")
    assert timers.take_due(8) == (7, "new", "")
    assert timers.has_more(10)
    due = 0
    while timers.has_more(10):
        timers.extend(store, 10)
        due += timers.take_due(10) is not None
    assert due == HELD_MAX + 1_000


class OwingStore(MemoryStore):
    """Three instances owe something, and many timers are due at the same time."""

    def owing(self) -> Iterator[str]:
        """Instances that may owe something."""
        return iter("abc")

    def timers(
        self, until_ms: int, *, after_ms: int = -1
    ) -> Iterator[tuple[int, str, str]]:
        """Timers in a span of time."""
        assert after_ms < 10 <= until_ms
        return ((10, f"i{number}", "") for number in range(HELD_MAX + 1_000))


async def end_of(harness: EngineHarness, instances: int) -> list[Event]:
    """Wait until so many instances have ended; the valid events of the last claim."""
    reader = await harness.log.reader(Topic.EVENTS, 0, 0)
    ended = 0
    async with asyncio.timeout(LIMIT_S):
        while ended < instances:
            chunk = await reader.read(max_wait_s=1)
            records = () if chunk is None else chunk.records
            ended += sum(event_of(record).kind in ENDS for record in records)
    await reader.close()
    events = [event_of(record) for record in await harness.records()]
    claims = [e.body for e in events if isinstance(e.body, PartitionClaimed)]
    claim = next(body for body in claims if body.owner == claims[-1].owner)
    begin = [event.body for event in events].index(claim)
    return [event for event in events[begin:] if event.instance_id]
