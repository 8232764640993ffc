"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import asyncio
import zlib

BACKOFF_FIRST_S = 0.05
BACKOFF_MOST_S = 5.0
"""Waits double from the first to the most."""


class Backoff:
    """Waits that grow; for each name other ones, so that many do not try at once."""

    def __init__(self, name: str) -> None:
        self._factor = 0.75 + (zlib.crc32(name.encode()) % 1000) / 2000
        self._next_s = BACKOFF_FIRST_S

    async def pause(self) -> None:
        """Wait, and the next time longer."""
        wait_s = self._next_s * self._factor
        self._next_s = min(self._next_s * 2, BACKOFF_MOST_S)
        await asyncio.sleep(wait_s)

    def forget(self) -> None:
        """It went well for long: the next wait is the first."""
        self._next_s = BACKOFF_FIRST_S
