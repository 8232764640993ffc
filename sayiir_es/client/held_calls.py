"""Says what holds back the commands of a client whose calls are not answered.

A call waits for tens of seconds before it ends with an error; the person in front of it
is told after a few what it waits for, if the log knows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.unserved import find_open_transaction
from sayiir_es.engine.blocked_commands import can_be_told, find_held_back
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.log.port import Log

logger = get_logger(__name__)

TOLD_AGAIN_S = 30.0
"""How often, in seconds, the same partition is spoken of."""


class HeldCalls:
    """What is said of partitions whose owners do not answer one client."""

    def __init__(self, log: Log, on_notice: Callable[[str], None] | None) -> None:
        """`on_notice` is told in words, beside the log lines."""
        self._log = log
        self._on_notice = on_notice
        self._told_at_s: dict[int, float] = {}
        self._looking: asyncio.Task[None] | None = None

    def look(self, partitions: set[int]) -> None:
        """Look soon what holds the commands of these back; returns at once."""
        is_looking = self._looking is not None and not self._looking.done()
        if partitions and not is_looking and can_be_told(self._log):
            self._looking = asyncio.create_task(
                self._look(partitions), name="held-calls"
            )

    async def close(self) -> None:
        """Say nothing more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self, partitions: set[int]) -> None:
        now_s = asyncio.get_running_loop().time()
        for partition in await find_held_back(self._log, partitions):
            told_at_s = self._told_at_s.get(partition)
            if told_at_s is not None and now_s - told_at_s < TOLD_AGAIN_S:
                continue
            obstacle = await find_open_transaction(self._log, partition, silent_ms=0)
            if obstacle is None:
                continue
            self._told_at_s[partition] = now_s
            text = f"a call waits: {obstacle}"
            logger.warning("call.held_back", partition=partition, reason=text)
            if self._on_notice is not None:
                self._on_notice(text)
