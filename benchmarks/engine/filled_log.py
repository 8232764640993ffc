"""Fills a partition with the copies of one real run, without a worker."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from benchmarks.engine.history import claimed, copies
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.log.kafka.log import KafkaLog

BATCH = 2_000
"""Events in one append."""


async def fill(log: KafkaLog, partition: int, run: list[Event], count: int) -> None:
    """Append so many events to a partition, as one owner would."""
    await log.produce(Topic.COMMANDS, partition, NewRecord(key=b"x", value=b"{}"))
    appender = await log.appender(partition)
    await appender.append([to_record(claimed(run[0].at))])
    instances = count // len(run) + 1
    events = islice(copies(run, instances, lambda _: f"command:{partition}@0"), count)
    while batch := list(islice(events, BATCH)):
        await appender.append([to_record(event) for event in batch])
    await appender.close()
