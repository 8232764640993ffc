"""What the owner of a partition says of it: how far it is, what runs, what waits."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.status.search import Search
from sayiir_es.engine.requests import searching
from sayiir_es.engine.store.port import StoreOnDisk
from sayiir_es.log.port import Topic
from sayiir_es.wire.partition_reports import (
    LISTED_MAX,
    KnownExecutor,
    PartitionReport,
    RunningAttempt,
    UndecidedCommand,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.position import DeferredCommand
    from sayiir_es.engine.attempts.attempt import Attempt, AttemptOwner
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import OwnerSettings
    from sayiir_es.engine.worker_state import OwnerState
    from sayiir_es.log.port import Record

TIMERS_MAX = 1_000
"""Timers that are due and counted: some milliseconds."""

READ_WAIT_S = 0.1
"""How long the command that is to be decided next is looked for, in seconds."""


class ReportedOwner(Protocol):
    """What a report asks of the owner of a partition."""

    @property
    def attempts_owner(self) -> AttemptOwner:
        """Whose attempts are those of the partition."""
        ...

    @property
    def serving_since_ms(self) -> int:
        """When it began to decide."""
        ...

    @property
    def is_recovering(self) -> bool:
        """Whether it still looks through what is owed."""
        ...

    @property
    def queued_attempts(self) -> int:
        """How many attempts of the partition wait for a slot."""
        ...

    @property
    def attempts_elsewhere(self) -> int:
        """How many attempts of the partition executors elsewhere have."""
        ...

    def observe(self) -> OwnerState:
        """How far it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Makes the reports of one partition; reads its store, and the ends of topics."""

    partition: int
    ports: Ports
    store: SnapshotStore
    settings: OwnerSettings
    owner: ReportedOwner

    async def report(self, *, counts: bool) -> PartitionReport:
        """The partition now; with `counts` also how many instances there are.

        Raises:
            LogError: if the log does not answer.
        """
        log, partition = self.ports.log, self.partition
        events_end = await log.end_offset(Topic.EVENTS, partition)
        commands_end = await log.end_offset(Topic.COMMANDS, partition)
        first = await self._find_first_command(commands_end)
        instances = await self._count() if counts else None
        store_bytes = await self._measure_store()
        # From here on nothing waits: what is said together is of one moment.
        now_ms, position = self.ports.clock.now_ms(), self.store.position
        state, executor = self.owner.observe(), self.ports.executor.observe()
        running, running_count = self._list_running(now_ms)
        timers_due, overdue_ms = self._look_at_timers(now_ms)
        undecided = _undecided(position.next_command, first, position.deferred)
        behind = max(0, commands_end - position.next_command)
        registry, elsewhere = self.ports.registry, self.ports.elsewhere
        return PartitionReport(
            partition=partition,
            owner_id=self.settings.owner_id,
            worker_id=self.settings.worker_id,
            build=self.settings.build,
            now=now_ms,
            serving_since=self.owner.serving_since_ms,
            claim=position.claim,
            is_recovering=self.owner.is_recovering,
            offset=position.offset,
            events_end=max(events_end, position.offset),
            next_command=position.next_command,
            commands_end=commands_end,
            last_event_at=position.at or None,
            checkpoint=position.digest.hex(),
            store_bytes=store_bytes,
            instances=instances,
            timers_due=timers_due,
            timer_overdue_ms=overdue_ms,
            running=running,
            running_count=running_count,
            queued_attempts=self.owner.queued_attempts,
            queued_commands=state.queued_commands,
            command_bytes=state.command_bytes,
            outcome_bytes=state.outcome_bytes,
            slots=executor.slots,
            slots_used=executor.running,
            slots_queued=executor.queued,
            runs_attempts=self.settings.runs_attempts,
            tags=None if registry.tags is None else tuple(sorted(registry.tags)),
            workflows=tuple(registry.own_names()[:LISTED_MAX]),
            undecided=undecided[:LISTED_MAX],
            undecided_count=behind + len(position.deferred),
            executors=self._list_executors(),
            executor_count=0 if elsewhere is None else len(elsewhere.table),
            attempts_elsewhere=self.owner.attempts_elsewhere,
        )

    def _list_executors(self) -> tuple[KnownExecutor, ...]:
        """Executors elsewhere that have offered slots to this process."""
        elsewhere = self.ports.elsewhere
        if elsewhere is None:
            return ()
        now_s = elsewhere.table.now_s()
        return tuple(
            KnownExecutor(
                executor=one.id,
                slots=one.slots,
                held=one.in_flight,
                free=one.credits.get(self.partition, 0),
                tags=tuple(sorted(one.fleet.tags)[:LISTED_MAX]),
                tasks=tuple(sorted(one.fleet.tasks)[:LISTED_MAX]),
                graphs=len(one.fleet.graphs),
                is_stopping=one.is_stopping,
                ends_in_ms=max(0, round((one.until_s - now_s) * 1000)),
            )
            for one in itertools.islice(elsewhere.table, LISTED_MAX)
        )

    async def _find_first_command(self, end: int) -> Record | None:
        """The record of the command that is to be decided next, if readers get it."""
        offset = self.store.position.next_command
        if offset >= end:
            return None
        reader = await self.ports.log.reader(Topic.COMMANDS, self.partition, offset)
        try:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
        finally:
            await reader.close()
        return chunk.records[0] if chunk is not None and chunk.records else None

    async def _count(self) -> Mapping[str, int]:
        searched = searching.Searched(
            store=self.store, stranding=None, now_ms=self.ports.clock.now_ms()
        )
        return dict(await searching.count(searched, Search(), "status"))

    async def _measure_store(self) -> int | None:
        store = self.store
        if not isinstance(store, StoreOnDisk):
            return None
        return await asyncio.to_thread(store.disk_bytes)

    def _list_running(self, now_ms: int) -> tuple[tuple[RunningAttempt, ...], int]:
        """What runs of the partition, the longest first, and how much there is."""
        attempts = [
            attempt
            for attempt in self.ports.executor.running()
            if attempt.owner is self.owner.attempts_owner
        ]
        attempts.sort(key=lambda attempt: attempt.started_s)
        now_s = asyncio.get_running_loop().time()
        listed = tuple(
            _running(attempt, now_ms, now_s) for attempt in attempts[:LISTED_MAX]
        )
        return listed, len(attempts)

    def _look_at_timers(self, now_ms: int) -> tuple[int, int]:
        """How many timers are due, and how late the earliest is."""
        timers = itertools.islice(self.store.timers(now_ms), TIMERS_MAX)
        times = [due_at for due_at, _, _ in timers]
        return len(times), now_ms - times[0] if times else 0


def _running(attempt: Attempt, now_ms: int, now_s: float) -> RunningAttempt:
    runnable, started_s = attempt.runnable, attempt.started_s
    since = now_ms - round((now_s - started_s) * 1000) if started_s else None
    return RunningAttempt(
        instance_id=attempt.instance_id,
        workflow="" if runnable is None else runnable.graph.name,
        path=attempt.path,
        attempt=attempt.number,
        since=since,
        deadline_at=attempt.deadline_at_ms,
    )


def _undecided(
    next_command: int, first: Record | None, deferred: Mapping[int, DeferredCommand]
) -> tuple[UndecidedCommand, ...]:
    waiting: list[UndecidedCommand] = [
        UndecidedCommand(
            offset=offset,
            command="ForkWorkflow",
            instance_id=one.command.instance_id,
            reason="it waits until the history of "
            f"{one.command.source_instance_id!r} is read",
        )
        for offset, one in sorted(deferred.items())
    ]
    if first is not None and first.offset >= next_command:
        key = (first.key or b"").decode("utf-8", "replace")
        waiting.insert(
            0,
            UndecidedCommand(
                offset=first.offset,
                instance_id=key,
                reason="it is the next to be decided",
                since=first.timestamp_ms,
            ),
        )
    return tuple(waiting)
