"""Folds the partitions that a worker is to own, before it owns them.

Theory of operation. A fold of a million events takes half a minute. So the group leaves
a partition with the worker that serves it until its next owner has folded it, here,
into the store that it will own it with, and says so. The fold follows the log until the
partition is assigned; then the store is closed, and its owner opens it. If the worker
that serves it dies, the partition is assigned at once, and its owner goes on with the
fold. What cannot be folded is never said to be, and is tried again. A partition whose
store cannot be used is refused, as by its owner, until the store can be used again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.projector import Projector
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.engine.refusals import Refusals
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.worker_settings import StoreOpener
    from sayiir_es.log.port import Log

logger = get_logger(__name__)

RETRY_S = 30.0
"""After how many seconds a fold that stopped with an error is tried again."""


class FoldAhead:
    """The expected partitions of one worker, each with its fold."""

    def __init__(self, log: Log, refusals: Refusals, open_store: StoreOpener) -> None:
        self._log = log
        self._refusals = refusals
        self._open_store = open_store
        self._expected: frozenset[int] = frozenset()
        self._folding: dict[int, asyncio.Task[None]] = {}
        self._folded: frozenset[int] = frozenset()

    def follow(self, expected: frozenset[int], assigned: frozenset[int]) -> None:
        """Fold the expected partitions, and others no longer.

        The fold of an assigned one ends when its owner opens the store.
        """
        self._expected = expected
        for partition in expected - self._folding.keys():
            self._begin(partition)
        refused = self._refusals.by_partition.keys()
        for partition in self._folding.keys() - expected - assigned - refused:
            self._folding[partition].cancel()

    async def open_store(self, partition: int) -> SnapshotStore:
        """Open the store of a partition, when its fold has closed it.

        Raises:
            StoreError: if the disk refuses, or another process uses the store.
        """
        await self._end(partition)
        return await self._open_store(partition)

    async def stop(self) -> None:
        """End all folds, and close their stores."""
        self._expected = frozenset()
        for partition in list(self._folding):
            await self._end(partition)

    def _begin(self, partition: int) -> None:
        task = asyncio.create_task(
            self._fold(partition), name=f"fold-ahead-{partition}"
        )
        self._folding[partition] = task
        task.add_done_callback(lambda _: self._on_ended(partition))

    def _on_ended(self, partition: int) -> None:
        """Begin again if the partition is expected again meanwhile."""
        del self._folding[partition]
        if partition in self._expected:
            self._begin(partition)

    async def _end(self, partition: int) -> None:
        task = self._folding.get(partition)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def _fold(self, partition: int) -> None:
        log = logger.bind(partition=partition)
        log.info("partition.fold_begun")
        try:
            while True:
                await self._wait_for_store(partition)
                if partition not in self._expected:
                    return  # the group has forgotten it while it was refused
                projector = Projector(self._log, self._open_store)
                projector.start((partition,))
                try:
                    await projector.wait_until_caught_up()
                    if partition not in projector.stopped:
                        self._become(self._folded | {partition})
                        log.info("partition.folded_ahead")
                    await projector.wait_until_ended()
                finally:
                    await projector.stop()
                self._become(self._folded - {partition})
                await asyncio.sleep(RETRY_S)
        finally:
            self._become(self._folded - {partition})

    async def _wait_for_store(self, partition: int) -> None:
        """Try the store of a partition until it can be used."""
        while True:
            try:
                store = await self._open_store(partition)
            except StoreError as error:
                self._refusals.refuse(partition, Refusal.of(error))
                await self._refusals.pause(partition)
            else:
                await store.close()
                self._refusals.lift(partition)
                return

    def _become(self, folded: frozenset[int]) -> None:
        self._folded = folded
        self._refusals.membership.prepare(folded)
