"""Reading the valid events of several partitions, for `sayiir-es event tail`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.projection import partition_of_instance
from sayiir_es.core.model.errors import UsageError
from sayiir_es.engine.valid_events import (
    EventFilter,
    ValidEvents,
    find_offset_before,
    merge_by_time,
)
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.cli.event_selection import Selection
    from sayiir_es.client.session import Session
    from sayiir_es.engine.valid_events import FoundEvent
    from sayiir_es.log.port import Log

LOOK_S = 1.0


async def read_events(
    session: Session,
    selection: Selection,
    take: Callable[[FoundEvent], None],
    *,
    follow: bool,
) -> None:
    """Give what is selected to `take`, by time; without end if `follow` is set.

    Raises:
        UsageError: if it begins in a partition that the log does not have.
    """
    await session.open()
    readers = await _readers(session, selection)
    try:
        async for entry in merge_by_time(readers):
            take(entry)
        if follow:
            await asyncio.gather(*(_follow(reader, take) for reader in readers))
    finally:
        for reader in readers:
            await reader.close()


async def _follow(reader: ValidEvents, take: Callable[[FoundEvent], None]) -> None:
    while True:
        for entry in await reader.read(max_wait_s=LOOK_S):
            take(entry)


async def _readers(session: Session, selection: Selection) -> list[ValidEvents]:
    log = session.log
    wanted = EventFilter(
        instance_id=selection.instance_id,
        kinds=selection.kinds,
        since_ms=selection.since_ms,
    )
    if selection.place is not None:
        partition, offset = selection.place
        if partition >= log.partitions:
            raise UsageError(
                f"expected a partition below {log.partitions}, but {partition}"
            )
        return [ValidEvents(log, partition, offset, wanted)]
    partitions = range(log.partitions)
    if selection.instance_id is not None:
        home = partition_of_instance(log, selection.instance_id)
        partitions = range(home, home + 1)
    return [
        ValidEvents(log, partition, await _start(log, partition, selection), wanted)
        for partition in partitions
    ]


async def _start(log: Log, partition: int, selection: Selection) -> int:
    """The offset at which to begin in a partition."""
    if selection.from_now:
        return await log.end_offset(Topic.EVENTS, partition)
    if selection.since_ms:
        return await find_offset_before(log, partition, selection.since_ms)
    return 0
