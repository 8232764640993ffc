"""Where forwarded commands were first, checked: a header says it, and anyone writes it.

Theory of operation. An owner remembers the highest origin offset that was answered, for
each partition that forwards, and takes every lower one for answered too. So an origin
that nobody forwarded would silence all that is forwarded from there later. An owner
forwards only records that it has read: their offset is below the end of the commands
there, and they go to the partition of their instance. A header that says anything else
counts as none. The end of a partition is kept, and is read again only for an origin
that is beyond it: at most once for each partition in a chunk.

Logs of earlier builds may hold an origin that was not checked. An answered offset that
is not below the end of its partition is no reason to take a command for answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.commands import read_origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.log.port import Log, Record

logger = get_logger(__name__)

RETRY_S = 1.0
"""How long to wait before an end is read again that could not be read, in seconds.
Commands wait meanwhile, the partition's outcomes and timers do not."""


class Origins:
    """Checks the origins of the commands of one partition.

    `answered` are the highest origin offsets that the log holds, by partition.
    """

    def __init__(self, log: Log, partition: int, answered: Mapping[int, int]) -> None:
        self._log = log
        self._partition = partition
        self._answered = answered
        self._ends: dict[int, int] = {}

    async def look_up(self, records: Sequence[Record]) -> None:
        """Read the ends that the origins of these records need.

        An end that cannot be read is waited for: a command that is taken for its
        sender's own, and was forwarded twice, would count twice.
        """
        needed: dict[int, int] = {}
        for record in records:
            origin = read_origin(record.headers)
            if origin is not None and self._may_forward(origin[0]):
                source, offset = origin
                needed[source] = max(needed.get(source, -1), offset)
        for source, offset in needed.items():
            highest = max(offset, self._answered.get(source, -1))
            if highest >= self.end(source):
                self._ends[source] = await self._read_end(source)

    def checked(self, record: Record) -> tuple[int, int] | None:
        """The origin of a record that was looked up; None if nobody forwarded it."""
        origin = read_origin(record.headers)
        if origin is None or not self._may_forward(origin[0]):
            return None
        source, offset = origin
        return origin if offset < self.end(source) else None

    def end(self, source: int) -> int:
        """The end of the commands of a partition, as far as it is known."""
        return self._ends.get(source, 0)

    def _may_forward(self, source: int) -> bool:
        return source != self._partition and source < self._log.partitions

    async def _read_end(self, source: int) -> int:
        while True:
            try:
                return await self._log.end_offset(Topic.COMMANDS, source)
            except LogUnavailableError as error:
                logger.warning(
                    "commands.origin_unchecked",
                    partition=source,
                    error_code=error.code,
                    reason=str(error),
                )
                await asyncio.sleep(RETRY_S)
