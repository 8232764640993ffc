"""Runs a workflow on a memory log and virtual time, with the engine of a worker.

Theory of operation. Time passes by itself only while a task of the user runs. When
nothing runs, the clock is moved to the next timer: the end of a backoff, and a token of
a rate, always, delays and time-outs only as far as a scenario lets time pass. A timer
that is overdue, since a pause held it or no owner was there, fires before the workflow
counts as waiting. The state of the workflow is folded from the log, as any reader does.

A step may be told to stop at an attempt. There the harness *stands* in the middle: time
that passes then passes to the instant, and what runs on at its end is not waited for.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import owed_timer
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.core.model.permit_events import is_limit
from sayiir_es.core.model.permit_rows import get_grant_timer
from sayiir_es.core.model.rows import Rows, get_cursors, get_header
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.status.status import is_resting, status_of
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.owner.owner import SLEEP_MOST_S
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.testing.hold import Hold
from sayiir_es.testing.result import Result
from sayiir_es.testing.steps import (
    CommandStep,
    CrashStep,
    Step,
    StopStep,
    TimeStep,
    ToTheEndStep,
)
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Record
    from sayiir_es.wire.payload_codec import Payloads

INSTANCE = "test"
SLOTS = 100
READ_WAIT_S = 60.0
"""How long a read of the log waits, in virtual seconds, while a task runs."""

TICK_S = 0.05
"""How long it waits, in virtual seconds, for events that follow at once."""


class Harness:
    """One owner of a log at a time, with one instance, `INSTANCE`."""

    def __init__(
        self,
        workflow: Workflow,
        loop: VirtualLoop,
        start_ms: int,
        *,
        limits: Limits = DEFAULT_LIMITS,
        payloads: Payloads = JSON_PAYLOADS,
    ) -> None:
        self.clock = VirtualClock(loop, start_ms)
        self.log = self._new_log()
        self.events: list[Event] = []
        self.is_standing = False
        """Whether the step before stopped in the middle."""
        self._hold = Hold()
        self._workflow = self._hold.applied_to(workflow)
        self._limits = limits
        self._payloads = payloads
        self._view = MemoryStore()
        self._fold = Fold(self._view, 0, 1, on_event=self._on_event)
        self._seen: set[tuple[int, str, int]] = set()
        self._executor: LocalExecutor
        self._engine: WorkerEngine | None = None

    # --- steps ------------------------------------------------------------------------

    async def open(
        self, records: Sequence[Record] = (), commands: Sequence[Record] = ()
    ) -> None:
        """Make the log, with these events and commands; a step starts the owner."""
        await self.log.open(create=True)
        appender = await self.log.appender(0)
        for record in records:
            await appender.append([_copy_of(record)])
        for command in commands:
            await self.log.produce(Topic.COMMANDS, 0, _copy_of(command))

    async def start_owner(self) -> None:
        """Start an owner, behind the one before if there was one."""

        async def open_store(partition: int) -> SnapshotStore:
            del partition
            return MemoryStore()

        # Each claim stands on an offset of its own: no two owners have one name.
        end = await self.log.end_offset(Topic.EVENTS, 0)
        self._executor = LocalExecutor(SLOTS, worker_id="test", payloads=self._payloads)
        self._engine = WorkerEngine(
            ports=Ports(
                log=self.log,
                clock=self.clock,
                executor=self._executor,
                registry=Registry(),
            ),
            membership=SoloMembership(
                self.log.owner_lock(), partitions=self.log.partitions
            ),
            open_store=open_store,
            settings=WorkerSettings(
                worker_id="test",
                incarnation=f"test-{end}",
                build="test",
                limits=self._limits,
            ),
        )
        await self._engine.start([self._workflow])
        await self._engine.wait_until_settled()

    async def aclose(self) -> None:
        """End the owner: nothing more is recorded."""
        if self._engine is not None:
            await self._engine.stop(drain=False)

    async def run_step(
        self, step: Step, *, stop: StopStep | None = None, until_ms: int | None = None
    ) -> None:
        """Run a step until nothing runs, or to where it is to stop.

        `until_ms` is when a `TimeStep` is over; else it begins now.

        Raises:
            AssertionError: if it does not come to where it is to stop.
        """
        self._hold.set_stop(stop)
        if isinstance(step, StopStep) and stop is None:
            return
        is_first = self._engine is None
        if is_first:
            await self.start_owner()
        timers_until: float = 0
        if isinstance(step, CommandStep):
            await self.send(step)
            if self.is_standing:  # the attempt that is held runs until then
                await self._until_decided()
        elif isinstance(step, CrashStep) and not is_first:
            await self._crash()
        elif isinstance(step, ToTheEndStep):
            timers_until = math.inf
        elif isinstance(step, TimeStep):
            timers_until = until_ms or self.clock.now_ms() + step.ms
        is_exact = isinstance(step, TimeStep) and self.is_standing
        ends_ms = int(timers_until) if is_exact else None
        await self._run(timers_until=timers_until, ends_ms=ends_ms, stop=stop)
        if isinstance(step, TimeStep) and stop is None:
            self.clock.move_to(int(timers_until))

    async def run_to_idle(self) -> None:
        """Run until no attempt runs and every command is decided."""
        self._hold.set_stop(None)
        await self._run()

    async def send(self, step: CommandStep) -> None:
        """Produce a command."""
        body = {**step.command, "instance_id": INSTANCE}
        record = NewRecord(key=INSTANCE.encode(), value=json.dumps(body).encode())
        await self.log.produce(Topic.COMMANDS, 0, record)

    def get_result(self) -> Result:
        """The state of the instance now.

        Raises:
            AssertionError: if it never started.
        """
        state = status_of(self._rows, INSTANCE, self._workflow.graph)
        if state is None:
            raise AssertionError(f"expected a started workflow, but {self.events!r}")
        events = tuple(event for event in self.events if event.instance_id == INSTANCE)
        return Result(state=state, events=events, payloads=self._payloads)

    async def read_records(self, topic: Topic = Topic.EVENTS) -> list[Record]:
        """Every record of a topic."""
        records: list[Record] = []
        end = await self.log.end_offset(topic, 0)
        reader = await self.log.reader(topic, 0, 0)
        while len(records) < end:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            records += () if chunk is None else chunk.records
        return records

    # --- inside -----------------------------------------------------------------------

    async def _crash(self) -> None:
        """The owner dies: what it says at its end reaches no log that anybody reads."""
        records, dead_log = await self.read_records(), self.log
        commands = await self.read_records(Topic.COMMANDS)
        self.log = self._new_log()
        await self.open(records, commands)
        await self.aclose()
        await dead_log.close()
        await self.start_owner()

    async def _run(
        self,
        *,
        timers_until: float = 0,
        ends_ms: int | None = None,
        stop: StopStep | None = None,
    ) -> None:
        """Run until no attempt runs and every command is decided, or to a stop.

        Timers fire that are due until `timers_until`. With `ends_ms` what takes longer
        is not waited for.

        Raises:
            AssertionError: if it does not come to where it is to stop.
        """
        self._hold.release()
        self.is_standing = True
        wait_s: float | None = 0.0
        while wait_s is not None:
            await self._fold_events(wait_s)
            if self._is_at(stop):
                return
            wait_s = await self._next_wait(timers_until, ends_ms)
        if stop is not None:
            result = self.get_result()
            raise AssertionError(
                f"expected {stop}, but the workflow is {result.status}"
                + (f": {result.waiting_for}" if result.waiting_for else "")
            )

    async def _next_wait(
        self, timers_until: float, ends_ms: int | None
    ) -> float | None:
        """How long to wait for events, in seconds; None: the step is over.

        The clock is at the next timer then, where nothing runs.
        """
        self._check()
        if not await self._commands_are_decided():
            return TICK_S
        now_ms = self.clock.now_ms()
        left_s = math.inf if ends_ms is None else (ends_ms - now_ms) / 1000
        if self._executor.running():
            return min(READ_WAIT_S, left_s) if left_s > 0 else None
        due_ms = self._next_timer()
        if self._is_resting():
            if due_ms is None or due_ms > max(now_ms, timers_until):
                self.is_standing = False
                return None
            self._move_near(due_ms)
            return READ_WAIT_S
        if left_s <= 0:
            return None
        ends_at = [self._next_grant()]
        if due_ms is not None and (end_ms := self._end_of_backoff()) is not None:
            ends_at.append(min(due_ms, end_ms))
        due_ms = min((end for end in ends_at if end is not None), default=None)
        if due_ms is not None:
            self._move_near(due_ms if ends_ms is None else min(due_ms, ends_ms))
        return TICK_S

    def _move_near(self, at_ms: int) -> None:
        """Move the clock ahead to where the owner looks once more before that time.

        It sleeps by the loop's time, and sees only then that the clock was moved.
        """
        self.clock.move_to(at_ms - int(SLEEP_MOST_S * 1000))

    def _new_log(self) -> MemoryLog:
        return MemoryLog(now_ms=self.clock.now_ms, log_id="test")

    async def _until_decided(self) -> None:
        while not await self._commands_are_decided():
            self._check()
            await self._fold_events(TICK_S)

    @property
    def _rows(self) -> Rows:
        return self._view.rows(INSTANCE)

    def _on_event(self, offset: int, event: Event) -> None:
        del offset
        self.events.append(event)

    async def _fold_events(self, wait_s: float) -> None:
        """Fold the events that the log holds now, or gets within `wait_s`.

        It ends earlier where an attempt is held at which the step is to stop.
        """
        offset = self._view.position.offset
        end = await self.log.end_offset(Topic.EVENTS, 0)
        if offset >= end and not wait_s:
            return
        reader = await self.log.reader(Topic.EVENTS, 0, offset)
        reading = asyncio.create_task(reader.read(max_wait_s=wait_s))
        held = asyncio.create_task(self._hold.wait())
        await asyncio.wait({reading, held}, return_when=asyncio.FIRST_COMPLETED)
        held.cancel()
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
        elif (chunk := reading.result()) is not None:
            self._fold.apply(chunk)

    def _is_at(self, stop: StopStep | None) -> bool:
        if stop is None:
            return False
        if stop.state == "running":
            return self._hold.is_reached
        backoff = self._find_backoff(stop)
        if backoff is None:
            return False
        self._seen.add(backoff)
        return True

    def _find_backoff(self, stop: StopStep) -> tuple[int, str, int] | None:
        """The run, path and attempt whose backoff a step is to stop in, if it is there.

        None where it has stopped before: a second stop is about the next one.
        """
        header = get_header(self._rows)
        if header is None or header.phase != "running":
            return None
        for _, cursor in get_cursors(self._rows):
            wait = cursor.wait
            if isinstance(wait, Awaiting) and wait.not_before > header.at:
                backoff = header.run, cursor.path, wait.attempt
                is_meant = stop.attempt in (None, wait.attempt - 1)
                is_meant = is_meant and self._id_at(cursor.path) == stop.task_id
                if is_meant and backoff not in self._seen:
                    return backoff
        return None

    def _id_at(self, path: str) -> str | None:
        place = self._workflow.graph.place(path)
        return None if place is None else place.node.id

    async def _commands_are_decided(self) -> bool:
        end = await self.log.end_offset(Topic.COMMANDS, 0)
        position = self._view.position
        return position.next_command >= end and not position.deferred

    def _next_timer(self) -> int | None:
        header = get_header(self._rows)
        if header is None:
            return None
        timers = (
            owed_timer(header, chain, cursor)
            for chain, cursor in get_cursors(self._rows)
        )
        return min(
            (timer.due_at for timer in timers if timer is not None), default=None
        )

    def _is_resting(self) -> bool:
        if not is_resting(self._rows, parked=True):
            return False
        # Where a decision was cut, its rest is owed: the instance is in progress then.
        state = status_of(self._rows, INSTANCE, self._workflow.graph)
        return state is None or state.status != "in_progress"

    def _end_of_backoff(self) -> int | None:
        waits = [cursor.wait for _, cursor in get_cursors(self._rows)]
        ends = [
            wait.not_before
            for wait in waits
            if isinstance(wait, Awaiting) and wait.not_before
        ]
        return min(ends, default=None)

    def _next_grant(self) -> int | None:
        """When a limit next has a token for an attempt that waits for one.

        Or a start queue goes on with what it grants.
        """
        grants = (
            get_grant_timer(self._view.rows(instance_id))
            for instance_id in self._view.with_permits()
            if is_limit(instance_id) or is_queue(instance_id)
        )
        return min((at_ms for at_ms in grants if at_ms is not None), default=None)

    def _check(self) -> None:
        """Check that the owner serves the partition.

        Raises:
            AssertionError: with the reason why it stopped.
        """
        if self._engine is not None and self._engine.stopped:
            raise AssertionError(f"the engine stopped: {self._engine.stopped[0]}")


def _copy_of(record: Record) -> NewRecord:
    return NewRecord(key=record.key, value=record.value, headers=record.headers)
