"""A log whose events are appended when a gate opens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.log.memory.log import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.port import Appender, NewRecord


class SlowAppender:
    """Appends nothing but claims until the gate is open."""

    def __init__(self, appender: Appender, gate: asyncio.Event) -> None:
        self._appender = appender
        self._gate = gate

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append a batch."""
        if batch[0].key:
            await self._gate.wait()
        return await self._appender.append(batch)

    async def close(self) -> None:
        """Close the appender."""
        await self._appender.close()


class SlowLog(MemoryLog):
    """A log whose appends wait for a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def appender(self, partition: int) -> Appender:  # type: ignore[override] # wrapped
        """An appender for one partition."""
        return SlowAppender(await super().appender(partition), self.gate)
