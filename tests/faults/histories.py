"""Endless histories of one partition that a seed determines, as records of a log.

The events are real decisions of the engine; a round has the events of several
instances, by time, with claims in between. The next round is the same, later and with
other instances.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.engine.fold import Fold
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.port import Chunk, Record
from tests.audit.instance_logs import claimed, record
from tests.audit.random_instances import random_instance

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.store.port import SnapshotStore

INSTANCES = 10
CLAIM_EVERY = 150
CHUNK_RECORDS = 100


@cache
def _events_of_round(seed: int) -> tuple[Event, ...]:
    """The events of one round, by time; claims and sequences as in a log of one."""
    instances = [
        [
            (event.at, number, replace(event, instance_id=f"i{number}"))
            for event in random_instance(seed * INSTANCES + number).events
        ]
        for number in range(INSTANCES)
    ]
    return tuple(
        event for _, _, event in heapq.merge(*instances, key=lambda item: item[:2])
    )


class History:
    """Records without end; the record at an offset is always the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._chance = Random(f"claims {seed}")  # noqa: S311
        self._records: list[Record] = []
        self._rounds = 0
        self._claim = -1
        self._at = 0

    def records(self, start: int, end: int) -> list[Record]:
        """The records of a range of offsets."""
        while len(self._records) < end:
            self._append_round()
        return self._records[start:end]

    def _append_round(self) -> None:
        began_at = self._at
        for event in _events_of_round(self._seed):
            at = self._at = max(self._at, began_at + event.at)
            if self._claim < 0 or self._chance.random() < 1 / CLAIM_EVERY:
                self._claim = len(self._records)
                self._records.append(record(self._claim, claimed(at)))
            instance_id = event.instance_id and f"{self._rounds}/{event.instance_id}"
            own = replace(event, at=at, claim=self._claim, instance_id=instance_id)
            self._records.append(record(len(self._records), own))
        self._rounds += 1


def fold_to(store: SnapshotStore, history: History, offset: int) -> None:
    """Fold a history into a store up to an offset, chunk by chunk."""
    fold = Fold(store, 0, 1)
    start = store.position.offset
    while start < offset:
        end = min(start + CHUNK_RECORDS, offset)
        records = history.records(start, end)
        fold.apply(Chunk(start=start, end=end, records=records))
        start = end


def folded(history: History, offset: int) -> MemoryStore:
    """A store folded up to an offset."""
    store = MemoryStore()
    fold_to(store, history, offset)
    return store
