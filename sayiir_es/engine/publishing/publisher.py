"""The owner's publisher: each instance's latest state on the snapshots topic.

Theory of operation. A publication is an act: it follows the ack, in a task of its own,
and no decision waits for it. The owner says which instances a batch changed; a few
times a second those that changed since are published as they are by then.

Nothing stays missing. Each record says below which offset of the events all was
published before it. A new owner takes that from the last record of its partition, reads
the keys of the events from there on, and publishes what they name: what a predecessor
left, all of an app where the topic is new, and what changed while there was no room to
remember it, are the same to it.

A displaced owner may write late. What it writes was true once, so a reader takes the
record with the higher sequence; but compaction keeps the last. So the owner compares
the offsets of its records, and now and then the end of the topic, with what it expects,
and publishes again whatever a record names that it did not write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import structlog

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
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.publishing.snapshot_partition import SnapshotRecord
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, Reader

logger = structlog.get_logger()

VARIABLE = "SAYIIR_SNAPSHOTS_TOPIC"

PUBLISH_EVERY_S = 0.1
"""What happens to an instance within this time is one record."""

GROUP_INSTANCES = 500
"""Published before the next are taken: what a crash leaves is published again."""

GROUP_BYTES = 1 << 20
"""Encoded at a time; outputs may be large, and this bounds what they take."""

TURN_INSTANCES = 32
"""Encoded before others on the loop have their turn: about a millisecond."""

LOOK_EVERY_S = 60.0
"""How often an owner that publishes nothing looks for late records."""

LAST_LIMIT_S = 2.0
"""How long the last publication of an owner that stops may take."""

READ_WAIT_S = 5.0

_PASSING = (LogError, LogWentBackwardsError, StoreError)
"""What ends a publication and not the publisher: it is tried again."""


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
        self._live = False
        """Whether `changed` says all; else the rest is to be read from the events."""
        self._taken_up = self._replaced = False
        self._events: Reader | None = None
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"snapshots-{partition}")
        self._task.add_done_callback(self._ended)

    # --- from outside -----------------------------------------------------------------

    def changed(self, batch: Batch) -> None:
        """A batch became live; returns at once."""
        if not self._live:
            return
        if self._backlog.full:  # the log has it, when there is room again
            self._live = False
            return
        end = self._store.position.offset
        changed = (name for name, staged in batch.staged.items() if staged.changes)
        self._backlog.add(changed, end - len(batch.records))
        self._backlog.known_to = end
        if self._backlog:
            self._wake.set()

    async def close(self, *, publish: bool) -> None:
        """Stop; with `publish` what waits is published first, within a limit.

        What was not published is the next owner's.
        """
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._backlog.undo()
        if publish and self._live:
            with contextlib.suppress(TimeoutError, *_PASSING):
                async with asyncio.timeout(LAST_LIMIT_S):
                    await self._publish()
        await self._close_events()

    # --- the task ---------------------------------------------------------------------

    async def _run(self) -> None:
        patience = Backoff(f"snapshots/{self._partition}")
        while True:
            try:
                await self._round()
            except _PASSING as error:
                self._backlog.undo()
                await self._close_events()
                if isinstance(error, LogWentBackwardsError):
                    self._replaced, self._taken_up, self._live = True, False, False
                logger.warning(
                    "snapshots.publication_failed",
                    partition=self._partition,
                    error_code=error.code,
                    reason=str(error),
                )
                await patience.pause()
            else:
                patience.forget()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a bug ends the publication, loudly, and nothing else
            logger.error(
                "snapshots.publisher_crashed", partition=self._partition, exc_info=error
            )

    async def _round(self) -> None:
        if not self._taken_up:
            await self._take_up()
        if not self._live:
            await self._catch_up()
        elif not self._backlog:
            self._wake.clear()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                self._again(await self._topic.look())
                return
        if self._live:
            await asyncio.sleep(PUBLISH_EVERY_S)
        await self._publish()

    async def _publish(self) -> None:
        """Publish what waits now, in groups."""
        waiting = len(self._backlog)
        while waiting > 0:
            group = self._backlog.take(min(GROUP_INSTANCES, waiting))
            waiting -= GROUP_INSTANCES
            async for portion in self._in_portions(group):
                self._again(await self._topic.produce(portion))
            self._backlog.done()

    def _again(self, instance_ids: Sequence[str]) -> None:
        """Publish these again: a record that we did not write stands behind ours."""
        if instance_ids:
            self._backlog.add(instance_ids, self._backlog.known_to)
            self._wake.set()

    async def _in_portions(
        self, group: Sequence[str]
    ) -> AsyncIterator[list[SnapshotRecord]]:
        """Snapshots and records of a group, so many at a time as memory is for."""
        complete_before = self._backlog.complete_before
        made: list[SnapshotRecord] = []
        size = 0
        for number, instance_id in enumerate(group, start=1):
            rows = self._store.rows(instance_id)
            started, position = get_run(rows), self._store.position
            if started is None:  # of signals alone there is nothing to show
                continue
            graph = self._registry.by_digest(started.graph_digest)
            snapshot = summary_of(rows, instance_id, graph, position, complete_before)
            if snapshot is not None:
                made.append(record_of(snapshot))
                size += len(made[-1].record.value or b"")
            if size >= GROUP_BYTES:
                yield made
                made, size = [], 0
            elif number % TURN_INSTANCES == 0:
                await asyncio.sleep(0)
        if made:
            yield made

    # --- what may be missing ----------------------------------------------------------

    async def _take_up(self) -> None:
        """Find out up to where those before published."""
        known_to, last = await self._topic.take_up()
        if self._replaced or known_to > self._store.position.offset:
            known_to = 0  # said of another topic, or of another log of events
        self._backlog = Backlog(known_to)
        self._backlog.add(
            (name for name, at in last.items() if at < self._sequence(name)), known_to
        )
        self._taken_up, self._replaced = True, False

    def _sequence(self, instance_id: str) -> int:
        header = get_header(self._store.rows(instance_id))
        return 0 if header is None else header.sequence

    async def _catch_up(self) -> None:
        """Learn from the events what changed, as far as there is room to remember."""
        backlog, topic = self._backlog, Topic.EVENTS
        if self._events is None:
            start = await self._log.start_offset(topic, self._partition)
            backlog.known_to = max(backlog.known_to, start)
            self._events = await self._log.reader(
                topic, self._partition, backlog.known_to
            )
        while not backlog.full:
            # Never beyond what is folded: the owner tells of a batch in flight itself.
            end = self._store.position.offset
            if backlog.known_to < end:
                chunk = await self._events.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    raise LogUnavailableError(
                        f"expected to read events {backlog.known_to} to {end} of "
                        f"partition {self._partition}, but nothing came"
                    )
                end = self._store.position.offset
                for record in chunk.records:
                    if record.key is not None and record.offset < end:
                        backlog.add(
                            (record.key.decode("utf-8", "replace"),), record.offset
                        )
                backlog.known_to = min(chunk.end, end)
            if backlog.known_to >= end:
                self._live = True
                await self._close_events()
                return
            await asyncio.sleep(0)

    async def _close_events(self) -> None:
        reader, self._events = self._events, None
        if reader is not None:
            await reader.close()


def snapshots_wanted() -> bool:
    """Whether the environment asks for snapshots (`SAYIIR_SNAPSHOTS_TOPIC`).

    Raises:
        SettingsError: if the environment cannot be used.
    """
    if not any(name.upper() == VARIABLE for name in os.environ):
        return False  # as nearly always, and settings are slow to import
    from sayiir_es.settings import load_settings  # noqa: PLC0415 (as above)

    return load_settings().snapshots_topic
