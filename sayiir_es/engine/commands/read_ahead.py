"""How many commands, and how many bytes of them, are held in memory before their turn.

At the limit the feed reads no further. What is not read stays in the log, where it
costs nothing: starts that come in faster than they are decided wait there.
"""

from __future__ import annotations

import asyncio
from collections import deque

from sayiir_es.telemetry import get_logger

logger = get_logger(__name__)

COMMANDS_MAX = 5_000
"""How many commands of a partition are held in memory."""

BYTES_MAX = 8 * 1024 * 1024
"""How many bytes of a partition's commands are held in memory: some batches. Beyond it
is the rest of the chunk that was read last, a megabyte or so."""


class ReadAhead:
    """Counts the commands of one partition that were read and not yet decided."""

    def __init__(self, partition: int) -> None:
        self.size = 0
        """How many bytes they hold."""
        self._partition = partition
        self._sizes: deque[int] = deque()
        self._room = asyncio.Event()
        self._was_full = False

    def add(self, size: int) -> None:
        """A command of so many bytes was read."""
        self._sizes.append(size)
        self.size += size

    def remove(self) -> None:
        """The first of them was taken."""
        self.size -= self._sizes.popleft()
        if not self._sizes:
            self._was_full = False
        if len(self._sizes) < COMMANDS_MAX // 2 and self.size < BYTES_MAX // 2:
            self._room.set()

    async def wait_for_room(self) -> None:
        """Wait until more may be read, if the limit is reached.

        It is logged once, until all that was read has been decided.
        """
        if len(self._sizes) < COMMANDS_MAX and self.size < BYTES_MAX:
            return
        if not self._was_full:
            self._was_full = True
            logger.info(
                "commands.held_back",
                partition=self._partition,
                reason=(
                    f"{len(self._sizes)} commands of {self.size} bytes wait to be "
                    "decided; the rest stays in the log"
                ),
            )
        self._room.clear()
        await self._room.wait()
