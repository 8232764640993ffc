"""The claim in force in the middle of an events partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.position import NO_CLAIM
from sayiir_es.engine.fold import read_event_headers
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.log.port import Log

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
