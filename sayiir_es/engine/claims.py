"""The claim in force in the middle of an events partition, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import NO_CLAIM
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0


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


async def _read_record(log: Log, partition: int, offset: int) -> Record | None:
    reader = await log.reader(Topic.EVENTS, partition, offset)
    try:
        chunk = await reader.read(max_wait_s=READ_WAIT_S)
    finally:
        await reader.close()
    return chunk.records[0] if chunk is not None and chunk.records else None
