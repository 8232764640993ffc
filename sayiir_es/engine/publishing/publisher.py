"""The owner's publisher: each instance's latest snapshot on the snapshots topic.

Theory of operation. Snapshots are published after the ack, in a task of its own, and no
decision waits for it. The owner says which instances a batch changed; ten times a
second the latest snapshots of those that changed are published.

Nothing stays missing. Each record names an offset of the events below which everything
was published before it. A new owner takes that offset from the last record of its
partition, reads the keys of the events from there on, and publishes the instances that
they name. That covers three cases: what an owner before it did not publish, an app
whose snapshots topic is new, and changes for which the backlog had no room.

A displaced owner may write late. Its record was true once, so a reader takes the record
with the higher sequence; but compaction keeps the last one. So the owner compares the
offsets of its records, and from time to time the end of the topic, with what it
expects, and publishes every instance again that is named by a record of another owner.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    LogError,
    LogUnavailableError,
    LogWentBackwardsError,
    StoreError,
)
from sayiir_es.core.model.rows import get_header, get_run
from sayiir_es.core.status.instance_summary import summary_of
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.publishing.backlog import Backlog
from sayiir_es.engine.publishing.snapshot_partition import SnapshotPartition, record_of
from sayiir_es.environment import settings_where_set
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sayiir_es.core.model.rows import StagedRows
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.publishing.snapshot_partition import SnapshotRecord
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, Reader

logger = get_logger(__name__)

VARIABLE = "SAYIIR_SNAPSHOTS_TOPIC"

PUBLISH_EVERY_S = 0.1
"""Seconds between two publications; an instance's changes within are one record."""

GROUP_INSTANCES = 500
"""How many instances are published at a time: a crash repeats at most so many."""

GROUP_BYTES = 1 << 20
"""How many bytes are encoded at a time: outputs may be large, and fill the memory."""

TURN_INSTANCES = 32
"""How many are encoded before other tasks have their turn: about a millisecond."""

LOOK_EVERY_S = 60.0
"""How often, in seconds, an owner that publishes nothing looks for late records."""

LAST_LIMIT_S = 2.0
"""How long the last publication of an owner that stops may take, in seconds."""

READ_WAIT_S = 5.0
"""How long a read of events that are known to be in the log may take, in seconds."""

_TEMPORARY_ERRORS = (LogError, LogWentBackwardsError, StoreError)
"""What ends one publication but not the publisher: it is tried again."""


class Publisher:
    """Publishes for one tenure of one partition."""

    def __init__(
        self,
        log: Log,
        partition: int,
        store: SnapshotStore,
        registry: Registry,
    ) -> None:
        self._log = log
        self._topic = SnapshotPartition(log, partition)
        self._partition = partition
        self._store = store
        self._registry = registry
        self._backlog = Backlog(0)
        self._caught_up = False
        """Whether `add_changes` has every change; else events must be read first."""
        self._resumed = self._topic_replaced = False
        self._events: Reader | None = None
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"snapshots-{partition}")
        self._task.add_done_callback(self._on_ended)

    # --- from outside -----------------------------------------------------------------

    def add_changes(self, staged: Mapping[str, StagedRows], record_count: int) -> None:
        """A batch of so many records has been applied to the store; returns at once.

        `staged` holds the rows of the instances that it read or changed, by id.
        """
        if not self._caught_up:
            return
        if self._backlog.full:  # read from the log again, when there is room
            self._caught_up = False
            return
        end = self._store.position.offset
        changed = (name for name, rows in staged.items() if rows.changes)
        self._backlog.add(changed, end - record_count)
        self._backlog.end_offset = end
        if self._backlog:
            self._wake.set()

    @property
    def backlog(self) -> int:
        """How many instances have changed since their last snapshot, as is known."""
        return len(self._backlog)

    async def close(self, *, publish: bool) -> None:
        """Stop; with `publish` the backlog is published before, within a time limit.

        What was not published, the next owner publishes.
        """
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._backlog.undo()
        if publish and self._caught_up:
            with contextlib.suppress(TimeoutError, *_TEMPORARY_ERRORS):
                async with asyncio.timeout(LAST_LIMIT_S):
                    await self._publish()
        await self._close_events()

    # --- the task ---------------------------------------------------------------------

    async def _run(self) -> None:
        backoff = Backoff(f"snapshots/{self._partition}")
        while True:
            try:
                await self._run_once()
            except _TEMPORARY_ERRORS as error:
                self._backlog.undo()
                await self._close_events()
                if isinstance(error, LogWentBackwardsError):
                    self._topic_replaced, self._resumed, self._caught_up = (
                        True,
                        False,
                        False,
                    )
                logger.warning(
                    "snapshots.publication_failed",
                    partition=self._partition,
                    error_code=error.code,
                    reason=str(error),
                )
                await backoff.pause()
            else:
                backoff.reset()

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a bug ends the publisher, visibly, and nothing else
            logger.error(
                "snapshots.publisher_crashed", partition=self._partition, exc_info=error
            )

    async def _run_once(self) -> None:
        if not self._resumed:
            await self._resume()
        if not self._caught_up:
            await self._catch_up()
        elif not self._backlog:
            self._wake.clear()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                self._requeue(await self._topic.look())
                return
        if self._caught_up:
            await asyncio.sleep(PUBLISH_EVERY_S)
        await self._publish()

    async def _publish(self) -> None:
        """Publish what the backlog holds now, in groups."""
        waiting = len(self._backlog)
        while waiting > 0:
            group = self._backlog.take(min(GROUP_INSTANCES, waiting))
            waiting -= GROUP_INSTANCES
            async for portion in self._encode_portions(group):
                self._requeue(await self._topic.produce(portion))
            self._backlog.confirm()

    def _requeue(self, instance_ids: Sequence[str]) -> None:
        """Publish these again: a record of another owner came after ours."""
        if instance_ids:
            self._backlog.add(instance_ids, self._backlog.end_offset)
            self._wake.set()

    async def _encode_portions(
        self, group: Sequence[str]
    ) -> AsyncIterator[list[SnapshotRecord]]:
        """The snapshot records of a group, in portions of about `GROUP_BYTES`."""
        complete_before = self._backlog.complete_before
        portion: list[SnapshotRecord] = []
        size = 0
        for number, instance_id in enumerate(group, start=1):
            rows = self._store.rows(instance_id)
            run, position = get_run(rows), self._store.position
            if run is None:  # it has buffered signals only: there is nothing to show
                continue
            graph = self._registry.by_digest(run.graph_digest)
            summary = summary_of(rows, instance_id, graph, position, complete_before)
            if summary is not None:
                portion.append(record_of(summary))
                size += len(portion[-1].record.value or b"")
            if size >= GROUP_BYTES:
                yield portion
                portion, size = [], 0
            elif number % TURN_INSTANCES == 0:
                await asyncio.sleep(0)
        if portion:
            yield portion

    # --- finding what was not published -----------------------------------------------

    async def _resume(self) -> None:
        """Find out how far the owners before published."""
        end_offset, sequences = await self._topic.read_tail()
        if self._topic_replaced or end_offset > self._store.position.offset:
            end_offset = 0  # it was written for another topic or another log of events
        self._backlog = Backlog(end_offset)
        self._backlog.add(
            (
                instance_id
                for instance_id, sequence in sequences.items()
                if sequence < self._sequence(instance_id)
            ),
            end_offset,
        )
        self._resumed, self._topic_replaced = True, False

    def _sequence(self, instance_id: str) -> int:
        header = get_header(self._store.rows(instance_id))
        return 0 if header is None else header.sequence

    async def _catch_up(self) -> None:
        """Read from the events which instances changed, until the backlog is full."""
        backlog, topic = self._backlog, Topic.EVENTS
        if self._events is None:
            start = await self._log.start_offset(topic, self._partition)
            backlog.end_offset = max(backlog.end_offset, start)
            self._events = await self._log.reader(
                topic, self._partition, backlog.end_offset
            )
        while not backlog.full:
            # Never beyond what is folded: `add_changes` will add a batch in flight.
            end = self._store.position.offset
            if backlog.end_offset < end:
                chunk = await self._events.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    raise LogUnavailableError(
                        f"expected to read events {backlog.end_offset} to {end} of "
                        f"partition {self._partition}, but nothing came"
                    )
                end = self._store.position.offset
                for record in chunk.records:
                    if record.key is not None and record.offset < end:
                        backlog.add(
                            (record.key.decode("utf-8", "replace"),), record.offset
                        )
                backlog.end_offset = min(chunk.end, end)
            if backlog.end_offset >= end:
                self._caught_up = True
                await self._close_events()
                return
            await asyncio.sleep(0)

    async def _close_events(self) -> None:
        reader, self._events = self._events, None
        if reader is not None:
            await reader.close()


def are_snapshots_enabled() -> bool:
    """Whether the environment switches snapshots on (`SAYIIR_SNAPSHOTS_TOPIC`).

    Raises:
        SettingsError: if the environment cannot be used.
    """
    settings = settings_where_set(VARIABLE)
    return settings is not None and settings.snapshots_topic
