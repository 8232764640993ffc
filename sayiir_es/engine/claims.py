"""The claim in force in the middle of an events partition, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import NO_CLAIM, Position, advanced
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0

EVENTS_LOOKED_AT = 1_000
"""How many of the last events tell which commands are decided."""


async def find_claim_in_force(
    log: Log, partition: int, offset: int, *, hint: int
) -> int:
    """The claim in force for the record at `offset`.

    `hint` is the `claim` header of the first event there: the claim in force is that
    one, or one that stands between it and `offset`.
    """
    claim = NO_CLAIM
    position = max(hint, 0)
    reader = await log.reader(Topic.EVENTS, partition, position)
    try:
        while position < offset:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            if chunk is None:
                continue
            for record in chunk.records:
                if record.offset >= offset:
                    break
                if read_event_headers(record, partition).kind == "PartitionClaimed":
                    claim = record.offset
            position = chunk.end
    finally:
        await reader.close()
    return claim


async def find_owner(log: Log, partition: int) -> str | None:
    """The owner that the claim in force at the end of a partition names.

    None without a claim. Asks for two records, whatever the length of the history.

    Raises:
        HistoryError: if this build cannot read them.
    """
    end = await log.end_offset(Topic.EVENTS, partition)
    if end <= await log.start_offset(Topic.EVENTS, partition):
        return None
    last = await _read_record(log, partition, end - 1)
    if last is None:
        return None
    headers = read_event_headers(last, partition)
    is_claim = headers.kind == "PartitionClaimed"
    claimed = last if is_claim else await _read_record(log, partition, headers.claim)
    if claimed is None:
        return None
    event = decode_record(claimed, read_event_headers(claimed, partition), partition)
    return event.body.owner if isinstance(event.body, PartitionClaimed) else None


async def find_next_command(
    log: Log, partition: int, *, looked_at: int = EVENTS_LOOKED_AT
) -> int | None:
    """The next command of a partition, or one before it: what its last events tell.

    None where they tell nothing; each of them that answers a command names it.

    Raises:
        HistoryError: if this build cannot read them.
    """
    end = await log.end_offset(Topic.EVENTS, partition)
    start = await log.start_offset(Topic.EVENTS, partition)
    next_command = None if end > start else 0
    offset = max(start, end - looked_at)
    reader = await log.reader(Topic.EVENTS, partition, offset)
    try:
        while offset < end:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            if chunk is None:
                continue
            offset = chunk.end
            for record in chunk.records:
                headers = read_event_headers(record, partition)
                event = decode_record(record, headers, partition)
                reached = advanced(Position(), event, b"", log.partitions).next_command
                next_command = max(next_command or 0, reached)
    finally:
        await reader.close()
    return next_command


async def _read_record(log: Log, partition: int, offset: int) -> Record | None:
    reader = await log.reader(Topic.EVENTS, partition, offset)
    try:
        chunk = await reader.read(max_wait_s=READ_WAIT_S)
    finally:
        await reader.close()
    return chunk.records[0] if chunk is not None and chunk.records else None
