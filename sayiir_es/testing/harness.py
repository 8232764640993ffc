"""Runs a workflow on a memory log and virtual time, with the engine of a worker.

Theory of operation. Time passes by itself only while a task of the user runs. When
nothing runs, the clock is moved to the next timer: the end of a backoff always, delays
and time-outs only as far as a scenario lets time pass. The state of the workflow is
folded from the log, as any reader does.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.decide.owed import owed_timer
from sayiir_es.core.model.rows import Rows, get_cursors, get_header
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.status.status import is_resting, status_of
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.testing.result import Result
from sayiir_es.testing.steps import CommandStep, Step, TimeStep, ToTheEndStep
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Record

INSTANCE = "test"
SLOTS = 100
READ_WAIT_S = 60.0
"""How long a read of the log waits, in virtual seconds, while a task runs."""

TICK_S = 0.05
"""How long it waits, in virtual seconds, for events that follow at once."""


class Harness:
    """One owner of a log with one instance, `INSTANCE`."""

    def __init__(self, workflow: Workflow, loop: VirtualLoop, start_ms: int) -> None:
        self.clock = VirtualClock(loop, start_ms)
        self.log = MemoryLog(now_ms=self.clock.now_ms, log_id="test")
        self.events: list[Event] = []
        self._workflow = with_functions_on_loop(workflow)
        self._executor = LocalExecutor(SLOTS, worker_id="test")
        self._view = MemoryStore()
        self._fold = Fold(self._view, 0, 1, on_event=self._on_event)
        self._engine: WorkerEngine | None = None

    # --- steps ------------------------------------------------------------------------

    async def open(
        self, records: Sequence[Record] = (), commands: Sequence[CommandStep] = ()
    ) -> None:
        """Start the owner on a log with these events and commands."""
        await self.log.open(create=True)
        appender = await self.log.appender(0)
        for record in records:
            await appender.append([_copy_of(record)])
        for command in commands:
            await self.send(command)

        async def open_store(partition: int) -> SnapshotStore:
            del partition
            return MemoryStore()

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
            settings=WorkerSettings(worker_id="test", incarnation="test", build="test"),
        )
        await self._engine.start([self._workflow])
        await self._engine.wait_until_settled()

    async def close(self) -> None:
        """End the owner."""
        if self._engine is not None:
            await self._engine.stop(drain=False)

    async def run_step(self, step: Step, until_ms: int | None = None) -> None:
        """Run a step until nothing runs; `until_ms`: when a `TimeStep` is over."""
        match step:
            case CommandStep():
                await self.send(step)
                await self.run_until_idle()
            case TimeStep():
                await self.run_until_idle()
                end_ms = until_ms or self.clock.now_ms() + step.ms
                while (due_ms := self._next_timer()) is not None and due_ms <= end_ms:
                    await self._wake_at(due_ms)
                self.clock.move_to(end_ms)
                await self.run_until_idle()
            case ToTheEndStep():
                await self.run_until_idle()
                while (due_ms := self._next_timer()) is not None:
                    await self._wake_at(due_ms)

    async def send(self, step: CommandStep) -> None:
        """Produce a command."""
        body = {**step.command, "instance_id": INSTANCE}
        record = NewRecord(key=INSTANCE.encode(), value=json.dumps(body).encode())
        await self.log.produce(Topic.COMMANDS, 0, record)

    async def run_until_idle(self) -> None:
        """Run until no attempt runs and every command is decided."""
        while True:
            await self._fold_events(0.0)
            self._check()
            if not await self._commands_are_decided():
                await self._fold_events(TICK_S)
            elif self._executor.running():
                await self._fold_events(READ_WAIT_S)
            elif self._is_resting():
                return
            else:
                due_ms = self._end_of_backoff()
                if due_ms is not None:
                    self.clock.move_to(due_ms)
                await self._fold_events(TICK_S)

    def get_result(self) -> Result:
        """The state of the instance now.

        Raises:
            AssertionError: if it never started.
        """
        state = status_of(self._rows, INSTANCE, self._workflow.graph)
        if state is None:
            raise AssertionError(f"expected a started workflow, but {self.events!r}")
        events = tuple(event for event in self.events if event.instance_id == INSTANCE)
        return Result(state=state, events=events)

    async def read_records(self) -> list[Record]:
        """Every record of the events topic."""
        records: list[Record] = []
        end = await self.log.end_offset(Topic.EVENTS, 0)
        reader = await self.log.reader(Topic.EVENTS, 0, 0)
        while len(records) < end:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            records += () if chunk is None else chunk.records
        return records

    # --- inside -----------------------------------------------------------------------

    @property
    def _rows(self) -> Rows:
        return self._view.rows(INSTANCE)

    def _on_event(self, offset: int, event: Event) -> None:
        del offset
        self.events.append(event)

    async def _fold_events(self, wait_s: float) -> None:
        """Fold the events that the log holds now, or gets within `wait_s`."""
        offset = self._view.position.offset
        end = await self.log.end_offset(Topic.EVENTS, 0)
        if offset < end or wait_s:
            reader = await self.log.reader(Topic.EVENTS, 0, offset)
            chunk = await reader.read(max_wait_s=wait_s)
            if chunk is not None:
                self._fold.apply(chunk)

    async def _wake_at(self, due_ms: int) -> None:
        before = len(self.events)
        self.clock.move_to(due_ms)
        while len(self.events) == before:
            self._check()
            await self._fold_events(READ_WAIT_S)
        await self.run_until_idle()

    async def _commands_are_decided(self) -> bool:
        end = await self.log.end_offset(Topic.COMMANDS, 0)
        return self._view.position.next_command >= end

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

    def _check(self) -> None:
        """Check that the owner serves the partition.

        Raises:
            AssertionError: with the reason why it stopped.
        """
        if self._engine is not None and self._engine.stopped:
            raise AssertionError(f"the engine stopped: {self._engine.stopped[0]}")


def with_functions_on_loop(workflow: Workflow) -> Workflow:
    """The workflow with its sync functions called on the event loop, not in threads."""
    functions = {path: _coroutine_of(f) for path, f in workflow.functions.items()}
    return Workflow(
        graph=workflow.graph, functions=functions, metadata=workflow.metadata
    )


def _coroutine_of(function: Function) -> Function:
    if inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def call(value: object) -> object:
        result = function(value)
        return await result if inspect.isawaitable(result) else result

    return call


def _copy_of(record: Record) -> NewRecord:
    return NewRecord(key=record.key, value=record.value, headers=record.headers)
